"""What the orchestrator and the chaos service say to each other over HTTP."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from chaos.parameters import NONE, Parameters

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
"""A node id or the name of a fault; it never reaches a path or the engine, and could do no harm there."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class OrderMessage(_Frozen):
    """One order, to be carried out at once: the body of ``POST /orders``."""

    action: Literal["inject", "heal"]
    fault: Name
    victims: Annotated[tuple[Name, ...], Field(max_length=1024)]
    """Node ids. Whether they may be hurt is the target's decision: see ``chaos.targets.check_order``."""
    parameters: Parameters = NONE


class RecordedEvent(_Frozen):
    """One journal event (docs/journal.md) that the fault recorded."""

    ev: str
    at: float
    """Monotonic seconds on the clock of the host, read by chaos when it happened."""
    fields: dict[str, JsonValue]


class Outcome(_Frozen):
    """What came of an order, in the order in which it was recorded: the answer to ``POST /orders``."""

    events: tuple[RecordedEvent, ...]


class AgentState(_Frozen):
    """What the engine says about one agent."""

    running: bool
    exit_code: int | None
    """None while it runs, and when it was never started."""


class AgentStates(_Frozen):
    """All agents of the run by node id: the answer to ``GET /agents``."""

    agents: dict[str, AgentState]
