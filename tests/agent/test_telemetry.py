"""The live metrics count what the journal says, and the vitals measure what no single event shows."""

import asyncio
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent.journal import Journal
from agent.membership import RESTART_STEP
from agent.settings import Phase
from agent.telemetry import EVENTS, Telemetry
from agent.vitals import LoopLag, journal_bytes
from protocols.adapter import Identity
from protocols.message import Traffic
from protocols.wire import ByteCounter
from tests.agent.virtual_time import LoopClock

PHASES = ("start", "warmup", "pre", "inflight", "post", "tail")
ABOUT = ("failstorm_agent_info", "failstorm_events_total")


def samples(telemetry: Telemetry) -> dict[tuple[str, ...], float]:
    """Every sample of the exposition: name and label values, in the order of the labels' names → value."""
    return {
        (sample.name, *dict(sorted(sample.labels.items())).values()): sample.value
        for family in text_string_to_metric_families(telemetry.exposition().decode())
        for sample in family.samples
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal goes."""
    return tmp_path / "journal.jsonl"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    """A journal on the running loop's clock."""
    journal = Journal(path, "agent_1", 0, LoopClock())
    yield journal
    journal.close()


def events(path: Path) -> list[dict[str, Any]]:
    """The journal so far."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def agent(node_id: str = "agent_1", incarnation: int = 0) -> Telemetry:
    """The telemetry of an agent with one peer, in a run whose storm is due 6 s after t0."""
    starts = (("warmup", 0.0), ("pre", 2.0), ("inflight", 4.0), ("post", 6.0), ("tail", 8.0))
    phases = [Phase(name=name, start_s=start_s) for name, start_s in starts]
    return Telemetry(Identity(node_id, incarnation), "search", ["agent_2"], phases, unix_offset_s=1_000_000.0)


def test_every_series_is_there_from_the_start() -> None:
    """No panel is empty, and no first increment lost to ``rate()``: all children of all phases stand at 0."""
    found = samples(agent())
    assert found["failstorm_agent_info", "0", "agent_1", "search"] == 1
    assert found["failstorm_suspected_peers",] == 0
    assert found["failstorm_suspect_timestamp_seconds", "agent_2"] == 0
    sides = itertools.product(("sent", "received"), ["0"], PHASES, ("client", "server"), Traffic)
    counted = {key for key in found if key[0] == "failstorm_bytes_total"}
    assert counted == {("failstorm_bytes_total", *map(str, side)) for side in sides}
    for ev in EVENTS:
        assert found["failstorm_events_total", ev, "0"] == 0
    assert not any(value for key, value in found.items() if key[0] != "failstorm_agent_info")


def test_events_suspicions_and_bytes_are_counted_off_the_journal() -> None:
    """Each event by its name; a suspicion up, a return down; bytes by role, class and direction."""
    telemetry = agent()
    for ev in ("suspect", "suspect", "answer"):
        telemetry.observe(5.0, ev, {"peer": "agent_2"})
    rows: list[Any] = [["client", "agent_2", "task", 10, 20], ["server", None, "heartbeat", 3, 4]]
    telemetry.observe(6.0, "bytes", {"rows": rows})
    telemetry.observe(6.1, "bytes", {"rows": rows[:1]})
    telemetry.observe(7.0, "loop_lag", {"max_ms": 250.0, "p99_ms": 20.0, "n": 20})
    found = samples(telemetry)
    assert found["failstorm_events_total", "suspect", "0"] == 2
    assert found["failstorm_events_total", "answer", "0"] == 1
    assert found["failstorm_suspected_peers",] == 1
    assert found["failstorm_suspect_timestamp_seconds", "agent_2"] == 1_000_005.0
    assert found["failstorm_bytes_total", "sent", "0", "start", "client", "task"] == 20
    assert found["failstorm_bytes_total", "received", "0", "start", "client", "task"] == 40
    assert found["failstorm_bytes_total", "received", "0", "start", "server", "heartbeat"] == 4
    assert found["failstorm_bytes_total", "sent", "0", "start", "server", "task"] == 0
    assert (found["failstorm_loop_lag_seconds", "max"], found["failstorm_loop_lag_seconds", "p99"]) == (0.25, 0.02)
    telemetry.observe(9.0, "alive", {"peer": "agent_2"})
    assert samples(telemetry)["failstorm_suspected_peers",] == 0
    assert samples(telemetry)["failstorm_suspect_timestamp_seconds", "agent_2"] == 1_000_005.0


def test_work_is_counted_by_its_outcome() -> None:
    """Tasks of one's own and of a dead owner, steps that fail, requests over each link, attempts beyond the first."""
    telemetry = agent()
    for takeover in (False, False, True):
        telemetry.observe(1.0, "task_start", {"task": "t", "takeover": takeover})
    telemetry.observe(1.0, "answer", {"task": "t"})
    telemetry.observe(1.0, "task_failed", {"task": "t"})
    telemetry.observe(1.0, "step_start", {})
    for ok in (True, False, False):
        telemetry.observe(1.0, "step_done", {"ok": ok})
    telemetry.observe(1.0, "request", {"link": "warm", "attempt": 1})
    telemetry.observe(1.0, "request", {"link": "new", "attempt": 2, "cause": ["agent_2", "r1"]})
    telemetry.observe(1.0, "request", {"link": "self", "attempt": 3})
    counted = {key: value for key, value in samples(telemetry).items() if value and key[0] not in ABOUT}
    assert counted == {
        ("failstorm_tasks_total", "0", "started", "start"): 2,
        ("failstorm_tasks_total", "0", "taken_over", "start"): 1,
        ("failstorm_tasks_total", "0", "answered", "start"): 1,
        ("failstorm_tasks_total", "0", "failed", "start"): 1,
        ("failstorm_steps_total", "0", "started", "start"): 1,
        ("failstorm_steps_total", "0", "done", "start"): 1,
        ("failstorm_steps_total", "0", "failed", "start"): 2,
        ("failstorm_requests_total", "none", "0", "warm", "start"): 1,
        ("failstorm_requests_total", "repair", "0", "new", "start"): 1,
        ("failstorm_requests_total", "none", "0", "self", "start"): 1,
        ("failstorm_retries_total", "0", "start"): 2,
    }


def test_the_phase_of_an_event_follows_from_its_own_time() -> None:
    """Before the start instant arrives, and before t0, it is ``start``; each phase begins with its planned instant."""
    telemetry = agent()
    telemetry.observe(99.0, "step_start", {})
    telemetry.observe(100.1, "started", {"t0": 100.0})
    for at in (99.9, 100.0, 101.9, 102.0, 104.0, 106.0, 107.9, 108.0, 500.0):
        telemetry.observe(at, "step_start", {})
    found = samples(telemetry)
    by_phase = {phase: found["failstorm_steps_total", "0", "started", phase] for phase in PHASES}
    assert by_phase == {"start": 2, "warmup": 2, "pre": 1, "inflight": 1, "post": 2, "tail": 2}


def test_a_restarted_agent_counts_anew_under_its_own_life() -> None:
    """Its counters begin at 0 and stand beside those of the first life, so that none ever goes back."""
    found = samples(agent(incarnation=2 * RESTART_STEP))
    assert found["failstorm_tasks_total", "2", "answered", "post"] == 0
    assert not any("0" in key[1:] for key in found)


def test_every_event_of_the_documentation_has_its_series() -> None:
    """docs/journal.md lists what agents write."""
    text = (Path(__file__).parents[2] / "docs" / "journal.md").read_text(encoding="utf-8")
    table = text.partition("## What an agent writes")[2].partition("## What the orchestrator writes")[0]
    firsts = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert sorted(EVENTS) == sorted(name for cell in firsts for name in re.findall(r"`(\w+)`", cell) if name != "ev")


def test_two_agents_in_one_process_do_not_share_a_registry() -> None:
    """Each has its own; nothing is registered globally."""
    first, second = agent("agent_1"), agent("agent_3")
    first.observe(1.0, "suspect", {"peer": "agent_2"})
    assert samples(second)["failstorm_suspected_peers",] == 0


async def test_bytes_are_journaled_each_25_ms_in_which_any_moved(journal: Journal, path: Path) -> None:
    """Every byte in exactly one line; no line for silence."""
    counter = ByteCounter()
    task = asyncio.ensure_future(journal_bytes(counter, LoopClock(), journal))
    counter.add("client", "agent_2", Traffic.TASK, 10, 0)
    await asyncio.sleep(0.03)
    counter.add("client", "agent_2", Traffic.TASK, 0, 5)
    counter.add("server", None, Traffic.HEARTBEAT, 1, 2)
    await asyncio.sleep(1)
    task.cancel()
    lines = events(path)
    assert [line["rows"] for line in lines] == [
        [["client", "agent_2", "task", 10, 0]],
        [["client", "agent_2", "task", 0, 5], ["server", None, "heartbeat", 1, 2]],
    ]
    assert lines[1]["t"] - lines[0]["t"] == pytest.approx(0.025)


class LateClock(LoopClock):
    """Wakes its sleepers too late by what the test says, one after the other."""

    def __init__(self, lateness_s: Iterator[float]) -> None:
        self._lateness_s = lateness_s

    async def sleep(self, duration_s: float) -> None:
        """Sleep for too long."""
        await super().sleep(duration_s + next(self._lateness_s))


async def test_the_lateness_of_the_loop_is_journaled_once_a_second(journal: Journal, path: Path) -> None:
    """Twenty samples a line: the worst, the 99th percentile (nearest rank), and their number."""
    lateness_s = itertools.chain([0.0] * 19, [0.25], itertools.repeat(0.002))
    task = asyncio.ensure_future(LoopLag(LateClock(lateness_s)).journal_forever(journal))
    await asyncio.sleep(2.5)
    task.cancel()
    lines = events(path)
    assert [(line["max_ms"], line["p99_ms"], line["n"]) for line in lines] == [
        (pytest.approx(250.0), pytest.approx(250.0), 20),
        (pytest.approx(2.0), pytest.approx(2.0), 20),
    ]


async def test_the_longest_stall_is_journaled_where_the_loop_can_tell(journal: Journal, path: Path) -> None:
    """Each line has what the loop says since the last one."""
    stalls_s = iter([0.125, 0.0005])
    task = asyncio.ensure_future(
        LoopLag(LateClock(itertools.repeat(0.0)), lambda: next(stalls_s)).journal_forever(journal)
    )
    await asyncio.sleep(2.5)
    task.cancel()
    assert [line["stall_ms"] for line in events(path)] == [125.0, 0.5]


async def test_the_worst_lateness_since_an_instant_counts_a_wake_up_that_is_overdue(journal: Journal) -> None:
    """What happened before does not count; a loop that is late right now does, before it has woken anybody."""
    lag = LoopLag(clock := LateClock(itertools.chain([0.1], [0.0] * 4, itertools.repeat(0.5))))
    assert lag.worst_s(0.0) == 0.0
    task = asyncio.ensure_future(lag.journal_forever(journal))
    began = clock.now()
    await asyncio.sleep(0.3)
    assert lag.worst_s(began) == pytest.approx(0.1)
    assert lag.worst_s(began + 0.2) == pytest.approx(0.0)
    await asyncio.sleep(0.35)  # the sixth sleep should have ended at 0.4
    assert lag.worst_s(began + 0.2) == pytest.approx(0.25)
    task.cancel()
