"""Lays out the folder of a run for the containers that start after this one."""

import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from agent.settings import CONDUCTOR, KEY_VARIABLE
from orchestrator import settings_load, timeline
from orchestrator.layout import lay_out
from orchestrator.roster import RECORDING_FILE, agents_of, container_site, service_of
from orchestrator.run_dir import SCENARIO_FILE, RunDir
from orchestrator.scenario import Scenario
from orchestrator.settings_load import Layer
from orchestrator.storm_settings import GENERATED
from orchestrator.telemetry.targets import FOLDER as TARGETS_FOLDER
from orchestrator.telemetry.targets import write_targets
from orchestrator.timeline import Timeline
from protocols.errors import ConfigError, LabError

CHAOS_ADDRESS = "chaos.control:8000"
DOCUMENT_FILE = "document.jsonl"
TOKEN_FILE = "control/token"  # noqa: S105 - the place of one
KEY_IS_ELSEWHERE: Mapping[str, str] = MappingProxyType({KEY_VARIABLE: "with the agents"})
"""For scenarios that are read where no key is: the agents' containers alone have it."""
_CHAOS_GROUP = 0
"""Chaos has the token by its group: it runs as root, but without the right to read other people's files."""
_TOKEN_BYTES = 32

_TEXTS: Mapping[str, str] = MappingProxyType(
    {"PROTOCOL": "scenario.protocol", "TOPOLOGY": "scenario.topology", "DETECTOR_MODE": "detector.mode"}
)
_VALUES: Mapping[str, str] = MappingProxyType(
    {
        "DURATION": "scenario.duration",
        "KILL_FRACTION": "scenario.kill_fraction",
        "KILL_AT": "scenario.kill_at_s",
        "WARMUP": "scenario.warmup_s",
        "SEED": "scenario.seed",
    }
)
_COMPOSED: Mapping[str, str] = MappingProxyType(
    {
        "FAILSTORM_AGENTS": "scenario.agent_count",
        "FAILSTORM_BASE_PORT": "network.base_port",
        "FAILSTORM_ADMIN_BASE_PORT": "network.admin_base_port",
    }
)
"""What the compose files have, whatever anybody wishes."""


@dataclass(frozen=True)
class Owner:
    """To whom the files of the run belong."""

    uid: int
    gid: int


def prepare(run_dir: Path, config: Path, owner: Owner, environ: Mapping[str, str]) -> Scenario:
    """Make ``run_dir`` ready for agents, orchestrator, chaos and Prometheus; returns what will run.

    ``config`` inside of ``run_dir`` is the scenario that the host has settled; any other is a user's, to which the
    variables in ``environ`` add what they say, and ``run_dir`` is emptied of its former run. Raises ConfigError and
    LabError.
    """
    settled = config.resolve().parent == run_dir.resolve()
    layers = [settings_load.read_file(config)]
    layers += kept_recording(run_dir) if settled else _wishes(config, environ)
    key = KEY_IS_ELSEWHERE if environ.get("FAILSTORM_KEY") else {}
    scenario = settings_load.build([*layers, *_composed(environ)], key)
    if settled:
        _compare(settings_load.build(layers, key), scenario)
    scenario.llm.model.check_reach()
    if scenario.llm.model.type == "openai" and not key:
        raise ConfigError(f"{KEY_VARIABLE}: expected the key in the environment, from where the agents get it; set it")
    planned = timeline.plan(scenario)
    for reason in planned.obstacles("docker"):
        raise ConfigError(f"chaos: expected faults that containers can suffer, but {reason}")
    folder = RunDir(run_dir.name, run_dir)
    try:
        if not settled:
            _clear(run_dir)
        for name in ("workspaces", "logs", "control", TARGETS_FOLDER):
            (run_dir / name).mkdir(parents=True, exist_ok=True)
        if not settled:
            (run_dir / SCENARIO_FILE).write_text(scenario.to_yaml(), encoding="utf-8")
            keep_sources(scenario, run_dir)
        _lay_out(folder, scenario, planned)
        _hand_over(run_dir, owner)
        _write_token(run_dir / TOKEN_FILE, owner)
    except OSError as error:
        raise LabError(f"expected to lay out {run_dir}, got: {error.strerror}; make room or fix its rights") from error
    return scenario


def keep_sources(scenario: Scenario, run_dir: Path) -> None:
    """Copy the user's own document and recording into ``run_dir``, where containers find them; raises LabError."""
    recording = scenario.llm.model.recording if scenario.llm.model.type == "replay" else None
    document = None if scenario.storm.document == GENERATED else scenario.storm.document
    for source, name in ((document, DOCUMENT_FILE), (recording, RECORDING_FILE)):
        if source is not None:
            try:
                shutil.copyfile(source, run_dir / name)
            except OSError as error:
                raise LabError(
                    f"expected to copy {source} to {run_dir}, got: {error.strerror}; make room or fix its rights"
                ) from error


def kept_recording(run_dir: Path) -> list[Layer]:
    """The layer that names the recording in ``run_dir``, if there is one, by its path here."""
    path = run_dir / RECORDING_FILE
    return [settings_load.flag_layer("recording", "llm.model.recording", str(path))] if path.exists() else []


def _wishes(config: Path, environ: Mapping[str, str]) -> list[Layer]:
    given = {name: text for name, text in environ.items() if text}
    layers = [settings_load.read_named(given["SCENARIO"], config)] if "SCENARIO" in given else []
    layers += [settings_load.flag_layer(name, key, given[name]) for name, key in _TEXTS.items() if name in given]
    layers += [_value(name, key, given[name]) for name, key in _VALUES.items() if name in given]
    has = environ["FAILSTORM_AGENTS"]
    if given.get("AGENTS", has) != has:
        raise ConfigError(
            f"AGENTS: expected {has}, which the compose files have, got {given['AGENTS']}; "
            f"`make run RUNTIME=docker AGENTS={given['AGENTS']}` writes a compose.override.yaml for them"
        )
    return layers


def _composed(environ: Mapping[str, str]) -> list[Layer]:
    return [_value(name, key, environ[name]) for name, key in _COMPOSED.items()]


def _value(name: str, key: str, text: str) -> Layer:
    return settings_load.flag_layer(name, key, settings_load.read_value(name, text))


def _compare(wanted: Scenario, composed: Scenario) -> None:
    if wanted.resolved() != composed.resolved():
        raise LabError(
            f"expected compose files for {wanted.storm.agent_count} agents from port {wanted.ports.conductor} on, got "
            f"some for {composed.storm.agent_count} from {composed.ports.conductor}; is compose.override.yaml of "
            f"another run?"
        )


def _clear(run_dir: Path) -> None:
    run_dir.mkdir(parents=True, exist_ok=True)
    for entry in sorted(run_dir.iterdir()):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _lay_out(folder: RunDir, scenario: Scenario, planned: Timeline) -> None:
    agents = agents_of(scenario, planned, folder.run_id, container_site(len(planned.agents)))
    lay_out(folder, agents)
    recording = folder.path / RECORDING_FILE
    if recording.exists():
        for agent in agents:
            shutil.copyfile(recording, folder.workspace(agent.node_id) / RECORDING_FILE)
    write_targets(
        folder.path,
        folder.run_id,
        {agent.node_id: f"{service_of(agent.node_id)}:{agent.admin_port}" for agent in planned.agents},
        f"{service_of(CONDUCTOR)}:{planned.conductor_admin_port}",
        CHAOS_ADDRESS,
    )


def _hand_over(run_dir: Path, owner: Owner) -> None:
    for folder, names, files in os.walk(run_dir):
        for name in (".", *names, *files):
            os.chown(Path(folder, name), owner.uid, owner.gid, follow_symlinks=False)


def _write_token(path: Path, owner: Owner) -> None:
    path.unlink(missing_ok=True)
    path.touch(mode=0o440)
    path.write_text(secrets.token_urlsafe(_TOKEN_BYTES), encoding="ascii")
    os.chown(path, owner.uid, _CHAOS_GROUP)
