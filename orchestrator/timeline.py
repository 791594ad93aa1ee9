"""The plan of a run: phases, roster, links, victims and faults; pure, from the scenario and its seed alone."""

from dataclasses import dataclass

from agent.tools import TOOLS
from chaos import faults, schedule, targets, victims
from chaos.schedule import Order
from orchestrator import phases, strikes, topology
from orchestrator.scenario import Scenario
from orchestrator.windows import Windows
from orchestrator.workload.schedule import arrivals

BASELINE_TASKS = 40
"""A full-length baseline needs as many tasks to say anything (METRICS: validity); scaled, and never below 12."""
BASELINE_TASKS_LEAST = 12


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of the run, seconds after t0."""

    name: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class AgentPlan:
    """One agent: its one tool, its neighbours and its ports."""

    node_id: str
    tool: str
    neighbours: tuple[str, ...]
    port: int
    admin_port: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """Everything that is settled before a run starts."""

    windows: Windows
    agents: tuple[AgentPlan, ...]
    conductor_port: int
    conductor_admin_port: int
    victims: tuple[str, ...]
    orders: tuple[Order, ...]
    """Empty in a control."""
    arrivals_s: tuple[float, ...]
    """When each task arrives, seconds after t0, over [0, duration - deadline)."""
    notes: tuple[str, ...]
    """What the user should know beforehand, one sentence each; the announcement of a control comes first."""

    @property
    def is_control(self) -> bool:
        """Whether nobody is hurt."""
        return not self.victims

    @property
    def needs_proxy(self) -> bool:
        """Whether local agents must reach each other through the lab's proxy, which costs a little all run long."""
        return any(faults.load(order.fault).needs in ("cut", "links") for order in self.orders)

    @property
    def leaves_survivors_hurt(self) -> bool:
        """Whether a victim may live and suffer, so that somebody has to heal it whatever happens."""
        return any(faults.load(order.fault).effect != "ends" for order in self.orders)

    def obstacles(self, runtime: str) -> tuple[str, ...]:
        """Why faults of this run cannot be done to the agents of ``runtime``; empty where all can."""
        found = (faults.load(order.fault) for order in self.orders)
        reasons = (targets.lacks(runtime, fault.name, fault.needs) for fault in found)
        return tuple(dict.fromkeys(reason for reason in reasons if reason is not None))

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases in the order of their time, without gaps; empty ones are left out."""
        windows = self.windows
        start_s, end_s = phases.baseline(windows)
        kill_at_s, last_s = windows.kill_at_s, phases.last_arrival_s(windows)
        after_s = kill_at_s + windows.rate_window_s
        ends = (
            ("warm-up", windows.warmup_s),
            ("not counted", start_s),
            ("baseline", end_s),
            ("in flight at the kill", kill_at_s),
            ("after the kill", after_s),
            ("settling", last_s),
            ("no more arrivals", windows.duration_s),
        )
        found: list[Phase] = []
        for name, phase_end_s in ends:
            begin_s = found[-1].end_s if found else 0.0
            if phase_end_s - begin_s > phases.TOLERANCE_S:
                found.append(Phase(name, begin_s, round(phase_end_s, 6)))
        return tuple(found)

    @property
    def ports(self) -> tuple[int, ...]:
        """Every port that must be free before the run."""
        agents = (port for agent in self.agents for port in (agent.port, agent.admin_port))
        return (self.conductor_port, self.conductor_admin_port, *agents)


def plan(scenario: Scenario) -> Timeline:
    """Settle a run; the same scenario gives the same timeline."""
    windows, ports, storm = scenario.windows, scenario.ports, scenario.storm
    names = topology.node_names(storm.agent_count)
    links = scenario.neighbours
    tools = {name: TOOLS[place % len(TOOLS)] for place, name in enumerate(names)}
    arrivals_s = arrivals(scenario.task_rate_per_s, 0.0, phases.last_arrival_s(windows), scenario.rng("arrivals"))
    if scenario.chaos:
        orders = strikes.orders(scenario, strikes.census(scenario, tools, links, len(arrivals_s)))
    else:
        chosen = victims.choose(names, scenario.victim_count, scenario.rng("victims"))
        orders = schedule.plan(chosen, kill_at_s=windows.kill_at_s, heal_after_s=scenario.heal_after_s)
    hit = {name for order in orders for name in order.victims}
    return Timeline(
        windows=windows,
        agents=tuple(
            AgentPlan(name, tools[name], links[name], ports.agents[place], ports.admin[place])
            for place, name in enumerate(names)
        ),
        conductor_port=ports.conductor,
        conductor_admin_port=ports.conductor_admin,
        victims=tuple(name for name in names if name in hit),
        orders=orders,
        arrivals_s=tuple(arrivals_s),
        notes=_notes(scenario),
    )


def _notes(scenario: Scenario) -> tuple[str, ...]:
    windows, storm = scenario.windows, scenario.storm
    notes = []
    if scenario.is_control and scenario.chaos:
        notes.append("control: no entry of chaos has a victim, nobody will be hurt")
    elif scenario.is_control:
        notes.append(
            f"control: {storm.kill_fraction:g} of {storm.agent_count} agents rounds to 0 victims, nobody will be killed"
        )
    if storm.duration < phases.FULL_DURATION_S:
        notes.append(f"scaled: {windows.scale:.3g} of the full length, for no published table")
    expected = windows.rate_window_s * scenario.task_rate_per_s
    needed = max(BASELINE_TASKS * min(1.0, windows.scale), BASELINE_TASKS_LEAST)
    if expected < needed:
        notes.append(
            f"thin: the baseline will hold about {expected:.3g} tasks and needs {needed:.3g}, "
            f"the verdict will be invalid; raise scenario.task_rate or scenario.duration"
        )
    if storm.replication > storm.agent_count:
        notes.append(f"replication: {scenario.replication} copies, since there are no more agents")
    return tuple(notes)
