"""Recorded answers: a storm with a real model, again and at no cost."""

from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from agent.models.contract import Conclusion, ModelFailedError, Usage
from agent.settings import ModelSettings
from agent.tools.contract import Triple
from agent.tools.reason import ReasonInput
from protocols.clock import Clock
from protocols.errors import ConfigError


class Recorded(BaseModel):
    """One answer of a model, a line of a recording."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    question: str
    answer: str | None
    chain: tuple[Triple, ...]
    ms: float
    """How long it took, retries included."""
    prompt_tokens: int = 0
    completion_tokens: int = 0


def read_recording(path: Path) -> list[Recorded]:
    """The lines of a recording; raises ConfigError naming file and line."""
    try:
        with path.open("rb") as file:
            return [_parse(path, number, line) for number, line in enumerate(file, start=1) if line.strip()]
    except OSError as error:
        raise ConfigError(
            f"llm.model.recording: expected a recording at {path}, got: {error.strerror}; the command record makes one"
        ) from None


def _parse(path: Path, number: int, line: bytes) -> Recorded:
    try:
        return Recorded.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "line"
        raise ConfigError(f"{path}:{number}: {field}: expected a recorded answer, got: {first['msg']}") from None


class ReplayModel:
    """Gives the recorded answer of the same task, or else of the same question, after as long as it took then."""

    def __init__(self, settings: ModelSettings, patience_s: float, clock: Clock) -> None:
        if settings.recording is None:
            raise ConfigError("llm.model.recording: expected the path of a recording for replay, got none")
        self._index(read_recording(settings.recording))
        self._patience_s = patience_s
        self._clock = clock

    def _index(self, recorded: Iterable[Recorded]) -> None:
        self._of_task: dict[tuple[str, str], Recorded] = {}
        self._of_question: dict[str, Recorded] = {}
        for one in recorded:
            self._of_task.setdefault((one.task, one.question), one)
            self._of_question.setdefault(one.question, one)

    async def conclude(self, task: str, request: ReasonInput) -> Conclusion:
        """Answer as recorded; raises ModelFailedError where nothing is."""
        found = self._of_task.get((task, request.question)) or self._of_question.get(request.question)
        if found is None:
            raise ModelFailedError("unrecorded", "no such question")
        await self._clock.sleep(min(found.ms / 1000, self._patience_s))
        return Conclusion(found.answer, found.chain, Usage(1, found.prompt_tokens, found.completion_tokens))

    async def close(self) -> None:
        """Nothing to free."""
