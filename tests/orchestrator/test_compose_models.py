"""Language models in containers: who gets the key, who the recording, and which endpoints cannot be reached."""

import os
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from agent.models.replay import Recorded
from agent.settings import KEY_VARIABLE, AgentSettings
from orchestrator import settings_load
from orchestrator.cli import main
from orchestrator.compose.engine import Engine
from orchestrator.compose.launch import Launch
from orchestrator.compose.prepare import KEY_IS_ELSEWHERE, Owner, keep_sources, kept_recording, prepare
from orchestrator.model_settings import HOST_OF_CONTAINERS
from orchestrator.run_dir import SCENARIO_FILE, RunDir
from protocols.errors import ConfigError

CHECKOUT = Path(__file__).parents[2]
COMPOSED = {"FAILSTORM_AGENTS": "8", "FAILSTORM_BASE_PORT": "9000", "FAILSTORM_ADMIN_BASE_PORT": "10000"}
OWNER = Owner(10_001, 10_002)
RECORDED = Recorded(task="t", question="q", answer="a", chain=(), ms=1.0).model_dump_json() + "\n"


@pytest.fixture(autouse=True)
def nobody_is_given_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only root may hand files over for real."""
    monkeypatch.setattr(os, "chown", lambda *_, **__: None)


def config(folder: Path, **model: object) -> Path:
    """A configuration with this model."""
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({"llm": {"model": model}}))
    return path


def test_the_key_is_with_the_agents_and_nowhere_else() -> None:
    """compose.yaml hands it to the agents' environment; the others learn at most that there is one."""
    services = yaml.safe_load((CHECKOUT / "compose.yaml").read_text())["services"]
    for name, service in services.items():
        environment = service.get("environment", {})
        if name.startswith("agent-"):
            assert environment == {KEY_VARIABLE: f"${{{KEY_VARIABLE}:-}}"}
            assert service["extra_hosts"] == [f"{HOST_OF_CONTAINERS}:host-gateway"]
        else:
            assert KEY_VARIABLE not in environment
            assert all(f"${{{KEY_VARIABLE}:-" not in str(value) for value in environment.values())
    assert services["prepare"]["environment"]["FAILSTORM_KEY"] == f"${{{KEY_VARIABLE}:+given}}"


def test_a_model_behind_an_endpoint_is_prepared_without_its_key(tmp_path: Path) -> None:
    """What the agents are told has the endpoint; no file of the run has a key; without one the run does not begin."""
    path = config(tmp_path, type="openai", name="m", base_url=f"http://{HOST_OF_CONTAINERS}:8000/v1")
    with pytest.raises(ConfigError, match=f"set the environment variable {KEY_VARIABLE}"):
        prepare(tmp_path / "run", path, OWNER, COMPOSED)
    scenario = prepare(tmp_path / "run", path, OWNER, COMPOSED | {"FAILSTORM_KEY": "given"})
    assert scenario.llm.model.type == "openai"
    written = [file.read_text() for file in (tmp_path / "run").rglob("*") if file.is_file()]
    assert not any(KEY_IS_ELSEWHERE[KEY_VARIABLE] in text for text in written)


def test_a_key_that_stands_in_the_file_is_not_enough(tmp_path: Path) -> None:
    """It would not reach the agents."""
    path = config(tmp_path, type="openai", openai_api_key="sk-not-to-be-seen")
    with pytest.raises(ConfigError, match=f"{KEY_VARIABLE}: expected the key in the environment") as caught:
        prepare(tmp_path / "run", path, OWNER, COMPOSED)
    assert "sk-not-to-be-seen" not in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "127.9.9.9", "model.localhost"])  # noqa: S104
def test_loopback_is_each_container_itself(tmp_path: Path, host: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Refused in one line that says what would do, by prepare and by the command line."""
    url = f"http://{host}:8000/v1"
    path = config(tmp_path, type="openai", base_url=url)
    with pytest.raises(ConfigError, match=f"name it {HOST_OF_CONTAINERS}, or run with --runtime local"):
        prepare(tmp_path / "run", path, OWNER, COMPOSED | {"FAILSTORM_KEY": "given"})
    wish = ["run", "--runtime", "docker", "--config", str(path), "--results-dir", str(tmp_path / "results")]
    assert main(wish, {KEY_VARIABLE: "sk-not-to-be-seen", "PATH": ""}) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("fail-storm: llm.model.base_url: expected an address that containers reach, got ")
    assert "sk-not-to-be-seen" not in line


def test_other_hosts_may_be_reached() -> None:
    """Nobody asks the network."""
    for host in ("api.openai.com", HOST_OF_CONTAINERS, "192.168.1.4", "localhost.example"):
        values = {"type": "openai", "base_url": f"https://{host}/v1"}
        scenario = settings_load.build(
            [settings_load.Layer("test", {"llm": {"model": values}})], {KEY_VARIABLE: "sk-not-to-be-seen"}
        )
        scenario.llm.model.check_reach()


def test_each_agent_has_the_recording_in_its_workspace(tmp_path: Path) -> None:
    """Where the host has settled the run, and with a plain `docker compose up`; the path is that of the container."""
    (tmp_path / "answers.jsonl").write_text(RECORDED)
    path = config(tmp_path, type="replay", recording=str(tmp_path / "answers.jsonl"))
    plain = prepare(tmp_path / "plain", path, OWNER, COMPOSED)
    settled = tmp_path / "settled"
    settled.mkdir()
    (settled / SCENARIO_FILE).write_text(plain.to_yaml())
    keep_sources(plain, settled)
    (tmp_path / "answers.jsonl").unlink()  # of the host, which containers do not see
    prepare(settled, settled / SCENARIO_FILE, OWNER, COMPOSED)
    for run_dir in (tmp_path / "plain", settled):
        for n in range(1, 9):
            workspace = run_dir / "workspaces" / f"agent_{n}"
            assert (workspace / "recording.jsonl").read_text() == RECORDED
            told = AgentSettings.model_validate_json((workspace / "settings.json").read_bytes())
            assert str(told.model.recording) == "/workspace/recording.jsonl"
    [layer] = kept_recording(settled)
    assert layer.values == {"llm": {"model": {"recording": str(settled / "recording.jsonl")}}}


def test_one_call_to_the_engine_carries_the_key(tmp_path: Path) -> None:
    """The one that creates the agents; neither builds nor questions see it, nor the call for the orchestrator."""
    calls = tmp_path / "calls"
    client = tmp_path / "docker"
    client.write_text(f'#!/bin/sh\necho "${KEY_VARIABLE}|$*" >> {calls}\necho agent-1 orchestrator\n')
    client.chmod(0o755)
    environ = {KEY_VARIABLE: "sk-not-to-be-seen", "PATH": "/bin"}
    layer = settings_load.Layer("test", {"llm": {"model": {"type": "openai"}}})
    engine = Engine(str(client), "1", {**environ, KEY_VARIABLE: ""})
    launch = Launch(settings_load.build([layer], environ), engine, Console(quiet=True), debug=False)
    launch._start(RunDir("run", tmp_path))
    asked = [line.split("|") for line in calls.read_text().splitlines()]
    assert [call for key, call in asked if key] == ["compose up --detach --no-build agent-1"]
    assert {key for key, _ in asked} == {"", "sk-not-to-be-seen"}
    assert any(call.startswith("compose up --no-start") for key, call in asked if not key)
