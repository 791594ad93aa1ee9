"""The live metrics count what the journal says, and the vitals measure what no single event shows."""

import asyncio
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent.journal import Journal
from agent.telemetry import Telemetry
from agent.vitals import LoopLag, journal_bytes
from protocols.message import Traffic
from protocols.wire import ByteCounter
from tests.agent.virtual_time import LoopClock


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


def test_every_series_is_there_from_the_start() -> None:
    """No panel is empty before the first byte; the agent says who it is and with which tool."""
    found = samples(Telemetry("agent_1", "search"))
    assert found["failstorm_agent", "agent_1", "search"] == 1
    assert found["failstorm_suspected_peers",] == 0
    for role, traffic, direction in itertools.product(("client", "server"), Traffic, ("sent", "received")):
        assert found["failstorm_bytes_total", direction, role, traffic] == 0


def test_events_suspicions_and_bytes_are_counted_off_the_journal() -> None:
    """Each event by its name; a suspicion up, a return down; bytes by role, class and direction."""
    telemetry = Telemetry("agent_1", "search")
    for ev in ("suspect", "suspect", "alive", "answer"):
        telemetry.observe(ev, {"peer": "agent_2"})
    rows: list[Any] = [["client", "agent_2", "task", 10, 20], ["server", None, "heartbeat", 3, 4]]
    telemetry.observe("bytes", {"rows": rows})
    telemetry.observe("bytes", {"rows": rows[:1]})
    found = samples(telemetry)
    assert found["failstorm_events_total", "suspect"] == 2
    assert found["failstorm_events_total", "answer"] == 1
    assert found["failstorm_suspected_peers",] == 1
    assert found["failstorm_bytes_total", "sent", "client", "task"] == 20
    assert found["failstorm_bytes_total", "received", "client", "task"] == 40
    assert found["failstorm_bytes_total", "received", "server", "heartbeat"] == 4
    assert found["failstorm_bytes_total", "sent", "server", "task"] == 0


def test_two_agents_in_one_process_do_not_share_a_registry() -> None:
    """Each has its own; nothing is registered globally."""
    first, second = Telemetry("agent_1", "search"), Telemetry("agent_2", "reason")
    first.observe("suspect", {})
    assert samples(second)["failstorm_suspected_peers",] == 0


async def test_bytes_are_journaled_each_tenth_of_a_second_in_which_any_moved(journal: Journal, path: Path) -> None:
    """Every byte in exactly one line; no line for silence."""
    counter = ByteCounter()
    task = asyncio.ensure_future(journal_bytes(counter, LoopClock(), journal))
    counter.add("client", "agent_2", Traffic.TASK, 10, 0)
    await asyncio.sleep(0.15)
    counter.add("client", "agent_2", Traffic.TASK, 0, 5)
    counter.add("server", None, Traffic.HEARTBEAT, 1, 2)
    await asyncio.sleep(1)
    task.cancel()
    lines = events(path)
    assert [line["rows"] for line in lines] == [
        [["client", "agent_2", "task", 10, 0]],
        [["client", "agent_2", "task", 0, 5], ["server", None, "heartbeat", 1, 2]],
    ]
    assert lines[1]["t"] - lines[0]["t"] == pytest.approx(0.1)


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
