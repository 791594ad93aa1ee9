"""The Docker engine as the host's command line reaches it: `docker` and `docker compose`, nothing else."""

import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from protocols.errors import LabError

CHECKOUT = Path(__file__).resolve().parents[2]
"""Where compose.yaml is."""
_OLDEST_COMPOSE = (2, 24, 4)
"""Knows `!override` and `!reset`."""
_ASK_TIMEOUT_S = 15.0
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")


class EngineError(LabError):
    """The engine, or its command line, did not do what was asked."""


@dataclass(frozen=True)
class Engine:
    """An engine that has answered, and the client with compose that reaches it."""

    client: str
    version: str
    environ: Mapping[str, str]
    """For every call; compose takes its settings from it."""
    checkout: Path = CHECKOUT

    def with_settings(self, settings: Mapping[str, str]) -> Self:
        """The same engine, asked with more settings for compose."""
        return replace(self, environ={**self.environ, **settings})

    def run(self, *arguments: str, timeout_s: float = _ASK_TIMEOUT_S, with_errors: bool = False) -> str:
        """Run the client in the checkout and return its output, ``with_errors`` what it wrote to stderr in between.

        Raises EngineError with the last line of what it complained about.
        """
        command = [self.client, *arguments]
        what = " ".join(["docker", *arguments[:3]])
        try:
            done = subprocess.run(  # noqa: S603 - the user's own client
                command,
                cwd=self.checkout,
                env=dict(self.environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if with_errors else subprocess.PIPE,
                text=True,
                timeout=timeout_s,
                check=False,
                # Ctrl-C at the terminal is for this process, which then decides what becomes of the containers.
                start_new_session=True,
            )
        except subprocess.TimeoutExpired as error:
            raise EngineError(
                f"expected `{what}` to end within {timeout_s:g} s, it did not; is the engine well?"
            ) from error
        except OSError as error:
            raise EngineError(f"expected to run {self.client}, got: {error.strerror}; install Docker anew") from error
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
            raise EngineError(f"expected `{what}` to work, got: {said[-1].strip()}")
        return done.stdout

    def answers(self) -> bool:
        """Whether the engine is still there."""
        try:
            self.run("version", "--format", "{{.Server.Version}}")
        except EngineError:
            return False
        return True

    def configuration(self) -> dict[str, Any]:
        """What compose makes of compose.yaml, its override, .env and the environment."""
        found: dict[str, Any] = json.loads(self.run("compose", "config", "--format", "json"))
        return found

    def containers(self, run: str, role: str) -> dict[str, str]:
        """Container id → node, or else the role, of the containers of a run that have this role."""
        filters = (f"--filter=label=failstorm.{name}={value}" for name, value in (("run", run), ("role", role)))
        shown = '{{.ID}} {{.Label "failstorm.node"}}'
        lines = self.run("ps", "--all", "--no-trunc", *filters, "--format", shown).splitlines()
        return {container: node or role for container, _, node in (line.partition(" ") for line in lines)}


def find_engine(environ: Mapping[str, str], checkout: Path = CHECKOUT) -> Engine:
    """The engine that answers, through the first client in PATH that has compose; raises EngineError."""
    clients = _clients(environ)
    if not clients:
        raise EngineError("there is no docker command; on Debian: sudo make engine")
    reason: EngineError | None = None
    for client in clients:
        engine = Engine(client, "", environ, checkout)
        try:
            compose = engine.run("compose", "version", "--short")
            if _version(compose) < _OLDEST_COMPOSE:
                raise EngineError(f"compose is {compose.strip()}, too old; 2.24.4 or newer is needed")  # noqa: TRY301
            version = engine.run("version", "--format", "{{.Server.Version}}").strip()
        except EngineError as error:
            reason = reason or error
            continue
        return Engine(client, version, environ, checkout)
    raise EngineError(f"no Docker engine answers ({reason}); on Debian: sudo make engine")


def _clients(environ: Mapping[str, str]) -> Sequence[str]:
    """Every docker in PATH, since the first may be one without compose."""
    folders = environ.get("PATH", "").split(os.pathsep)
    found = (Path(folder) / "docker" for folder in folders if folder)
    return tuple(dict.fromkeys(str(path) for path in found if path.is_file() and os.access(path, os.X_OK)))


def _version(text: str) -> tuple[int, ...]:
    match = _VERSION.search(text)
    return tuple(map(int, match.groups())) if match else ()
