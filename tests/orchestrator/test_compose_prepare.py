"""The folder of a run as its containers find it."""

import json
import os
from pathlib import Path

import pytest
import yaml

from agent.settings import AgentSettings
from orchestrator.compose.prepare import Owner, prepare
from protocols.errors import ConfigError, LabError

CHECKOUT = Path(__file__).parents[2]
COMPOSED = {"FAILSTORM_AGENTS": "8", "FAILSTORM_BASE_PORT": "9000", "FAILSTORM_ADMIN_BASE_PORT": "10000"}
OWNER = Owner(10_001, 10_002)


@pytest.fixture(autouse=True)
def handed_over(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[int, int]]:
    """Who was given what, by file name: only root may do it for real."""
    given: dict[str, tuple[int, int]] = {}

    def chown(path: Path, uid: int, gid: int, **_: bool) -> None:
        given[Path(path).name] = (uid, gid)

    monkeypatch.setattr(os, "chown", chown)
    return given


def settings(run_dir: Path, node: str) -> AgentSettings:
    """What an agent will read."""
    return AgentSettings.model_validate_json((run_dir / "workspaces" / node / "settings.json").read_bytes())


def test_agents_find_each_other_by_name_and_end_by_lease(tmp_path: Path) -> None:
    """Service names for hosts, all addresses bound, one's own workspace, no parent process."""
    prepare(tmp_path / "compose", CHECKOUT / "config.yaml", OWNER, COMPOSED)
    found = settings(tmp_path / "compose", "agent_3")
    assert (found.run_id, found.bind_host, found.admin_port, str(found.workspace)) == (
        *("compose", "0.0.0.0", 10_003, "/workspace"),  # noqa: S104
    )
    assert [(member.host, member.port) for member in found.roster] == [(f"agent-{n}", 9000 + n) for n in range(1, 9)]
    assert (found.conductor.host, found.conductor.port) == ("orchestrator", 9000)
    assert found.parent_pid is None
    assert found.lease is not None
    assert found.lease.silent_s == 10


def test_who_is_cut_off_keeps_its_lease_until_the_cut_is_mended(tmp_path: Path) -> None:
    """A cut agent hears nothing of its orchestrator: its lease outlasts the longest cut by as much as ever."""
    config = yaml.safe_load((CHECKOUT / "config.yaml").read_text())
    config["chaos"] = [{"fault": "cut", "for_s": 8, "victims": {"count": 1}}]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    prepare(tmp_path / "compose", tmp_path / "config.yaml", OWNER, COMPOSED)
    lease = settings(tmp_path / "compose", "agent_3").lease
    assert lease is not None
    assert lease.silent_s == 18


def test_variables_win_over_the_file_and_the_compose_files_over_all(tmp_path: Path) -> None:
    """PROTOCOL, DURATION and the like as with make; what compose does not have cannot be wished for."""
    (tmp_path / "config.yaml").write_text("scenario: {agent_count: 5, duration: 60, seed: 3}\n")
    wishes = {"PROTOCOL": "anp", "DURATION": "24", "KILL_FRACTION": "0.5", "TOPOLOGY": "ring", "SEED": ""}
    scenario = prepare(tmp_path / "run", tmp_path / "config.yaml", OWNER, COMPOSED | wishes)
    storm = scenario.storm
    assert (storm.protocol, storm.duration, storm.kill_fraction, storm.topology) == ("anp", 24, 0.5, "ring")
    assert (storm.seed, storm.agent_count) == (3, 8)
    assert (tmp_path / "run" / "workspaces" / "agent_1" / "anp").is_dir() or any(
        (tmp_path / "run" / "workspaces" / "agent_1").glob("**/*.pem")
    )


def test_more_agents_than_compose_has_are_refused(tmp_path: Path) -> None:
    """One line says what would do."""
    with pytest.raises(ConfigError, match=r"AGENTS: expected 8.*make run RUNTIME=docker AGENTS=12"):
        prepare(tmp_path / "run", CHECKOUT / "config.yaml", OWNER, COMPOSED | {"AGENTS": "12"})


def test_a_plain_run_forgets_the_one_before(tmp_path: Path) -> None:
    """results/compose holds one run at a time: no old journal may be merged into a new one."""
    run_dir = tmp_path / "compose"
    (run_dir / "workspaces" / "agent_9").mkdir(parents=True)
    (run_dir / "conductor.jsonl").write_text("old\n")
    prepare(run_dir, CHECKOUT / "config.yaml", OWNER, COMPOSED)
    assert not (run_dir / "conductor.jsonl").exists()
    assert sorted(path.name for path in (run_dir / "workspaces").iterdir()) == [f"agent_{n}" for n in range(1, 9)]


def test_what_the_host_has_settled_stays(tmp_path: Path) -> None:
    """A scenario in the run's own folder is taken as it is: nothing is cleared, and no variable changes it."""
    prepare(tmp_path / "run", CHECKOUT / "config.yaml", OWNER, COMPOSED)
    config = tmp_path / "run" / "scenario.yaml"
    before = config.read_text()
    (tmp_path / "run" / "document.jsonl").write_text("kept\n")
    scenario = prepare(tmp_path / "run", config, OWNER, COMPOSED | {"PROTOCOL": "anp"})
    assert scenario.storm.protocol == "json"
    assert config.read_text() == before
    assert (tmp_path / "run" / "document.jsonl").exists()


def test_an_override_of_another_run_is_noticed(tmp_path: Path) -> None:
    """Compose files with other agents or ports than the settled scenario end the run before it begins."""
    prepare(tmp_path / "run", CHECKOUT / "config.yaml", OWNER, COMPOSED)
    with pytest.raises(LabError, match=r"is compose\.override\.yaml of another run"):
        prepare(tmp_path / "run", tmp_path / "run" / "scenario.yaml", OWNER, COMPOSED | {"FAILSTORM_AGENTS": "12"})


def test_prometheus_is_told_of_everybody(tmp_path: Path) -> None:
    """Agents, orchestrator and chaos by the names they have on Prometheus's networks."""
    prepare(tmp_path / "run", CHECKOUT / "config.yaml", OWNER, COMPOSED)
    groups = json.loads((tmp_path / "run" / "prometheus" / "targets.json").read_text())
    assert [group["targets"][0] for group in groups] == [
        *(f"agent-{n}:{10_000 + n}" for n in range(1, 9)),
        *("orchestrator:10000", "chaos.control:8000"),
    ]


def test_the_token_is_fresh_and_for_two_readers(tmp_path: Path, handed_over: dict[str, tuple[int, int]]) -> None:
    """The orchestrator has it as its owner, chaos by root's group, agents not at all; everything else is the user's."""
    token = tmp_path / "run" / "control" / "token"
    prepare(tmp_path / "run", CHECKOUT / "config.yaml", OWNER, COMPOSED)
    first = token.read_text()
    prepare(tmp_path / "run", tmp_path / "run" / "scenario.yaml", OWNER, COMPOSED)
    assert len(first) >= 32
    assert token.read_text() != first
    assert token.stat().st_mode & 0o777 == 0o440
    assert handed_over["token"] == (10_001, 0)
    assert {handed_over[name] for name in ("settings.json", "agent_1", "logs", "scenario.yaml")} == {(10_001, 10_002)}
