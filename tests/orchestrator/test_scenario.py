"""What may stand in a scenario, what it means, and what is written down of it."""

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from orchestrator import expectation, ports, settings_load
from orchestrator.expectation import Expectation
from orchestrator.scenario import Scenario
from orchestrator.settings_load import Layer
from protocols.errors import ConfigError

KEY = "sk-not-to-be-seen"


def build(values: dict[str, object], environ: dict[str, str] | None = None) -> Scenario:
    """Make a scenario out of one file called ``x.yaml``."""
    return settings_load.build([Layer("x.yaml", values)], environ or {})


def complaint(values: dict[str, object], environ: dict[str, str] | None = None) -> str:
    """Return what is said about a wrong file."""
    with pytest.raises(ConfigError) as caught:
        build(values, environ)
    assert caught.value.__cause__ is None
    return str(caught.value)


def test_an_empty_file_is_the_default_storm() -> None:
    """All keys have defaults: the storm of the specification."""
    storm = build({}).storm
    assert (storm.agent_count, storm.protocol, storm.kill_fraction, storm.duration) == (8, "json", 0.3, 120)


def test_the_shipped_configuration_states_the_defaults() -> None:
    """config.yaml shows the defaults and changes none."""
    assert settings_load.build([settings_load.read_file(Path("config.yaml"))], {}) == Scenario()


@pytest.mark.parametrize("duration", [16, 24, 120, 240])
def test_the_shipped_crash_recovery_works_at_every_length(duration: int) -> None:
    """The second named scenario has its restart inside the run, also when it is scaled."""
    layer = settings_load.read_named("crash-recovery", Path("config.yaml"))
    crash = settings_load.build([layer, Layer("--duration", {"scenario": {"duration": duration}})], {})
    assert crash.heal_after_s is not None
    assert crash.windows.kill_at_s + crash.heal_after_s < duration


def test_sections_without_content_are_defaults() -> None:
    """A section whose keys are all commented out is no mistake."""
    assert build({"scenario": None, "llm": {"model": None}, "expect": None}) == Scenario()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"scenario": {"agent_cuont": 8}},
            "x.yaml: unknown key scenario.agent_cuont; did you mean scenario.agent_count?",
        ),
        ({"agent_count": 8}, "x.yaml: unknown key agent_count; did you mean scenario.agent_count?"),
        ({"scenario": {"adopt": False}}, "x.yaml: unknown key scenario.adopt; did you mean recovery.adopt?"),
        (
            {"detector": {"qqq": 1}},
            "unknown key detector.qqq; expected one of kind, mode, interval_s, timeout_s, misses, fanout, phi, swim",
        ),
        ({"scenario": {True: 1}}, "unknown key scenario.True"),
        (
            {"scenario": {"duration": "long"}},
            "scenario.duration: expected a number of seconds from 4 to 86400, got 'long'",
        ),
        ({"scenario": {"duration": True}}, "scenario.duration: expected a number of seconds"),
        ({"scenario": {"duration": float("inf")}}, "scenario.duration: expected a number of seconds"),
        (
            {"scenario": {"agent_count": 8.0}},
            "scenario.agent_count: expected a whole number of agents, 1 or more, got 8.0",
        ),
        ({"scenario": {"agent_count": 0}}, "expected a whole number of agents, 1 or more, got 0"),
        ({"scenario": {"agent_count": "8"}}, "got '8'"),
        ({"scenario": {"kill_fraction": 1.0}}, "from 0 up to but not including 1, got 1.0"),
        ({"scenario": {"kill_fraction": -0.1}}, "from 0 up to but not including 1, got -0.1"),
        ({"scenario": {"kill_fraction": 2}}, "from 0 up to but not including 1, got 2"),
        ({"scenario": {"kill_at_s": "late"}}, "scenario.kill_at_s: expected seconds after the start, above 0, or auto"),
        ({"scenario": {"heal": float("nan")}}, "scenario.heal: expected seconds above 0"),
        ({"scenario": {"heal": False}}, "scenario.heal: expected seconds above 0"),
        ({"scenario": {"protocol": "smtp"}}, "scenario.protocol: expected one of "),
        (
            {"scenario": {"topology": "tree"}},
            "scenario.topology: expected one of mesh, full, star, ring, or the path of a file",
        ),
        ({"scenario": {"fragments": 9}}, "from 10 to 100000, got 9"),
        ({"scenario": 7}, "x.yaml: scenario: expected a section with keys of its own, got 7"),
        ({"detector": {"mode": "magic"}}, "detector.mode: expected 'probe', 'common', 'tcp' or 'native', got 'magic'"),
        ({"detector": {"kind": "magic"}}, "detector.kind: expected one of fixed, phi, swim, got 'magic'"),
        (
            {"detector": {"swim": {"suspicion_min": 5.0}}},
            "x.yaml: detector.swim.suspicion_max: expected a number no less than suspicion_min, got nothing",
        ),
        (
            {"detector": {"swim": {"suspicion_max": 0.5}}},
            "detector.swim.suspicion_max: expected a number no less than suspicion_min, got 0.5",
        ),
        (
            {"detector": {"adaptive": {"max_interval_s": 0.1}}},
            "detector.adaptive.max_interval_s: expected a number no less than min_interval_s, got 0.1",
        ),
        ({"detector": {"phi": {"window": 1}}}, "detector.phi.window: expected greater than or equal to 2, got 1"),
        ({"detector": {"misses": "2"}}, "detector.misses: expected a valid integer, got '2'"),
        ({"recovery": {"adopt": "no"}}, "recovery.adopt: expected a valid boolean, got 'no'"),
        ({"expect": {"recovery_ms": "fast"}}, "expect.recovery_ms: expected a comparison out of"),
        ({"expect": {"recovery_ms": 5}}, "such as '<= 0.1', got 5"),
        ({"expect": {"Recovery MS": "< 5"}}, "expected the name of a metric, got 'expect.Recovery MS'"),
        ({"scenario": {"duration": "x", "seed": -1, "oops": 1}}, "(and 2 more)"),
    ],
)
def test_wrong_values_are_named_with_their_place(values: dict[str, object], said: str) -> None:
    """One line: the place, the key, what was expected, and what came."""
    text = complaint(values)
    assert said in text
    assert text.startswith("x.yaml: ")
    assert "\n" not in text


@pytest.mark.parametrize(
    ("storm", "said"),
    [
        ({"agent_count": 3, "kill_fraction": 0.9}, "0.9 of 3 agents is 3 after rounding, all of them"),
        ({"agent_count": 1, "kill_fraction": 0.5}, "expected a survivor"),
        ({"kill_fraction": 0, "kill_at_s": 60}, "expected somebody to kill at 60 s, but 0 of 8 agents rounds to 0"),
        ({"agent_count": 1, "kill_at_s": 60}, "0.3 of 1 agents rounds to 0"),
        ({"duration": 15.9}, "expected 16 s or more for a storm, got 15.9, where half a rate window"),
        ({"kill_at_s": 130}, "inside the run of 120 s, got 130"),
        ({"task_deadline_s": 16}, "half of the 30 s rate window, 15 s, got 16"),
        ({"heal": 60}, "expected the restart before the end of the run at 120 s, got 120 s; set it below 60"),
    ],
)
def test_values_must_fit_each_other(storm: dict[str, object], said: str) -> None:
    """What cannot be run is refused with the numbers."""
    assert said in complaint({"scenario": storm})


@pytest.mark.parametrize(
    "storm", [{"kill_fraction": 0, "duration": 4}, {"agent_count": 1, "duration": 5}, {"duration": 16}]
)
def test_short_runs(storm: dict[str, object]) -> None:
    """A control may be shorter than the shortest storm."""
    assert build({"scenario": storm}).windows.rate_window_s > 0


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"scenario": {"agent_count": 2}, "network": {"base_port": 9999}}, "apart from the agents' 9999 to 10001"),
        ({"scenario": {"agent_count": 901}}, "apart from the agents'"),
        ({"network": {"base_port": 80}}, "expected ports within 1024 to 65535, but 8 agents need 80 to 88"),
        ({"network": {"admin_base_port": 65530}}, "8 agents need 65530 to 65538"),
    ],
)
def test_port_ranges_must_be_possible(values: dict[str, object], said: str) -> None:
    """The agents' and the admin ports neither overlap nor leave the range of ordinary ports."""
    assert said in complaint(values)


def test_the_base_moves_for_large_meshes() -> None:
    """89 agents end before Prometheus's 9090; 90 agents begin at 9101."""
    assert ports.plan_ports(89, None, 10_000).agents[-1] == 9089
    assert ports.plan_ports(90, None, 10_000).agents[0] == 9101
    assert ports.plan_ports(90, 9000, 10_000).agents[0] == 9001


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"scenario": {"agent_count": 1, "duration": 30, "heal": "auto"}},
        {"scenario": {"duration": 24, "heal": "auto"}, "expect": {"detection_ms.p95": "< 5e3", "lost_tasks": "==0"}},
        {"scenario": {"duration": 5, "kill_fraction": 0, "task_rate": "auto"}, "recovery": {"takeover": False}},
        {"scenario": {"agent_count": 95, "kill_at_s": 61.5}, "llm": {"model": {"openai_api_key": KEY}}},
    ],
)
def test_resolved_is_explicit_and_loads_back(values: dict[str, object]) -> None:
    """The written scenario has a number for each auto (but the kill of a control), no key, and means the same."""
    scenario = build(values)
    text = scenario.to_yaml()
    loaded = build(yaml.safe_load(text))
    assert loaded == scenario.resolved() == loaded.resolved()
    assert (loaded.windows, loaded.ports, loaded.victim_count) == (
        scenario.windows,
        scenario.ports,
        scenario.victim_count,
    )
    assert text.count("auto") == int(scenario.is_control)
    assert "key" not in text


def test_the_key_is_never_shown() -> None:
    """No dump, no representation and no complaint repeats the key."""
    scenario = build({"llm": {"model": {"openai_api_key": KEY}}})
    assert KEY not in repr(scenario) + scenario.to_yaml() + str(scenario.to_mapping()) + scenario.model_dump_json()
    wrong: list[dict[str, object]] = [
        {"llm": {"model": {"openai_api_key": [KEY]}}},
        {"llm": {"model": KEY}},
        {"llm": KEY},
        {"llm": {"model": {"openai_api_key": KEY, "typ": 1}}},
        {"llm": {"model": {"openai_api_key": KEY, "type": "openai", "retries": 11}}},
    ]
    assert not [text for text in map(complaint, wrong) if KEY in text]


@pytest.mark.parametrize("key", [None, "", "your-key-here"])
def test_openai_without_a_key_says_where_to_set_it(key: str | None) -> None:
    """No key, an empty one, or the specification's placeholder: the environment variable is named."""
    assert "set the environment variable OPENAI_API_KEY" in complaint(
        {"llm": {"model": {"type": "openai", "openai_api_key": key}}}
    )


@pytest.mark.parametrize(("in_file", "environ"), [(KEY, {}), ("your-key-here", {"OPENAI_API_KEY": KEY})])
def test_a_key_reaches_the_agents_by_their_environment_alone(in_file: str, environ: dict[str, str]) -> None:
    """From the file or the environment of the lab; no dump of the scenario and no settings of an agent have it."""
    values: dict[str, object] = {"llm": {"model": {"type": "openai", "name": "gpt-4", "openai_api_key": in_file}}}
    scenario = build(values, environ)
    model = scenario.llm.model
    assert model.environment() == {"OPENAI_API_KEY": KEY}
    written = repr(scenario) + scenario.to_yaml() + scenario.model_dump_json() + repr(model.for_agents(5.0))
    assert KEY not in written
    assert build({"llm": {"model": {"openai_api_key": KEY}}}).llm.model.environment() == {}


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"type": "gpt"}, "expected one of local, openai, replay"),
        ({"type": "replay"}, "llm.model.recording: expected the path of a recording for replay, but none came"),
        ({"type": "replay", "recording": "nowhere.jsonl"}, "expected a recording at nowhere.jsonl, got: No such file"),
        ({"base_url": "http://user:word@host/v1"}, "llm.model.base_url: expected the address of an endpoint"),
        ({"timeout_s": 2.1}, "llm.model.timeout_s: expected at most 2 s"),
        ({"timeout_s": 0}, "llm.model.timeout_s: expected seconds above 0 for one attempt, or auto"),
        ({"retries": 11}, "llm.model.retries: expected a whole number from 0 to 10"),
        ({"max_concurrent": 0}, "llm.model.max_concurrent: expected a whole number of requests from 1 to 256"),
        ({"price": {"promt": 1}}, "unknown key llm.model.price.promt; did you mean llm.model.price.prompt?"),
        ({"fallback": "hope"}, "llm.model.fallback: expected one of local, peer"),
    ],
)
def test_a_model_that_cannot_be_is_refused(model: dict[str, object], said: str) -> None:
    """One line that names the key and what would do."""
    assert said in complaint({"llm": {"model": model}})


def test_the_timeout_of_a_model_follows_the_deadline() -> None:
    """Two attempts fit into the 0.4 of the task deadline that a step waits for its model."""
    model = build({"scenario": {"task_deadline_s": 10}}).resolved().llm.model
    assert model.timeout_s == 2.0


@pytest.mark.parametrize(
    ("text", "value", "kept"),
    [
        ("<= 0.1", 0.1, True),
        ("<=0.1", 0.2, False),
        ("> 1e3", 1001, True),
        (">= -.5", -0.5, True),
        ("== 0", 0, True),
        ("!= 0", 0, False),
        ("< 5", None, False),
    ],
)
def test_expectations(text: str, value: float | None, *, kept: bool) -> None:
    """A bound compares; a null metric keeps no bound."""
    assert expectation.parse(text).check(value) is kept


def test_expectations_come_from_the_scenario() -> None:
    """The section maps metrics to bounds."""
    assert build({"expect": {"success_rate_drop": "<= 0.1"}}).expect == {"success_rate_drop": Expectation("<=", 0.1)}


@pytest.mark.parametrize("text", ["=< 1", "<", "1", "< one", "<= 1 2", "=! 1", "< nan"])
def test_bounds_must_be_comparisons(text: str) -> None:
    """Anything but one operator and one number is refused."""
    assert "expected a comparison" in complaint({"expect": {"recovery_ms": text}})


def test_a_scenario_is_frozen() -> None:
    """Nobody changes a scenario under way."""
    with pytest.raises(ValidationError):
        Scenario().storm.seed = 2  # type: ignore[misc]


def test_random_streams_are_apart() -> None:
    """Each purpose has its own stream; the same purpose and seed repeat it."""
    scenario = Scenario()
    assert scenario.rng("a").random() == scenario.rng("a").random() != scenario.rng("b").random()
