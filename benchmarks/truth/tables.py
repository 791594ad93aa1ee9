"""The tables of one check, for a terminal and for a Markdown file."""

from collections.abc import Iterator, Sequence

from benchmarks.tables import Table, as_markdown
from benchmarks.truth.results import (
    MAX_BYTES_OFF,
    MAX_MEDIAN_GAP_MS,
    SURVIVORS_A_CORE,
    Check,
    Truth,
    VictimTimes,
    gap_summary,
)
from orchestrator.metrics.definition import quantile


def tables(check: Check) -> Iterator[Table]:
    """Bytes, deaths, detections."""
    yield _bytes(check)
    yield _deaths(check)
    yield _detections(check)


def markdown(check: Check) -> str:
    """All tables, with what they hold for; ends in a newline."""
    durations = ", ".join(sorted({f"{storm.duration_s:g} s" for storm in check.storms}))
    cores, python = check.host["cpu_count"], check.host["python"]
    where = f"Measured on {check.made_at:%d %b %Y} on a host of {cores} cores, Python {python}"
    each = max(map(len, check.alike()), default=0)
    parts = [f"{where}; storms of {durations}, {'one' if each == 1 else f'up to {each}'} each."]
    return "\n\n".join([*parts, *map(as_markdown, tables(check))]) + "\n"


def _name(storm: Truth) -> str:
    return f"{storm.protocol} ({storm.mode}) {storm.seed}" + (" starved" if storm.starved else "")


def _bytes(check: Check) -> Table:
    return Table(
        f"Payload bytes, journal beside wire (bound: {MAX_BYTES_OFF:.1%} for each agent and for the recovery window)",
        (
            "storm, seed", "packets (dropped)", "sent again", "worst agent", "all agents", "untold",
            "bytes_reconnect", "wire, told by its lines", "off", "wire, exact window", "off",
        ),
        tuple(_bytes_row(storm) for storm in check.storms),
    )  # fmt: skip


def _bytes_row(storm: Truth) -> tuple[str, ...]:
    worst = max(storm.nodes, key=lambda node: abs(node.off))
    told = sum(node.journal_sent + node.journal_received for node in storm.nodes)
    true = sum(node.wire_sent + node.wire_received for node in storm.nodes)
    window = storm.window
    return (
        _name(storm),
        f"{storm.packets} ({storm.dropped})",
        f"{storm.repeated}",
        f"{worst.node} {worst.off:+.3%}",
        f"{told} / {true}",
        f"{sum(node.untold for node in storm.nodes)}",
        f"{window.journal}",
        f"{window.wire + window.early - window.late}",
        f"{window.off:+.3%}",
        f"{window.wire}",
        f"{window.off_window:+.3%}",
    )


def _deaths(check: Check) -> Table:
    return Table(
        "Deaths, ms after the kill call: packets on the journal's clock",
        (
            "storm, seed",
            "victim",
            "its process ends",
            "closed between",
            "first FIN or RST",
            "canary's FIN or RST",
            "EOF at the canary",
            "proof of death",
            "clock ±",
        ),
        tuple(
            (_name(storm), victim.victim, *_times(victim), f"{storm.clock_error_ms:.3f}")
            for storm in check.storms
            for victim in storm.victims
        ),
    )


def _times(victim: VictimTimes) -> Iterator[str]:
    yield _or_never(victim.exit_ms)
    yield f"{victim.closed_before}"
    for ms in (victim.first_end_ms, victim.canary_end_ms, victim.canary_eof_ms, victim.death_ms):
        yield _or_never(ms)


def _or_never(ms: float | None) -> str:
    return "never" if ms is None else f"{ms:.2f}"


def _detections(check: Check) -> Table:
    return Table(
        f"Watched connections: ms from the FIN or RST of the very connection until its observer read it, had it as "
        f"evidence, and suspected the victim (bounds for evidence: median {MAX_MEDIAN_GAP_MS:g} ms, p95 the loop lag "
        f"recorded in that second; not judged where starved or with more than {SURVIVORS_A_CORE} survivors a core)",
        (
            "storms", "number", "ends", "read, median", "evidence, median", "evidence, p95", "loop lag then",
            "loop lag, second", "suspicions", "suspicion, median", "p95", "confirming probe, median",
            "from the first FIN or RST, median", "detected otherwise",
        ),
        tuple(_detection_row(storms, judged=check.times_count(storms[0])) for storms in check.alike()),
    )  # fmt: skip


def _detection_row(storms: Sequence[Truth], *, judged: bool) -> tuple[str, ...]:
    gaps = [gap for storm in storms for gap in storm.gaps]
    others = f"{sum(storm.others for storm in storms)}"
    name = f"{storms[0].protocol} ({storms[0].mode})" + ("" if judged else ", not judged")
    if not gaps:
        return (name, f"{len(storms)}", "0", *["-"] * 5, "0", *["-"] * 4, others)
    median_ms, p95_ms, lag_ms = gap_summary(gaps)
    told = (_median([gap.eof_ms for gap in gaps]), median_ms, p95_ms)
    brought = [gap for gap in gaps if gap.suspicion_ms is not None]
    suspected = [gap.suspicion_ms for gap in brought if gap.suspicion_ms is not None]
    probing = [gap.suspicion_ms - gap.evidence_ms for gap in brought if gap.suspicion_ms is not None]
    first = [gap.after_first_ms for gap in brought if gap.after_first_ms is not None]
    late = [f"{quantile(some, share):.2f}" if some else "-"
            for some, share in ((suspected, 0.5), (suspected, 0.95), (probing, 0.5), (first, 0.5))]  # fmt: skip
    numbers = (*told, max(gap.lag_then_ms for gap in gaps), lag_ms)
    return (
        name, f"{len(storms)}", f"{len(gaps)}", *(f"{ms:.2f}" for ms in numbers), f"{len(brought)}", *late, others,
    )  # fmt: skip


def _median(some: list[float]) -> float:
    return quantile(some, 0.5)
