"""Has steps reasoned by the configured model: accounts for each call, and decides what follows when it fails."""

from collections.abc import Callable

from pydantic import JsonValue

from agent.journal import Journal
from agent.models.contract import Conclusion, Model, ModelFailedError
from agent.models.local import LocalModel
from agent.models.openai import OpenAIModel
from agent.models.replay import Recorded, ReplayModel
from agent.settings import ModelSettings
from agent.tools.reason import ReasonInput, ReasonOutput, conclude
from protocols.clock import Clock
from protocols.errors import ConfigError

_PER_MILLION = 1e6


def open_model(settings: ModelSettings, patience_s: float, key: str | None, clock: Clock) -> Model:
    """The model that the settings name; before the event loop runs, since loading a client blocks.

    Raises ConfigError: no key for an endpoint, or no recording.
    """
    match settings.type:
        case "openai":
            if not key:
                raise ConfigError("expected the key of the model's endpoint in the environment, got none")
            return OpenAIModel(settings, patience_s, key, clock)
        case "replay":
            return ReplayModel(settings, patience_s, clock)
        case "local":
            return LocalModel()


class Reasoner:
    """The model of one agent, its calls journaled.

    When it gives no answer, ``fallback`` decides: the rules answer (``local``), or the step fails here, so that its
    owner asks another agent with the same tool (``peer``). No step is lost without either having been tried.
    """

    def __init__(
        self,
        settings: ModelSettings,
        model: Model,
        clock: Clock,
        journal: Journal,
        note: Callable[[dict[str, JsonValue]], None],
    ) -> None:
        """``note`` keeps a recorded answer."""
        self._settings = settings
        self._model = model
        self._clock = clock
        self._journal = journal
        self._note = note

    async def conclude(self, task: str, step: str, request: ReasonInput) -> ReasonOutput:
        """Answer the question of ``step``; raises ModelFailedError where a peer is to try."""
        if self._settings.type == "local":  # no call, nothing to account for
            return conclude(request)
        began = self._clock.now()
        try:
            found = await self._model.conclude(task, request)
        except ModelFailedError as error:
            falls_back = self._settings.fallback == "local"
            self._account(task, step, began, Conclusion(None, (), error.usage), error.fault, falls_back=falls_back)
            if not falls_back:
                raise
            return conclude(request)
        ms = self._account(task, step, began, found, "ok", falls_back=False)
        usage = found.usage
        recorded = Recorded(
            task=task, question=request.question, answer=found.answer, chain=found.chain, ms=ms,
            prompt_tokens=usage.prompt_tokens, completion_tokens=usage.completion_tokens,
        )  # fmt: skip
        self._note(recorded.model_dump(mode="json"))
        return ReasonOutput(answer=found.answer, chain=found.chain)

    def _account(
        self, task: str, step: str, began: float, found: Conclusion, outcome: str, *, falls_back: bool
    ) -> float:
        usage, price = found.usage, self._settings
        cost = usage.prompt_tokens * price.prompt_price + usage.completion_tokens * price.completion_price
        ms = round((self._clock.now() - began) * 1000, 3)
        self._journal.append(
            "model_call",
            task=task,
            step=step,
            outcome=outcome,
            ms=ms,
            attempts=usage.attempts,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            cost=round(cost / _PER_MILLION, 9),
            fallback=falls_back,
        )
        return ms
