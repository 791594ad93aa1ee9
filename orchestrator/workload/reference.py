"""What the same model answers with the whole document in one process: what the mesh may lose nothing of."""

from collections.abc import Iterable, Mapping, Sequence

from agent.fragments import Fragment
from agent.models.contract import Model, ModelFailedError
from agent.tools import run_pipeline
from agent.tools.reason import ReasonInput, ReasonOutput, conclude
from agent.tools.retrieval import ShardIndex
from orchestrator.workload.schedule import ScheduledTask


class WholeDocument:
    """A document in one process, as the tools see it, and the model of one task."""

    def __init__(self, fragments: Sequence[Fragment], model: Model) -> None:
        self._fragments = {fragment.title: fragment for fragment in fragments}
        self._index = ShardIndex(fragments)
        self._model = model
        self.task = ""

    async def __call__(self, title: str) -> Fragment | None:
        """Fetch by title."""
        return self._fragments.get(title)

    async def find(self, query: str, limit: int) -> tuple[Fragment, ...]:
        """Find by what they say."""
        return tuple(hit.fragment for hit in self._index.find(query, limit))

    async def conclude(self, request: ReasonInput) -> ReasonOutput:
        """Reason as an agent does; where the model has nothing, the rules answer, whatever the agents would do."""
        try:
            found = await self._model.conclude(self.task, request)
        except ModelFailedError:
            return conclude(request)
        return ReasonOutput(answer=found.answer, chain=found.chain)


async def references(
    fragments: Sequence[Fragment], tasks: Iterable[ScheduledTask], model: Model
) -> Mapping[str, str | None]:
    """Task id → the answer without a mesh, None for none; ``model`` must be one that answers alike each time."""
    document = WholeDocument(fragments, model)
    answers: dict[str, str | None] = {}
    for task in tasks:
        document.task = task.task_id
        answer = (await run_pipeline(task.question, document))["answer"]
        answers[task.task_id] = answer if isinstance(answer, str) else None
    return answers
