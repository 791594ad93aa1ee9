"""An engine that is gone, silent or out of reach: always one clear line."""

import asyncio
import gc
import socket
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import requests
from docker.errors import DockerException

from chaos.targets import engine as engine_module
from chaos.targets.engine import clear_errors, connect
from protocols.errors import FailstormError, FaultError, LabError

from .fake_engine import FakeEngine, lab_with_strangers, refusal
from .kills import inject, target_on


def test_an_engine_that_leaves_in_the_middle_is_one_clear_line() -> None:
    """Orders fail as the lab's own failure; a victim that was not reached is a failed fault with the reason."""
    engine = lab_with_strangers()
    gone = requests.ConnectionError("Connection aborted.")

    async def leave() -> str:
        async with target_on(engine) as target:
            await target.authorise(["agent_1"])
            engine.broken = gone
            with pytest.raises(LabError, match="inspect agent_1") as caught:
                await target.kill("agent_1")
            with pytest.raises(LabError, match="list the containers"):
                await target.authorise(["agent_1"])
        return str(caught.value)

    assert "\n" not in asyncio.run(leave())


def test_an_engine_that_is_gone_is_told_at_the_start() -> None:
    """The subscription fails, and with it the service."""
    with pytest.raises(LabError, match="tell its events"):
        inject(FakeEngine(broken=DockerException("gone")), "agent_1")


def chained(*causes: Exception) -> Exception:
    """The last error, raised while the ones before it were handled, as the SDK does."""
    for inner, outer in pairwise(causes):
        outer.__context__ = inner
    return causes[-1]


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (
            chained(PermissionError(13, "no"), requests.ConnectionError("x"), DockerException("y")),
            LabError,
            "forbidden",
        ),
        (chained(FileNotFoundError(2, "no"), requests.ConnectionError("x")), LabError, "does not exist"),
        (chained(ConnectionRefusedError(111, "no"), requests.ConnectionError("x")), LabError, "has stopped"),
        (requests.ReadTimeout("x"), LabError, "within 10 s"),
        (refusal(500, "broken pipe"), LabError, "it failed: broken pipe"),
        (refusal(409, "is paused"), FaultError, "it refused: is paused"),
        (refusal(404, "no such container"), FaultError, "no such container"),
        (DockerException("two\nlines"), LabError, "two lines"),
    ],
)
def test_errors_of_the_sdk_become_one_line(error: Exception, kind: type[FailstormError], message: str) -> None:
    """What the user can act on is said, from however deep inside it comes."""
    with pytest.raises(kind, match=message) as caught, clear_errors("do it"):
        raise error
    assert "\n" not in str(caught.value)


@pytest.fixture
def engine_socket() -> Iterator[Path]:
    """Where an engine's socket could be; the SDK leaves a failed connection to the garbage collector."""
    with TemporaryDirectory() as short_path:  # a socket's path has 107 bytes at most
        yield Path(short_path) / "docker.sock"
    gc.collect()


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_a_missing_and_a_deserted_socket_are_told_apart(engine_socket: Path) -> None:
    """Through the real SDK: no socket, and a socket that nobody listens at."""
    with pytest.raises(LabError, match="does not exist"):
        connect(f"unix://{engine_socket}")
    with socket.socket(socket.AF_UNIX) as deserted:
        deserted.bind(str(engine_socket))
        with pytest.raises(LabError, match="has stopped"):
            connect(f"unix://{engine_socket}")


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_a_silent_engine_is_not_waited_for_forever(engine_socket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the real SDK: somebody accepts and says nothing."""
    monkeypatch.setattr(engine_module, "ENGINE_TIMEOUT_S", 0.1)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(engine_socket))
        silent.listen()
        with pytest.raises(LabError, match="did not answer within"):
            connect(f"unix://{engine_socket}")
