"""The section ``scenario`` of a configuration: one storm as the user wishes it."""

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from orchestrator import phases
from orchestrator.section import Auto, Section
from orchestrator.topology import SHAPES, Kind
from orchestrator.topology_file import SUFFIXES
from protocols import registry

GENERATED = "generated"
"""The value of ``scenario.document`` that has the lab write a document of its own."""
TASKS_PER_S = 8.0
"""The automatic task rate, over the whole mesh."""


def _known_protocol(name: str) -> str:
    known = registry.names()
    if (reason := registry.obstacle(name)) is not None:
        raise PydanticCustomError(
            "protocol", "one of {known} ({reason})", {"known": ", ".join(known), "reason": reason}
        )
    if name not in known:
        raise PydanticCustomError("protocol", "one of {known}", {"known": ", ".join(known)})
    return name


class Storm(Section):
    """The section ``scenario``: who runs, for how long, and who dies when; descriptions say what a value must be."""

    agent_count: int = Field(default=8, ge=1, description="a whole number of agents, 1 or more")
    protocol: Annotated[str, AfterValidator(_known_protocol)] = "json"
    kill_fraction: float = Field(
        default=0.3, ge=0, lt=1, description="the share of agents to kill, from 0 up to but not including 1"
    )
    kill_at_s: Annotated[float, Field(gt=0)] | Auto = Field(
        default="auto", description="seconds after the start, above 0, or auto (half of the duration)"
    )
    duration: float = Field(
        default=120.0, ge=phases.SHORTEST_RUN_S, le=86_400, description="a number of seconds from 4 to 86400"
    )
    warmup_s: Annotated[float, Field(ge=0)] | Auto = Field(default="auto", description="seconds, 0 or more, or auto")
    seed: int = Field(default=1, ge=0, description="a whole number, 0 or more")
    topology: Kind = Field(
        default="mesh", description=f"one of {', '.join(SHAPES)}, or the path of a file {', '.join(SUFFIXES)}"
    )
    edges: list[list[str]] | None = Field(
        default=None, description="a list of pairs of nodes, with topology: file alone, or null"
    )
    replication: int = Field(default=2, ge=1, description="a whole number of copies, 1 or more")
    document: str = Field(default=GENERATED, min_length=1, description="'generated' or the path of a Gaia document")
    fragments: int = Field(default=400, ge=10, le=100_000, description="a whole number of fragments from 10 to 100000")
    task_rate: Annotated[float, Field(gt=0, le=1000)] | Auto = Field(
        default=TASKS_PER_S, description="tasks per second over the whole mesh, above 0 and up to 1000, or auto"
    )
    task_deadline_s: Annotated[float, Field(gt=0)] | Auto = Field(
        default="auto", description="seconds above 0, or auto"
    )
    step_work_ms: Annotated[float, Field(ge=0)] | Auto = Field(
        default="auto", description="milliseconds, 0 or more, or auto"
    )
    heal: Annotated[float, Field(gt=0)] | Auto | None = Field(
        default=None, description="seconds above 0 from the kill to the restart of the victims, auto, or null for never"
    )
