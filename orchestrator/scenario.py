"""The validated, frozen configuration of one run; its defaults stand here and nowhere else."""

from random import Random
from typing import Annotated

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, model_validator

from agent.settings import DetectorSettings, RecoverySettings
from chaos import faults, victims
from orchestrator import phases, topology
from orchestrator.chaos_settings import Abort, Entry, seconds
from orchestrator.expectation import Bound, MetricName
from orchestrator.model_settings import Llm
from orchestrator.ports import PortPlan, plan_ports
from orchestrator.section import Auto, Section, http_address
from orchestrator.seeds import stream
from orchestrator.storm_settings import TASKS_PER_S, Storm
from orchestrator.windows import Windows
from protocols.errors import ConfigError


def _prometheus(text: str) -> str:
    return http_address(text, "the address of a Prometheus without credentials, such as http://127.0.0.1:9090")


def _as_tuple(value: object) -> object:
    """YAML has lists, and what is frozen has tuples."""
    return tuple(value) if isinstance(value, list) else () if value is None else value


class Output(Section):
    """The section ``output``: where the evidence goes."""

    results_dir: str = Field(default="results", min_length=1, description="the path of a folder")
    prometheus_url: Annotated[str, AfterValidator(_prometheus)] | None = Field(
        default=None, description="the address of the Prometheus that scrapes the run, or null for none"
    )
    junit: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="the path of a JUnit XML file to write, or null for none"
    )


class Network(Section):
    """The section ``network``: where the loopback ports begin."""

    base_port: int | Auto = Field(default="auto", description="a port number, or auto (9000, from 90 agents on 9100)")
    admin_base_port: int = Field(default=10_000, description="a port number")


class Scenario(Section):
    """One run as the user wants it; every instance can be run, as far as configuration goes.

    Values may be ``auto``; the properties give what that means, and :meth:`resolved` writes it down. Constructing one
    raises pydantic.ValidationError for a single wrong value and ConfigError for values that do not fit each other.
    """

    storm: Storm = Field(default_factory=Storm, alias="scenario")
    recovery: RecoverySettings = Field(default_factory=RecoverySettings)
    detector: DetectorSettings = Field(default_factory=DetectorSettings)
    chaos: Annotated[tuple[Entry, ...], BeforeValidator(_as_tuple)] = Field(
        default=(), description="a list of faults, each a section such as {fault: cut, for_s: 20%}"
    )
    abort: Abort = Field(default_factory=Abort)
    llm: Llm = Field(default_factory=Llm)
    expect: dict[MetricName, Bound] = Field(default_factory=dict)
    output: Output = Field(default_factory=Output)
    network: Network = Field(default_factory=Network)

    @property
    def windows(self) -> Windows:
        """The phases of the run, seconds."""
        storm = self.storm
        return phases.fit(
            phases.Wishes(
                storm.duration, _explicit(storm.warmup_s), _explicit(storm.kill_at_s), _explicit(storm.task_deadline_s)
            )
        )

    @property
    def victim_count(self) -> int:
        """Round-half-up of agents times fraction."""
        return victims.count(self.storm.agent_count, self.storm.kill_fraction)

    def victims_of(self, entry: Entry) -> int:
        """How many agents one entry of ``chaos`` hits, by its own number or by ``scenario.kill_fraction``."""
        choice = entry.victims
        if choice.same_as is not None:
            return self.victims_of(self.chaos[choice.same_as - 1])
        if choice.count is not None:
            return choice.count
        return victims.count(self.storm.agent_count, choice.fraction or self.storm.kill_fraction)

    @property
    def is_control(self) -> bool:
        """Whether nobody is hurt."""
        if self.chaos:
            return not any(map(self.victims_of, self.chaos))
        return self.victim_count == 0

    @property
    def replication(self) -> int:
        """Copies of each fragment: as many as asked for, and no more than there are agents."""
        return min(self.storm.replication, self.storm.agent_count)

    @property
    def task_rate_per_s(self) -> float:
        """Tasks per second over the whole mesh."""
        return _or(self.storm.task_rate, TASKS_PER_S)

    @property
    def step_work_ms(self) -> float:
        """Service time of one step: 200 ms at full length, scaled, 20 ms at least."""
        return _or(self.storm.step_work_ms, round(max(20.0, 200 * self.storm.duration / phases.FULL_DURATION_S), 6))

    @property
    def heal_after_s(self) -> float | None:
        """Seconds from the kill to the restart; None for never. Automatic: 15 s scaled, 5 s at least.

        Five seconds leave the survivors twice the detector's bound of 2.5 s before a victim returns.
        """
        if self.storm.heal is None:
            return None
        return _or(self.storm.heal, round(max(5.0, 15 * self.storm.duration / phases.FULL_DURATION_S), 6))

    @property
    def ports(self) -> PortPlan:
        """The loopback ports of the run."""
        base = self.network.base_port
        return plan_ports(self.storm.agent_count, None if base == "auto" else base, self.network.admin_base_port)

    @property
    def neighbours(self) -> dict[str, tuple[str, ...]]:
        """Who keeps a warm link to whom, by node."""
        storm = self.storm
        names = topology.node_names(storm.agent_count)
        if (storm.topology == "file") != (storm.edges is not None):
            raise ConfigError(
                "scenario.edges: expected edges with scenario.topology: file and with no other; name a file there"
            )
        if storm.topology == "file":
            return topology.from_edges(storm.edges or [], names)
        return topology.neighbours(storm.topology, names, storm.seed)

    def rng(self, purpose: str) -> Random:
        """Return this run's random source for one purpose."""
        return stream(self.storm.seed, purpose)

    def resolved(self) -> "Scenario":
        """Return the same run with a number in the place of each ``auto``, and without the key.

        ``kill_at_s`` of a control stays ``auto``: it has no kill, and asking for one is refused.
        """
        windows = self.windows
        storm = self.storm.model_copy(
            update={
                "kill_at_s": "auto" if self.is_control else windows.kill_at_s,
                "warmup_s": windows.warmup_s,
                "task_deadline_s": windows.task_deadline_s,
                "replication": self.replication,
                "task_rate": self.task_rate_per_s,
                "step_work_ms": self.step_work_ms,
                "heal": self.heal_after_s,
            }
        )
        model = self.llm.model.resolved(windows.task_deadline_s)
        entries = tuple(self._resolved(entry) for entry in self.chaos)
        network = self.network.model_copy(update={"base_port": self.ports.conductor})
        return self.model_copy(update={"storm": storm, "chaos": entries, "llm": Llm(model=model), "network": network})

    def _resolved(self, entry: Entry) -> Entry:
        duration_s = self.storm.duration
        spans = {"gap_s": entry.gap_s, "every_s": entry.every_s}
        return entry.model_copy(
            update={
                "at_s": entry.begin_s(self.windows.kill_at_s, duration_s),
                "for_s": entry.healed_after_s(duration_s),
                **{key: None if span is None else seconds(span, duration_s) for key, span in spans.items()},
                "victims": entry.victims.model_copy(update={"count": self.victims_of(entry) or None, "fraction": None}),
            }
        )

    def to_mapping(self) -> dict[str, JsonValue]:
        """Return the resolved scenario as it stands in the journal; ``Scenario.model_validate`` reads it back."""
        return self.resolved().model_dump(mode="json", by_alias=True)

    def to_yaml(self) -> str:
        """Return the resolved scenario as a file that ``--config`` accepts."""
        return yaml.safe_dump(self.to_mapping(), sort_keys=False, allow_unicode=True)

    @model_validator(mode="after")
    def _consistent(self) -> "Scenario":
        self._check_chaos() if self.chaos else self._check_victims()
        windows = self.windows
        self.llm.model.check(windows.task_deadline_s)
        heal_at_s = None if self.heal_after_s is None or self.chaos else windows.kill_at_s + self.heal_after_s
        if heal_at_s is not None and heal_at_s >= windows.duration_s:
            raise ConfigError(
                f"scenario.heal: expected the restart before the end of the run at {windows.duration_s:g} s, got "
                f"{heal_at_s:g} s; set it below {windows.duration_s - windows.kill_at_s:g}, or raise scenario.duration"
            )
        _ = self.ports
        _ = self.neighbours
        return self

    def _check_chaos(self) -> None:
        if self.storm.heal is not None:
            raise ConfigError("scenario.heal: expected null beside a list of faults, got a time; set chaos.N.for_s")
        for number, entry in enumerate(self.chaos, 1):
            if entry.victims.same_as is not None and entry.victims.same_as >= number:
                raise ConfigError(
                    f"chaos.{number}.victims.same_as: expected the number of an earlier entry, got "
                    f"{entry.victims.same_as}; the first one is 1"
                )
            reason = faults.misfit(faults.load(entry.fault), entry.parameters)
            if reason is not None:
                raise ConfigError(f"chaos.{number}.parameters: expected what the fault understands, but {reason}")
            if entry.rounds > 1 and entry.every_s is None:
                raise ConfigError(f"chaos.{number}.every_s: expected a time for {entry.rounds} rounds, got none")
        self._check_length(hurts=not self.is_control)

    def _check_victims(self) -> None:
        storm, number = self.storm, self.victim_count
        share = f"{storm.kill_fraction:g} of {storm.agent_count} agents"
        if number == storm.agent_count:
            raise ConfigError(
                f"scenario.kill_fraction: expected a survivor, but {share} is {number} after rounding, all of them; "
                f"lower it, or raise scenario.agent_count"
            )
        if number == 0 and storm.kill_at_s != "auto":
            raise ConfigError(
                f"scenario.kill_at_s: expected somebody to kill at {storm.kill_at_s:g} s, but {share} rounds to 0; "
                f"raise scenario.kill_fraction, or leave scenario.kill_at_s at auto for a control"
            )
        self._check_length(hurts=bool(number))

    def _check_length(self, *, hurts: bool) -> None:
        storm = self.storm
        if hurts and storm.duration < phases.SHORTEST_STORM_S:
            raise ConfigError(
                f"scenario.duration: expected {phases.SHORTEST_STORM_S:g} s or more for a storm, got "
                f"{storm.duration:g}, where half a rate window is shorter than the least task deadline of 2 s; "
                f"lengthen it, or set scenario.kill_fraction to 0 for a control"
            )


def _explicit(value: float | Auto) -> float | None:
    return None if value == "auto" else value


def _or(value: float | Auto, automatic: float) -> float:
    return automatic if value == "auto" else value
