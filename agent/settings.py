"""What the runtime tells one agent before it starts; validated once, frozen inside."""

import pkgutil
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from protocols.adapter import Endpoint

CONDUCTOR = "orchestrator"
"""The conductor's name as a protocol peer; it is no member of the mesh."""

KEY_VARIABLE = "OPENAI_API_KEY"
"""How the key of a model's endpoint reaches an agent; it is written nowhere."""

EXIT_LAB = 3
"""The exit code of an agent that cannot go on, its evidence for instance has no room; its output says why."""

MODEL_SHARE = 0.4
"""Share of the task deadline within which a model must have answered: after half of it another agent is asked."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Member(_Frozen):
    """One agent of the roster: its name, its one tool, and where it serves its protocol."""

    node_id: str
    tool: str
    host: str
    port: int

    @property
    def endpoint(self) -> Endpoint:
        """Host and port of the protocol server."""
        return Endpoint(self.host, self.port)


class Phase(_Frozen):
    """A stretch of the run by its planned times, for the labels of the metrics; it ends where the next one begins."""

    name: str
    start_s: float
    """Seconds after t0."""


DETECTORS = tuple(sorted(found.name for found in pkgutil.iter_modules([str(Path(__file__).parent / "detectors")])))
"""The failure detectors by name: one for each file in ``agent/detectors/``."""


def _known(kind: str) -> str:
    if kind not in DETECTORS:
        raise PydanticCustomError("detector", "one of {known}", {"known": ", ".join(DETECTORS)})
    return kind


def _no_less(value: float, info: ValidationInfo, least: str) -> float:
    if least in info.data and value < info.data[least]:
        raise PydanticCustomError("order", "a number no less than {least}", {"least": least})
    return value


class PhiSettings(_Frozen):
    """The constants of the detector ``phi`` (Hayashibara et al. 2004)."""

    threshold: float = Field(8.0, gt=0, le=300)
    """Suspicion level phi from which a peer is held for dead: a living one is so silent with probability 10^-phi."""
    window: int = Field(100, ge=2)
    """So many of the last arrivals are judged by."""
    min_std_s: float = Field(0.1, gt=0)
    """No arrivals are taken for more regular than this."""
    pause_s: float = Field(1.0, ge=0)
    """Silence that is accepted on top."""


class SwimSettings(_Frozen):
    """The constants of the detector ``swim`` (Das et al. 2002, Dadgar et al. 2018)."""

    helpers: int = Field(3, ge=0)
    """Members that are asked to probe a silent peer before it is doubted."""
    suspicion_min: float = Field(1.0, ge=0)
    """Intervals from the doubt to the declared death when ``confirmations`` others doubt as well."""
    suspicion_max: float = Field(3.0, ge=0, validate_default=True)
    """The same when nobody else doubts."""
    confirmations: int = Field(2, ge=0)
    max_health: int = Field(2, ge=0)
    """An agent in bad health waits and pauses up to so many times longer on top; 0 switches that off."""

    @field_validator("suspicion_max")
    @classmethod
    def _ordered(cls, value: float, info: ValidationInfo) -> float:
        return _no_less(value, info, "suspicion_min")


class AdaptiveSettings(_Frozen):
    """Whether the interval between probes follows the measured state of the network, and within which bounds."""

    enabled: bool = False
    min_interval_s: float = Field(0.25, gt=0)
    max_interval_s: float = Field(2.0, gt=0, validate_default=True)

    @field_validator("max_interval_s")
    @classmethod
    def _ordered(cls, value: float, info: ValidationInfo) -> float:
        return _no_less(value, info, "min_interval_s")


class DetectorSettings(_Frozen):
    """The failure detector's constants, equal for all protocols."""

    kind: Annotated[str, AfterValidator(_known)] = "fixed"
    """What turns silence into suspicion: a file in ``agent/detectors/``."""
    mode: Literal["probe", "common", "tcp", "native"] = "common"
    interval_s: float = Field(1.0, gt=0)
    timeout_s: float = Field(0.5, gt=0)
    misses: int = Field(2, ge=1)
    """Unanswered probes in a row that make a suspicion; of kind ``fixed`` only."""
    fanout: int = Field(4, ge=1)
    """Probes per interval at most, whatever the size of the mesh."""
    phi: PhiSettings = PhiSettings()
    swim: SwimSettings = SwimSettings()
    adaptive: AdaptiveSettings = AdaptiveSettings()

    @property
    def longest_interval_s(self) -> float:
        """The longest that the agent ever waits between two beats while it is well."""
        return self.adaptive.max_interval_s if self.adaptive.enabled else self.interval_s


class RecoverySettings(_Frozen):
    """Which parts of recovery are on; switching one off shows what it is worth."""

    republish: bool = True
    """Send an unfinished request to another peer when its receiver died."""
    reconnect: bool = True
    """Replace a dead neighbour by a new link."""
    takeover: bool = True
    """Take over the tasks of a dead owner, those under way and those to come."""
    adopt: bool = True
    """Adopt a tool that no live agent has."""
    retry_budget: bool = True
    """Pay for everything that is tried again out of a token bucket, so that retries cannot outgrow the work."""
    batch: bool = False
    """Repair what many deaths at once have broken in one pass."""
    replicate: bool = False
    """Copy shards that have too few live holders, and what a restarted agent has lost."""
    replicate_bytes_per_s: float = Field(1_000_000, gt=0)
    """At most so much does one agent fetch."""
    predict: bool = False
    """Copy the shards of peers whose probes have become slow before they fail; needs ``replicate``."""


class ModelSettings(_Frozen):
    """What an agent reasons with; the key of an endpoint comes by the environment and stands nowhere."""

    type: Literal["local", "openai", "replay"] = "local"
    name: str = "rules"
    base_url: str = ""
    """Of an endpoint that speaks OpenAI's interface."""
    timeout_s: float = Field(1.0, gt=0)
    """Of one attempt."""
    max_concurrent: int = Field(8, ge=1)
    retries: int = Field(2, ge=0)
    """At most so many after the first attempt."""
    prompt_price: float = Field(0.0, ge=0)
    """Of a million tokens, in any currency."""
    completion_price: float = Field(0.0, ge=0)
    fallback: Literal["local", "peer"] = "local"
    """Who answers when the model does not: the rules, or another agent with the same tool."""
    recording: Path | None = None
    """Where ``replay`` finds the answers."""


class LeaseSettings(_Frozen):
    """How long an agent lives on without hearing of its orchestrator, where that is not its parent process."""

    first_s: float = Field(120.0, gt=0)
    """Until the first renewal, while the others still start."""
    silent_s: float = Field(10.0, gt=0)
    """From then on."""


class AgentSettings(_Frozen):
    """Everything one agent knows at its start."""

    run_id: str
    node_id: str
    incarnation: int = Field(0, ge=0)
    """0, and 1000 more for each restart, which the agent counts itself; a refuted suspicion adds 1."""
    protocol: str
    seed: int
    parent_pid: int | None
    """The agent ends when this process does; None where a lease ties it to its orchestrator."""
    lease: LeaseSettings | None = None
    bind_host: str
    """The address its two ports are bound to."""
    admin_port: int
    workspace: Path
    roster: tuple[Member, ...]
    conductor: Member
    detours: dict[str, int] = {}
    """Peers that this agent reaches through a port of the lab's proxy; its own port, and the roster, are as ever."""
    topology: str
    neighbours: tuple[str, ...]
    edges: tuple[tuple[str, str], ...] = ()
    """All of them, where the topology is the user's own and no rule tells them."""
    replication: int
    step_work_ms: float
    task_deadline_s: float
    concurrent_steps: int = Field(8, ge=1)
    detector: DetectorSettings
    recovery: RecoverySettings
    model: ModelSettings = ModelSettings()
    expects_real_text: bool = False
    """The document may be one that has to be searched by its words."""
    phases: tuple[Phase, ...] = ()
    """In the order of their time; read by the telemetry alone, since no agent may act on when the storm comes."""

    @model_validator(mode="after")
    def _tied(self) -> "AgentSettings":
        if (self.parent_pid is None) == (self.lease is None):
            raise ValueError("expected either a parent process or a lease, so that no agent outlives its run")
        return self

    @property
    def model_patience_s(self) -> float:
        """How long one step may wait for its model, retries included."""
        return MODEL_SHARE * self.task_deadline_s

    @property
    def peers(self) -> tuple[str, ...]:
        """All other agents, in roster order."""
        return tuple(member.node_id for member in self.roster if member.node_id != self.node_id)

    def route(self, node_id: str) -> Endpoint:
        """Where this agent finds ``node_id``, itself and the conductor included; raises LookupError."""
        member = self.member(node_id)
        return Endpoint(member.host, self.detours.get(node_id, member.port))

    def member(self, node_id: str) -> Member:
        """The roster entry called ``node_id`` (the conductor too); raises LookupError."""
        for member in (*self.roster, self.conductor):
            if member.node_id == node_id:
                return member
        raise LookupError(node_id)
