"""Real processes, really killed, and everything that the target must refuse."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydantic import JsonValue

from chaos.faults.kill import FAULT
from chaos.targets.process import ProcessTarget
from protocols.clock import MonotonicClock
from protocols.errors import FaultError

_POLITE = "import signal; signal.sigwait([signal.SIGTERM])"


@dataclass
class Lab:
    """A target over real processes that do nothing for a minute."""

    children: list[subprocess.Popen[bytes]] = field(default_factory=list)
    target: ProcessTarget = field(init=False)

    def __post_init__(self) -> None:
        self.target = ProcessTarget(self.spawn, MonotonicClock())

    async def spawn(self, _node: str) -> subprocess.Popen[bytes]:
        """Start what a restart starts."""
        return self.start()

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a child that the fixture will end; it reads from a pipe."""
        child = subprocess.Popen(command or ("sleep", "60"), stdin=subprocess.PIPE)
        self.children.append(child)
        return child

    def add(self, node: str) -> subprocess.Popen[bytes]:
        """Start and register an agent."""
        child = self.start()
        self.target.register(node, child)
        return child


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Two agents; afterwards no child and no pidfd is left."""
    before = _open_descriptors()
    lab = Lab()
    lab.add("agent_1")
    lab.add("agent_2")
    yield lab
    lab.target.close()
    for child in lab.children:
        child.kill()
        child.communicate()
    assert _open_descriptors() == before


def test_a_kill_is_proven_by_the_wait_status(lab: Lab) -> None:
    """The victim dies by signal 9, its death is recorded, and the survivor lives."""
    events: list[tuple[str, dict[str, JsonValue]]] = []

    def record(ev: str, *, at: float | None = None, **fields: JsonValue) -> None:
        assert at is None
        events.append((ev, fields))

    asyncio.run(FAULT.inject(lab.target, ("agent_2",), record))
    assert events == [("kill_call", {"victim": "agent_2"}), ("death", {"victim": "agent_2", "signal": 9})]
    assert [child.poll() for child in lab.children] == [None, -signal.SIGKILL]


def test_strangers_are_out_of_reach(lab: Lab) -> None:
    """A process that was not registered cannot be named, although it is our child."""
    stranger = lab.start()
    with pytest.raises(FaultError, match="agents of this run"):
        asyncio.run(lab.target.authorise([str(stranger.pid)]))
    with pytest.raises(FaultError, match="agents of this run"):
        asyncio.run(lab.target.kill("agent_3"))
    assert stranger.poll() is None


@pytest.mark.parametrize(
    ("victims", "message"),
    [
        ((), "at least one victim"),
        (("agent_1", "agent_2"), "order for all"),
        (("agent_1", "agent_9"), "agent_9"),
        (("agent_1", "agent_1"), "every victim once"),
    ],
)
def test_impossible_orders_are_refused(lab: Lab, victims: tuple[str, ...], message: str) -> None:
    """Nobody, everybody, somebody else, or somebody twice: each is refused, and nobody is hurt."""
    with pytest.raises(FaultError, match=message):
        asyncio.run(FAULT.inject(lab.target, victims, _no_record))
    assert [child.poll() for child in lab.children] == [None, None]


def test_a_reaped_process_cannot_be_hit(lab: Lab) -> None:
    """Once the pid is free for others, the kill fails and does not go to whoever has it now."""
    lab.children[0].kill()
    lab.children[0].wait()
    with pytest.raises(FaultError, match="had ended before the kill"):
        asyncio.run(lab.target.kill("agent_1"))


def test_an_orderly_end_is_no_proof(lab: Lab) -> None:
    """An agent that exits by itself was not killed."""
    child = lab.start("sh", "-c", "read line; exit 7")
    lab.target.register("agent_3", child)
    child.communicate(b"now\n")
    with pytest.raises(FaultError, match="exit code 7"):
        asyncio.run(lab.target.wait_dead("agent_3", 5))


def test_the_proof_has_a_bound(lab: Lab) -> None:
    """Waiting for somebody who lives ends at the timeout."""
    with pytest.raises(FaultError, match=r"within 0\.01 s"):
        asyncio.run(lab.target.wait_dead("agent_1", 0.01))


def test_several_may_wait_for_one_death(lab: Lab) -> None:
    """Two waits for the same process both see its end."""

    async def wait_twice() -> list[int]:
        waits = [asyncio.create_task(lab.target.wait_dead("agent_1", 5)) for _ in range(2)]
        await asyncio.sleep(0)
        await lab.target.kill("agent_1")
        return list(await asyncio.gather(*waits))

    assert asyncio.run(wait_twice()) == [9, 9]


def test_restart_replaces_the_process(lab: Lab) -> None:
    """A dead agent comes back as a new process that can be killed again; a living one is not restarted."""

    async def cycle() -> None:
        with pytest.raises(FaultError, match="still runs"):
            await lab.target.restart("agent_1")
        for _ in range(2):
            await lab.target.kill("agent_1")
            assert await lab.target.wait_dead("agent_1", 5) == signal.SIGKILL
            await lab.target.restart("agent_1")

    asyncio.run(cycle())
    assert [child.poll() for child in lab.children] == [-9, None, -9, None]


def test_a_freeze_is_proven_by_the_kernel_and_ends_with_the_target(lab: Lab) -> None:
    """SIGSTOP stops it, SIGCONT lets it go on; whatever is still frozen when the target closes is thawed."""

    async def freeze() -> None:
        await lab.target.pause("agent_1")
        assert _state(lab.children[0].pid) == "T"
        await lab.target.resume("agent_1")
        assert _state(lab.children[0].pid) != "T"
        await lab.target.pause("agent_1")
        await lab.target.pause("agent_2")
        await lab.target.kill("agent_2")
        assert await lab.target.wait_dead("agent_2", 5) == signal.SIGKILL
        with pytest.raises(FaultError, match="had ended before the SIGCONT"):
            await lab.target.resume("agent_2")

    asyncio.run(freeze())
    lab.target.close()
    assert _state(lab.children[0].pid) != "T"


def test_a_squeezed_process_has_its_share_and_no_more(lab: Lab) -> None:
    """A program that would use a whole CPU has a fifth, by its own clock in the kernel, and runs freely afterwards."""
    busy = lab.start(sys.executable, "-c", "while True: pass")
    lab.target.register("agent_3", busy)

    async def squeeze() -> float:
        await lab.target.squeeze("agent_3", 0.2)
        used_s, began_s = _cpu_s(busy.pid), time.monotonic()
        await asyncio.sleep(1.0)  # the span over which its share is taken
        share = (_cpu_s(busy.pid) - used_s) / (time.monotonic() - began_s)
        await lab.target.squeeze("agent_3", None)
        return share

    assert 0.02 < asyncio.run(squeeze()) < 0.35
    assert _state(busy.pid) != "T"


def test_a_process_that_had_more_than_its_share_was_not_squeezed(lab: Lab) -> None:
    """Somebody who wakes it behind our back, or its end, is a fault that did not last."""
    busy = lab.start(sys.executable, "-c", "while True: pass")
    lab.target.register("agent_3", busy)

    async def squeeze() -> None:
        await lab.target.squeeze("agent_3", 0.01)
        used_s = _cpu_s(busy.pid)
        while _cpu_s(busy.pid) - used_s < 0.25:
            busy.send_signal(signal.SIGCONT)
            await asyncio.sleep(0)
        with pytest.raises(FaultError, match=r"expected 0\.01 CPUs at most"):
            await lab.target.squeeze("agent_3", None)
        await lab.target.squeeze("agent_3", 0.01)
        busy.kill()
        busy.wait()
        with pytest.raises(FaultError, match="has ended"):
            await lab.target.squeeze("agent_3", None)

    asyncio.run(squeeze())


def test_a_stop_is_no_kill(lab: Lab) -> None:
    """Whoever does not end by itself when asked has not stopped in an orderly way; one that does can be restarted."""
    # Blocked before it starts, so that the signal waits until the child is ready to take it.
    former = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    polite = lab.start(sys.executable, "-c", _POLITE)
    signal.pthread_sigmask(signal.SIG_SETMASK, former)
    lab.target.register("agent_3", polite)
    lab.target.register("agent_4", lab.start("sleep", "60"))

    async def stop() -> None:
        with pytest.raises(FaultError, match="died by signal 15"):
            await lab.target.stop("agent_4")
        await lab.target.stop("agent_3")
        await lab.target.restart("agent_3")

    asyncio.run(stop())
    assert polite.returncode == 0


def test_dead_processes_are_not_registered(lab: Lab) -> None:
    """Registration needs a running child: only then is its pid surely its own."""
    child = lab.start("true")
    child.wait()
    with pytest.raises(FaultError, match="ended with 0"):
        lab.target.register("agent_3", child)


def test_unknown_faults_are_not_available(lab: Lab) -> None:
    """The target says beforehand what it cannot do."""
    assert lab.target.available("kill") is None
    assert "flood" in str(lab.target.available("flood"))
    assert "without one" in str(lab.target.available("cut"))
    assert "RUNTIME=docker" in str(lab.target.available("memory"))


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _no_record(ev: str, *, at: float | None = None, **fields: JsonValue) -> None:
    raise AssertionError((ev, at, fields))


def _open_descriptors() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}
