"""From the list of faults in a scenario to strikes with victims and times; pure, seeded."""

from collections.abc import Mapping, Sequence

from agent.ranking import rank
from chaos import schedule, victims
from chaos.schedule import Order, Strike
from chaos.victims import Candidate
from orchestrator.chaos_settings import Entry, seconds
from orchestrator.scenario import Scenario
from orchestrator.workload.schedule import task_id
from protocols.errors import ConfigError

_STREAM = "victims"


def census(
    scenario: Scenario, tools: Mapping[str, str], links: Mapping[str, Sequence[str]], task_count: int
) -> tuple[Candidate, ...]:
    """What the policies may know of each agent, in roster order."""
    names = tuple(tools)
    owners = [rank(f"{scenario.storm.seed}|owner|{task_id(number)}", names)[0] for number in range(task_count)]
    return tuple(Candidate(name, tools[name], len(links[name]), owners.count(name)) for name in names)


def orders(scenario: Scenario, candidates: Sequence[Candidate]) -> tuple[Order, ...]:
    """All orders of the scenario's ``chaos``, in the order of time.

    Each entry draws among the agents that no earlier one has drawn, as long as there are enough of them. Raises
    ConfigError when an order would come after the end of the run, hits nobody's survivor, or hits a victim twice.
    """
    windows = scenario.windows
    chosen: list[tuple[str, ...]] = []
    strikes = []
    for place, entry in enumerate(scenario.chaos):
        chosen.append(_victims(scenario, entry, place, candidates, chosen))
        strikes.append(
            Strike(
                entry.fault,
                entry.begin_s(windows.kill_at_s, windows.duration_s),
                chosen[-1],
                entry.healed_after_s(windows.duration_s),
                0.0 if entry.gap_s is None else seconds(entry.gap_s, windows.duration_s),
                None if entry.every_s is None else seconds(entry.every_s, windows.duration_s),
                entry.rounds,
                entry.parameters,
            )
        )
    planned = schedule.timed(strikes)
    _check(scenario, planned, {name for names in chosen for name in names})
    return planned


def _victims(
    scenario: Scenario,
    entry: Entry,
    place: int,
    candidates: Sequence[Candidate],
    chosen: Sequence[tuple[str, ...]],
) -> tuple[str, ...]:
    choice = entry.victims
    if choice.same_as is not None:
        return chosen[choice.same_as - 1]
    number = scenario.victims_of(entry)
    if number >= len(candidates):
        raise ConfigError(
            f"chaos.{place + 1}.victims: expected a survivor, got {number} victims of {len(candidates)} agents; "
            f"lower the number, or raise scenario.agent_count"
        )
    if choice.tool is not None and choice.tool not in {candidate.tool for candidate in candidates}:
        raise ConfigError(f"chaos.{place + 1}.victims.tool: expected a tool of the roster, got {choice.tool!r}")
    hit = {name for names in chosen for name in names}
    fresh = [candidate for candidate in candidates if candidate.name not in hit]
    among = fresh if len(fresh) > number else candidates
    # The first entry draws from the stream of the plain storm: the same seed hits the same agents.
    rng = scenario.rng(_STREAM if place == 0 else f"{_STREAM}/{place}")
    return victims.select(among, number, rng, policy=choice.policy, tool=choice.tool)


def _check(scenario: Scenario, planned: Sequence[Order], hit: set[str]) -> None:
    windows = scenario.windows
    if len(hit) >= scenario.storm.agent_count:
        raise ConfigError(
            f"chaos: expected a survivor, but all {len(hit)} agents are hit by one fault or another; name fewer victims"
        )
    for order in planned:
        if order.at_s >= windows.duration_s:
            raise ConfigError(
                f"chaos: expected every order before the end of the run at {windows.duration_s:g} s, but "
                f"{order.action} {order.fault} would come at {order.at_s:g} s; raise scenario.duration"
            )
        if order.at_s < windows.kill_at_s:
            raise ConfigError(
                f"chaos: expected every fault after the baseline, at {windows.kill_at_s:g} s or later, but "
                f"{order.fault} would come at {order.at_s:g} s; set scenario.kill_at_s to the first one"
            )
    clash = schedule.overlap(planned)
    if clash is not None:
        raise ConfigError(f"chaos: expected a victim to be healed before it is hit again, but {clash}; set for_s")
