"""One storm through the ordinary command line, captured as a whole."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.truth import clocks
from benchmarks.truth.capture import capturing
from benchmarks.truth.compare import CONDUCTOR
from benchmarks.truth.owners import tracing
from benchmarks.truth.recording import CAPTURE_FILE, Port, Recording
from orchestrator import settings_load, timeline
from orchestrator.timeline import Timeline
from protocols.clock import Clock
from protocols.errors import ConfigError, LabError

_TIMEOUT_BEYOND_S = 120.0
_EXIT_CONFIG, _EXIT_LAB = 2, 3


def record(config: Path, settings: Mapping[str, str], folder: Path, clock: Clock) -> Recording:
    """Run one storm on local processes, with ``settings`` (dotted key → YAML) over ``config``, into ``folder``.

    Raises ConfigError for settings that the lab refuses or where nothing can be captured, LabError when the storm or
    the capture fails.
    """
    layers = [
        settings_load.flag_layer("--set", key, settings_load.read_value("--set", text))
        for key, text in settings.items()
    ]
    scenario = settings_load.build([settings_load.read_file(config), *layers])
    planned = timeline.plan(scenario)
    folder.mkdir(parents=True)
    with clocks.marking() as listener:
        mark_port = listener.getsockname()[1]
        with tracing(planned.ports) as trace, capturing(folder / CAPTURE_FILE, [*planned.ports, mark_port]) as capture:
            marks, first = clocks.mark(listener, clock), clocks.read(clock)
            pid = _storm(config, settings, folder, planned.windows.duration_s)
            last = clocks.read(clock)
            marks += clocks.mark(listener, clock)
    recording = Recording(
        protocol=scenario.storm.protocol,
        mode=scenario.detector.mode,
        run=str((folder / "results" / "latest").resolve().relative_to(folder.resolve())),
        ports=_ports(planned),
        mark_port=mark_port,
        marks=marks,
        clocks=(first, last),
        sightings=trace.sightings,
        exits=trace.exits,
        conductor_pid=pid,
        packets=capture.received,
        dropped=capture.dropped,
    )
    recording.keep(folder)
    return recording


def _ports(planned: Timeline) -> dict[int, Port]:
    ports = {planned.conductor_port: Port(CONDUCTOR, "protocol")}
    ports[planned.conductor_admin_port] = Port(CONDUCTOR, "admin")
    for agent in planned.agents:
        ports[agent.port] = Port(agent.node_id, "protocol")
        ports[agent.admin_port] = Port(agent.node_id, "admin")
    return ports


def _storm(config: Path, settings: Mapping[str, str], folder: Path, duration_s: float) -> int:
    """Run it to its end; returns the conductor's process id."""
    command = [sys.executable, "-m", "orchestrator", "run", "--runtime", "local", "--config", str(config.resolve())]
    command += ["--results-dir", str((folder / "results").resolve())]
    command += [part for key, text in settings.items() for part in ("--set", f"{key}={text}")]
    with (folder / "storm.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        code = process.wait(duration_s + _TIMEOUT_BEYOND_S)
    except subprocess.TimeoutExpired:
        raise LabError(f"expected the storm to end in time, got none; see {folder / 'storm.log'}") from None
    finally:
        if process.poll() is None:  # an interrupt ends the storm as well, in good order
            process.terminate()
            process.wait(_TIMEOUT_BEYOND_S)
    if code in (_EXIT_CONFIG, _EXIT_LAB):
        said = (folder / "storm.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        kind = ConfigError if code == _EXIT_CONFIG else LabError
        raise kind(f"expected a storm to the end, got exit code {code}: {said[-1] if said else 'no word'}")
    return process.pid
