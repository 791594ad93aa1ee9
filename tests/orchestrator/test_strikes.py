"""From ``chaos:`` in a scenario to orders with victims and times; what cannot be is refused before the run."""

from pathlib import Path

import pytest
from rich.console import Console

from chaos.targets import LACKS
from orchestrator import cli, dry_run, settings_load, timeline
from orchestrator.scenario import Scenario
from orchestrator.settings_load import Layer
from protocols.errors import ConfigError

Entry = dict[str, object]
SHIPPED = sorted(path.stem for path in Path("scenarios").glob("*.yaml"))


def scenario(*entries: Entry, **storm: object) -> Scenario:
    """A scenario of eight agents with these faults."""
    return settings_load.build([Layer("x.yaml", {"chaos": list(entries), "scenario": storm})], {})


def told(*entries: Entry, **storm: object) -> list[tuple[float, str, str, int]]:
    """When, what, which fault, upon how many."""
    orders = timeline.plan(scenario(*entries, **storm)).orders
    return [(order.at_s, order.action, order.fault, len(order.victims)) for order in orders]


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("duration", [16, 24, 120, 300])
def test_every_shipped_scenario_fits_every_length(name: str, duration: int) -> None:
    """Its orders lie inside the run, hurt somebody, and can be done in one runtime at least."""
    layers = [settings_load.read_named(name, Path("config.yaml")), Layer("-", {"scenario": {"duration": duration}})]
    planned = timeline.plan(settings_load.build(layers, {}))
    assert planned.victims
    assert any(planned.obstacles(runtime) == () for runtime in LACKS)
    assert all(planned.windows.kill_at_s <= order.at_s < duration for order in planned.orders)


def test_times_count_from_the_kill_and_scale() -> None:
    """Seconds are seconds, percentages are shares of the duration, at_s is absolute."""
    entries: list[Entry] = [
        {"fault": "pause", "for_s": "20%"},
        {"fault": "cut", "at": "kill+5", "for_s": 2, "victims": {"count": 1}},
        {"at": "kill + 10%", "victims": {"count": 1}},
        {"fault": "restart", "at_s": 80, "victims": {"count": 1}},
    ]
    assert told(*entries) == [
        (60, "inject", "pause", 2),
        (65, "inject", "cut", 1),
        (67, "heal", "cut", 1),
        (72, "inject", "kill", 1),
        (80, "inject", "restart", 1),
        (80.5, "heal", "restart", 1),
        (84, "heal", "pause", 2),
    ]


def test_the_first_entry_hits_the_victims_of_the_plain_storm() -> None:
    """A freeze and a kill of one seed compare; later entries hit others, unless they name an earlier one."""
    plain = timeline.plan(Scenario()).victims
    orders = timeline.plan(
        scenario(
            {"fault": "pause", "for_s": 5},
            {"fault": "cut", "at": "kill+6", "for_s": 5, "victims": {"count": 2}},
            {"fault": "cut", "at": "kill+15", "victims": {"same_as": 1}},
        )
    ).orders
    blows = [order.victims for order in orders if order.action == "inject"]
    assert blows[0] == blows[2] == plain
    assert not set(blows[1]) & set(plain)


def test_the_resolved_scenario_plans_the_same_storm() -> None:
    """What the journal keeps of it, numbers in the place of shares, gives the same orders again."""
    given = scenario({"fault": "cut", "at": "kill+5%", "for_s": "10%", "victims": {"fraction": 0.4}}, duration=24)
    again = Scenario.model_validate(given.to_mapping())
    assert timeline.plan(again).orders == timeline.plan(given).orders
    assert again.to_mapping() == given.to_mapping()


def test_a_list_without_victims_is_a_control() -> None:
    """A fraction that rounds to nobody is announced, as ever."""
    planned = timeline.plan(scenario({"fault": "pause"}, kill_fraction=0.01))
    assert planned.is_control
    assert planned.notes[0].startswith("control: ")


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([{"fault": "flood"}], "chaos.1.fault: expected one of bandwidth"),
        ([{}, {"fault": "pause", "victimz": {}}], "unknown key chaos.2.victimz; did you mean chaos.2.victims?"),
        ([{"at": "later"}], "chaos.1.at: expected kill, kill+SECONDS"),
        ([{"for_s": "soon"}], "chaos.1.for_s: expected seconds until it is healed"),
        ([{"fault": "pause", "for_s": 61}], "before the end of the run at 120 s, but heal pause would come at 121 s"),
        ([{"at_s": 59}], "expected every fault after the baseline, at 60 s or later, but kill would come at 59 s"),
        ([{"victims": {"count": 8}}], "chaos.1.victims: expected a survivor, got 8 victims of 8 agents"),
        ([{"victims": {"count": 4}}, {"at": "kill+1", "victims": {"count": 4}}], "a victim to be healed before"),
        ([{"victims": {"policy": "worst"}}], "chaos.1.victims.policy: expected one of random, tool"),
        ([{"victims": {"policy": "tool", "tool": "saw"}}], "chaos.1.victims.tool: expected a tool of the roster"),
        ([{"victims": {"same_as": 1}}], "chaos.1.victims.same_as: expected the number of an earlier entry"),
        ([{"fault": "latency"}], "chaos.1.parameters: expected what the fault understands, but latency needs"),
        ([{"rounds": 2}], "chaos.1.every_s: expected a time for 2 rounds"),
        ([{}, {"at": "kill+1", "victims": {"same_as": 1}}], "is hit by kill at 61 s, while kill is not healed"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(entries: list[Entry], said: str) -> None:
    """One line: which entry, what was expected, what came."""
    with pytest.raises(ConfigError) as caught:
        timeline.plan(scenario(*entries))
    assert said in str(caught.value)


def test_a_restart_of_the_plain_kill_does_not_mix_with_a_list() -> None:
    """The key scenario.heal belongs to the one kill."""
    with pytest.raises(ConfigError, match=r"chaos\.N\.for_s"):
        scenario({}, heal=5)


def test_the_dry_run_shows_everything() -> None:
    """Each order with its time, victims and strength, what it costs, and where it is not to be had."""
    console = Console(record=True, width=200, quiet=False)
    entry: Entry = {"fault": "latency", "for_s": 5, "victims": {"count": 1}, "parameters": {"latency_ms": 80}}
    dry_run.show(timeline.plan(scenario(entry)), console)
    text = console.export_text()
    assert "latency at 60 s: agent_" in text
    assert ", latency_ms 80" in text
    assert "heal after latency at 65 s: agent_" in text
    assert "through the proxy of the lab" in text
    assert "not with RUNTIME=docker: latency cannot be done to docker agents" in text


@pytest.mark.parametrize(
    ("runtime", "fault", "parameters"), [("local", "memory", {"spare_mib": 4}), ("docker", "partition", {})]
)
def test_a_fault_that_the_runtime_cannot_do_is_refused_before_the_run(
    runtime: str, fault: str, parameters: Entry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and the reason; nothing is started."""
    config = tmp_path / "config.yaml"
    config.write_text(f"chaos: [{{fault: {fault}, parameters: {parameters}}}]\noutput: {{results_dir: {tmp_path}/r}}\n")
    assert cli.main(["run", "--config", str(config), "--runtime", runtime], {}) == 2
    assert f"RUNTIME={runtime} can do, but {fault} cannot be done to {runtime} agents" in capsys.readouterr().err
    assert not list((tmp_path / "r").iterdir())
