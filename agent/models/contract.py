"""What a model is to an agent: question and facts in, answer and chain out, or one classified error."""

from dataclasses import dataclass
from typing import Literal, Protocol

from agent.tools.contract import Triple
from agent.tools.reason import ReasonInput
from protocols.errors import FailstormError

MODEL = "model"
"""What the byte counts call the endpoint; it is no member of the mesh."""

Fault = Literal[
    "rate_limited", "server_error", "timeout", "unreachable", "cut", "malformed", "refused", "unrecorded"
]  # fmt: skip
"""Why a model gave no answer: 429; 5xx; nothing in time; no connection; a connection that broke in mid-answer; an
answer that is none; any other 4xx; a question that the recording does not have."""


@dataclass(frozen=True)
class Usage:
    """What one conclusion took, failed attempts included."""

    attempts: int = 0
    """Requests to the endpoint."""
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True)
class Conclusion:
    """An answer, None where the facts hold none, the facts behind it, and what it took."""

    answer: str | None
    chain: tuple[Triple, ...]
    usage: Usage = Usage()


class ModelFailedError(FailstormError):
    """The model gave no answer to this step; ``fault`` says why, in one word for the journal."""

    def __init__(self, fault: Fault, detail: str, usage: Usage = Usage()) -> None:
        super().__init__(f"expected an answer from the model, got: {fault} ({detail})")
        self.fault: Fault = fault
        self.usage = usage


class Model(Protocol):
    """One model as one agent uses it."""

    async def conclude(self, task: str, request: ReasonInput) -> Conclusion:
        """Answer the question of ``task``, in bounded time; raises ModelFailedError."""

    async def close(self) -> None:
        """Free every connection."""
