"""Results of a bench that was never run, sound unless a test says otherwise."""

from datetime import UTC, datetime
from typing import Any

from benchmarks.results import Bench, Cost, Costs, Endurance, Growth, Holding, LargeDocument, RoundTrip, Spread, Turns

_SPREAD = Spread(p50_ms=1.0, p99_ms=2.0, count=4)


def round_trip(**changes: Any) -> RoundTrip:
    """A round trip at the price of the bare SDK."""
    turns = Turns(adapter_ms=[[1.0, 1.0]], bare_ms=[[1.0, 1.0]])
    sound = RoundTrip(
        subject="json", judged=True, adapter=_SPREAD, bare=_SPREAD, ratio=1.0, low=0.9, high=1.1, turns=turns
    )
    return sound.model_copy(update=changes)


def endurance(**changes: Any) -> Endurance:
    """A run that grew in nothing."""
    sound = Endurance(
        subject="json",
        judged=True,
        messages=5000,
        window=500,
        settled=1000,
        latency=[Growth(name="message", first=1.0, last=1.0), Growth(name="request", first=2.0, last=2.0)],
        memory=[Growth(name="caller", first=60.0, last=60.0), Growth(name="peer", first=50.0, last=50.0)],
        latency_curve={"message": [(0, 1.0)], "request": [(1, 2.0)]},
        memory_curve={"caller": [(100, 60.0)], "peer": [(100, 50.0)]},
    )
    return sound.model_copy(update=changes)


def large_document(**changes: Any) -> LargeDocument:
    """A hundred fragments over two agents, each of which holds its own."""
    holding = Holding(
        node="agent_1", shards=1, fragments=50, missing=0, foreign=0, before_mb=60.0, after_mb=70.0, peak_mb=75.0
    )
    sound = LargeDocument(
        subject="json",
        fragments=100,
        replication=1,
        document_mb=0.1,
        made_s=0.1,
        broadcast_ms=1500.0,
        messages=4,
        lookup=_SPREAD,
        holdings=[holding, holding.model_copy(update={"node": "agent_2", "after_mb": 80.0})],
    )
    return sound.model_copy(update=changes)


def bench(trip: RoundTrip | None = None, run: Endurance | None = None) -> Bench:
    """One of each."""
    cost = Cost(act="probe", spread=_SPREAD, bytes_total=193, bytes_by_class={"heartbeat": 193})
    return Bench(
        made_at=datetime(2026, 11, 22, 13, 0, tzinfo=UTC),
        seed=1,
        host={"cpu_count": 2, "python": "3.11.7"},
        versions={"json": "0.28.1"},
        round_trips=[trip or round_trip()],
        costs=[Costs(subject="json", acts=[cost])],
        endurances=[run or endurance()],
        documents=[large_document()],
    )
