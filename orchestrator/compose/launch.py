"""Runs a storm in containers from the host: old lab down, new lab up, its terminal shown, its evidence brought home."""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from agent.settings import KEY_VARIABLE
from orchestrator import junit, ports, report, run_dir, timeline
from orchestrator.compose import images, override, prepare
from orchestrator.compose.engine import Engine, EngineError, find_engine
from orchestrator.compose.screen import show
from orchestrator.run_dir import SCENARIO_FILE, RunDir, write_atomically
from orchestrator.scenario import Scenario
from protocols import registry
from protocols.errors import ConfigError, LabError

EXIT_CONFIG, EXIT_LAB, EXIT_INTERRUPTED = 2, 3, 130
_KILLED = 137
_IMAGE_OWNER = 10_001
"""Whom the image runs as where the user is root."""
_BUILD_TIMEOUT_S, _UP_TIMEOUT_S, _DOWN_TIMEOUT_S = 1800.0, 600.0, 120.0
_GONE_TIMEOUT_S = 15.0
_VARIABLES = ("PROTOCOL", "DURATION", "KILL_FRACTION", "KILL_AT", "WARMUP", "SEED", "TOPOLOGY", "DETECTOR_MODE")
"""What a plain `docker compose up` takes from the environment, where make exports them; here the scenario has them."""


class Launch:
    """One run of the container lab, as the host sees it."""

    def __init__(self, scenario: Scenario, engine: Engine, console: Console, *, debug: bool) -> None:
        self._scenario = scenario
        self._engine = engine
        self._console = console
        self._debug = debug
        self._planned = timeline.plan(scenario)
        self._override = override.generate((engine.checkout / "compose.yaml").read_text("utf-8"), self._planned)

    def check(self) -> None:
        """Raises ConfigError or EngineError when the lab could not run; changes nothing, but may pull images."""
        protocol = self._scenario.storm.protocol
        if not registry.load(protocol).__module__.startswith("protocols."):
            raise EngineError(
                f"the image of the lab does not have the protocol {protocol}, which was installed beside it"
            )
        for reason in self._planned.obstacles("docker"):
            raise EngineError(reason)
        override.check(self._engine.checkout, self._override)
        self._engine = self._engine.with_settings(images.settle(self._engine, self._say))

    def play(self) -> int:
        """Run the storm and return the exit code of the orchestrator's container; raises LabError and ConfigError."""
        results_dir = Path(self._scenario.output.results_dir)
        self._clear_the_way()
        folder = self._lay_out(results_dir)
        try:
            self._start(folder)
        except KeyboardInterrupt:
            take_down(self._engine)
            raise
        except LabError:
            self._bring_home(folder)
            raise
        code = show(self._engine)
        if code is not None:
            self._bring_home(folder, may_lack_room=code == EXIT_LAB)
        code = self._conclude(folder, code, results_dir.parent)
        junit.write(folder.path, self._scenario.output.junit)
        return code

    def _clear_the_way(self) -> None:
        """Take the old lab down, with the override that it was started with, and see that the ports are free."""
        if self._engine.run("compose", "ps", "--all", "--quiet").strip():
            self._say("taking the old lab down")
        take_down(self._engine)
        override.replace(self._engine.checkout, self._override)
        services = self._engine.configuration()["services"]
        published = [
            int(port["published"])
            for name, service in sorted(services.items())
            for port in service.get("ports", [])
            if images.is_wanted(service)
        ]
        ports.check_ports(published)

    def _lay_out(self, results_dir: Path) -> RunDir:
        storm = self._scenario.storm
        folder = run_dir.create(results_dir, run_dir.new_run_id(datetime.now(UTC), storm.protocol, storm.seed))
        write_atomically(folder.path / SCENARIO_FILE, self._scenario.to_yaml())
        prepare.keep_sources(self._scenario, folder.path)
        run_dir.publish(folder, results_dir.parent)
        uid, gid = os.getuid(), os.getgid()
        settings = dict.fromkeys((*_VARIABLES, "SCENARIO", "AGENTS"), "") | {
            "FAILSTORM_RUN_ID": folder.run_id,
            "FAILSTORM_RESULTS": str(results_dir.resolve()),
            "FAILSTORM_CONFIG": f"/results/{folder.run_id}/{SCENARIO_FILE}",
            "FAILSTORM_UID": str(uid or _IMAGE_OWNER),
            "FAILSTORM_GID": str(gid if uid else _IMAGE_OWNER),
            "FAILSTORM_TTY": "true" if self._console.is_terminal else "false",
            "FAILSTORM_DEBUG": "1" if self._debug else "",
            "FAILSTORM_GUARDIANS": "1" if self._planned.leaves_survivors_hurt else "0",
        }
        self._engine = self._engine.with_settings(settings)
        return folder

    def _start(self, folder: RunDir) -> None:
        self._say("building the image")
        self._engine.run("compose", "build", "--quiet", timeout_s=_BUILD_TIMEOUT_S)
        # Former builds of it that no container needs any more.
        self._engine.run("image", "prune", "--force", "--filter", "label=failstorm=lab")
        services = self._engine.run("compose", "config", "--services").split()
        others = [name for name in services if name != "orchestrator"]
        self._say(f"starting {len(self._planned.agents)} agents, run {folder.run_id}")
        try:
            # The key of a model's endpoint is in the environment of this one call, and of the agents.
            with_key = self._engine.with_settings(self._scenario.llm.model.environment())
            with_key.run("compose", "up", "--detach", "--no-build", *others, timeout_s=_UP_TIMEOUT_S)
        except EngineError as error:
            said = self._engine.run("compose", "logs", "--no-log-prefix", "--no-color", "prepare")
            lines = [line for line in said.splitlines() if line.startswith("fail-storm: ")]
            raise LabError(lines[-1].removeprefix("fail-storm: ") if lines else str(error)) from error
        create = ("up", "--no-start", "--no-build", "--no-deps", "orchestrator")
        self._engine.run("compose", *create, timeout_s=_UP_TIMEOUT_S)

    def _bring_home(self, folder: RunDir, *, may_lack_room: bool = False) -> None:
        """Wait for the agents' end and keep what every container has printed; whatever fails is one line.

        ``may_lack_room``: the lab has failed and said why; a disk that was full for it is not told of again.
        """
        try:
            agents = self._engine.containers(folder.run_id, "agent")
            self._await_end(agents)
            for container, node in (agents | self._engine.containers(folder.run_id, "chaos")).items():
                path = folder.output(node)
                # The client gives each stream of the container as its own, and an agent tells its story on stderr.
                path.write_text(self._engine.run("logs", container, with_errors=True), encoding="utf-8")
        except EngineError as error:
            self._say(f"expected to keep the containers' output, got: {error}")
        except OSError as error:
            if not may_lack_room:
                self._say(f"expected to keep the containers' output, got: {error}")

    def _await_end(self, agents: Iterable[str]) -> None:
        """Wait until the containers have ended; stop them where the orchestrator ended before it had told them."""
        containers = tuple(agents)
        if not containers:
            return
        try:
            self._engine.run("wait", *containers, timeout_s=_GONE_TIMEOUT_S)
        except EngineError:
            self._engine.run("stop", "--time", "3", *containers, timeout_s=_UP_TIMEOUT_S)

    def _conclude(self, folder: RunDir, code: int | None, root: Path) -> int:
        if code is None:
            self._say("the engine stopped answering in mid-run; what was journaled until then is reported")
        elif code == _KILLED:
            self._say("the orchestrator's container was killed in mid-run; what was journaled until then is reported")
        metrics = folder.path / report.METRICS_FILE
        if metrics.exists():
            # Where the lab failed it has said why: a disk that is full for it is full for the copy, too.
            with suppress(*(LabError,) if code == EXIT_LAB else ()):
                write_atomically(root / report.METRICS_FILE, metrics.read_text("utf-8"))
        elif code not in (EXIT_CONFIG, EXIT_LAB, EXIT_INTERRUPTED):  # these have said why there is none
            report.print_summary(report.write_report(folder.path, copy_to=root), self._console)
            return EXIT_LAB
        return EXIT_LAB if code in (None, _KILLED) else code

    def _say(self, line: str) -> None:
        self._console.print(f"fail-storm: {line}", markup=False, highlight=False, soft_wrap=True)


def take_down(engine: Engine) -> None:
    """Remove every container and network of the lab; raises EngineError."""
    engine.run("compose", "down", "--remove-orphans", "--timeout", "3", timeout_s=_DOWN_TIMEOUT_S)


def find_lab(scenario: Scenario, environ: Mapping[str, str], *, must: bool, debug: bool) -> Launch | None:
    """The container lab, ready to play ``scenario``; without it, and unless it ``must`` be there, None.

    Says in one line which runtime it will be, and why. Raises ConfigError, and EngineError for one that must be there.
    """
    console = Console(stderr=True, soft_wrap=True, markup=False, highlight=False)
    try:
        scenario.llm.model.check_reach()
    except ConfigError as error:
        if must:
            raise
        console.print(f"runtime: local processes, since {error}")
        return None
    try:
        engine = find_engine({**environ, KEY_VARIABLE: ""})  # the key is for nobody but the agents
        found = Launch(scenario, engine, Console(), debug=debug)
        found.check()
    except EngineError as error:
        if must:
            raise
        console.print(f"runtime: local processes, since {error}")
        return None
    console.print(f"runtime: containers, on Docker engine {engine.version}")
    return found
