"""A journal beside the wire: an honest one passes, one that lies about bytes or times does not."""

from datetime import UTC, datetime
from typing import Any

import pytest

from benchmarks.truth.recording import Sighting
from benchmarks.truth.results import Check, Gap, VictimTimes, WindowBytes, broken_bounds
from orchestrator.journal import Event

from .wire_storm import OFFSET_S, VICTIM, broken, dialogue, end, journal, packet, packets, sightings, truth


def _but(ev: str, **changes: Any) -> list[Event]:
    """The journal, with these fields of such a line changed."""
    return [dict(event) | changes if event["ev"] == ev else event for event in journal()]


def test_honest_journal_agrees_to_the_byte() -> None:
    """Every agent, the recovery window, the order of the death, and the detection on the watched connection."""
    found = truth()
    assert broken(found) == []
    assert {node.node: (node.journal_sent, node.wire_sent, node.journal_received, node.wire_received)
            for node in found.nodes} == {
        "agent_1": (3910, 3910, 8230, 8230),
        "agent_2": (7330, 7330, 3110, 3110),
        "agent_3": (860, 860, 650, 650),
        VICTIM: (1350, 1350, 1360, 1360),
    }  # fmt: skip
    assert found.window == WindowBytes(journal=6510, wire=6040, early=510, late=40)
    assert (found.window.off, round(found.window.off_window, 4)) == (0, 0.0778)
    assert found.victims == [
        VictimTimes(
            victim=VICTIM,
            exit_ms=2.0,
            closed_before=0,
            first_end_ms=3.0,
            canary_end_ms=5.0,
            canary_eof_ms=6.0,
            death_ms=7.0,
        )
    ]
    (gap,) = found.gaps
    assert gap == Gap(
        observer="agent_1", victim=VICTIM, mechanism="tcp", eof_ms=0.8, evidence_ms=1.2, suspicion_ms=1.5,
        after_first_ms=1.5, lag_then_ms=1.25, lag_ms=2.5,
    )  # fmt: skip
    assert found.others == 1
    assert (found.unowned, found.unowned_bytes, found.connections) == (0, 0, 7)


@pytest.mark.parametrize("told", [0.98, 1.02])
def test_counter_that_lies_by_two_percent_is_caught(told: float) -> None:
    """At every agent, and in the recovery window."""
    words = broken(truth(journal(told)))
    assert [part for part in words if "bytes_reconnect" in part]
    assert len([part for part in words if "beside the wire" in part]) == 4


def test_one_agent_that_lies_is_named() -> None:
    """The others are not."""
    lying = [
        dict(event) | {"rows": [[*row[:3], round(row[3] * 0.98), row[4]] for row in event["rows"]]}  # type: ignore[attr-defined]
        if event["ev"] == "bytes" and event["node"] == "agent_2"
        else event
        for event in journal()
    ]
    (words,) = broken(truth(lying))
    assert words.startswith("json (tcp, seed 1): agent_2 counted -1.4")


def test_what_was_sent_again_counts_once() -> None:
    """A retransmission is no reason for a difference."""
    again = [*packets(), packet(106.0, 40001, 9002, 1001, 1000)]
    found = truth(seen=again)
    assert (found.repeated, broken(found)) == (1000, [])


def test_capture_with_holes_proves_nothing() -> None:
    """Packets that the kernel dropped, or bytes that others follow, are a reason of their own."""
    assert any("lost 3 packets" in words for words in broken(truth(dropped=3)))
    lost = [one for one in packets() if one.size != 100]
    assert any("lost 0 packets and 100 bytes" in words for words in broken(truth(seen=lost)))


def test_client_whose_port_nobody_knows_is_told() -> None:
    """Its bytes are then missing in its agent's share, which breaks the bound instead of passing in silence."""
    known = {port: seen for port, seen in sightings().items() if port != 40001}
    found = truth(sightings=known)
    assert (found.unowned, found.unowned_bytes) == (1, 10_440)
    assert any("agent_1 counted" in words for words in broken(found))


def test_what_a_victim_had_no_time_to_write_is_no_lie() -> None:
    """It is told as untold; the same silence of a survivor is a lie."""
    unsaid = [*packets(), packet(109.95, 40002, 9004, 1501, 400)]
    (victim,) = (node for node in truth(seen=unsaid).nodes if node.node == VICTIM)
    assert (victim.untold, victim.off) == (400, 0)
    assert [words for words in broken(truth(seen=unsaid)) if "agent_1 counted" in words]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ("kill_call", {"t": 110.0025}),  # its process ended before the kill
        ("canary_eof", {"t": 110.0045}),  # an EOF before its own FIN
        ("death", {"t": 110.0055}),  # proven before the canary broke
    ],
)
def test_death_out_of_its_order_is_caught(changed: str, words: dict[str, float]) -> None:
    """Kill call, first FIN or RST, EOF at the canary, proof of death."""
    assert any("was not seen in its order" in said for said in broken(truth(_but(changed, **words))))


def test_process_that_ends_after_its_connections_is_caught() -> None:
    """Or that nobody saw end: then nothing says that what ended was a death."""
    assert any("was not seen in its order" in said for said in broken(truth(exits={14: 110.0055})))
    assert any("exit never" in said for said in broken(truth(exits={})))


def test_what_the_victim_closed_before_its_process_ended_is_no_death() -> None:
    """An ordinary close a moment before the kill call; the order begins with what the process left open."""
    closed = [*packets(), *dialogue(40008, 9001, 101.0, []), *dialogue(40009, 9001, 101.0, [])]
    closed += [end(109.9998, 40008, 9001), end(110.001, 40009, 9001)]
    known = sightings() | {port: [Sighting(101.0, 14, 9001, closes=False)] for port in (40008, 40009)}
    found = truth(seen=sorted(closed, key=lambda one: one.unix_s), sightings=known)
    (victim,) = found.victims
    assert (victim.first_end_ms, victim.closed_before, broken(found)) == (3.0, 1, [])


def test_storms_alike_are_pooled() -> None:
    """Two of three watched connections told late; the storm that is starved has no part in it."""
    in_time = truth()
    (gap,) = in_time.gaps
    late = in_time.model_copy(update={"seed": 2, "gaps": [gap.model_copy(update={"evidence_ms": 2.4})] * 2})
    check = Check(made_at=datetime(2026, 11, 27, tzinfo=UTC), host={"cpu_count": 2}, storms=[in_time, late])
    (words,) = broken_bounds(check)
    assert words == "json (tcp): watched connections told after 2.40 ms (median; at most 2 ms)"
    (words,) = broken_bounds(check.model_copy(update={"storms": [in_time.model_copy(update={"gaps": []})]}))
    assert words.startswith("json (tcp): no watched connection to a victim ended")
    starved = check.model_copy(update={"storms": [in_time, late.model_copy(update={"starved": True})]})
    assert (list(broken_bounds(starved)), [len(storms) for storms in starved.alike()]) == ([], [1, 1])


def test_death_without_a_packet_is_caught() -> None:
    """The canary's own end must be in the capture."""
    silent = [one for one in packets() if one.source != 9104 or one.unix_s < 105 + OFFSET_S]
    assert any("canary's never" in said for said in broken(truth(seen=silent)))


def test_late_detection_breaks_both_bounds() -> None:
    """More than 2 ms in the median, and more than the loop lag in the p95; starved and crowded hosts are not judged."""
    late = [
        dict(event) | {"t": 110.0075, "eof_ms": 0.1} if event["ev"] == "watch_broke" else event for event in journal()
    ]
    found = truth(late)
    assert [words.partition(": ")[2][:30] for words in broken(found)] == [
        "the p95 of these gaps is 3.50 ",
        "watched connections told after",
    ]
    assert broken(found.model_copy(update={"starved": True})) == []
    crowd = found.model_copy(update={"nodes": found.nodes[:1] * (4 + len(found.victims))})
    assert len(broken(crowd)) == 2
    assert broken(crowd, cores=1) == []


def test_gap_counts_from_the_end_of_that_very_connection() -> None:
    """A process's connections end one after another: what the others did is not what the observer watched."""
    elsewhere = [*packets(), packet(110.001, 9004, 49999, 1, flags=0x11), end(110.002, 40006, 9001)]
    (gap,) = truth(seen=sorted(elsewhere, key=lambda one: one.unix_s)).gaps
    assert (gap.eof_ms, gap.evidence_ms, gap.suspicion_ms, gap.after_first_ms) == (0.8, 1.2, 1.5, 3.5)


@pytest.mark.parametrize(
    ("changes", "suspected"),
    [
        ({"probes": False}, False),  # other evidence had been first
        ({"mechanism": "watch"}, False),  # the suspicion came by the other one
        ({"port": 9001, "peer_port": 40006}, True),  # it hung on the one that the victim had opened
    ],
)
def test_only_the_suspicion_that_a_watch_brought_about_is_its_own(changes: dict[str, Any], *, suspected: bool) -> None:
    """The end is compared all the same."""
    found = truth(_but("watch_broke", **changes))
    (gap,) = found.gaps
    assert (gap.suspicion_ms is not None, found.others) == (suspected, 1 if suspected else 2)


@pytest.mark.parametrize(
    "changes",
    [
        {"port": 40003},  # no such connection of the two in the capture
        {"eof_ms": None},  # the watch does not know what ended
        {"t": 109.9},  # before the kill
        {"peer": "agent_2"},  # nobody was killed there
    ],
)
def test_end_that_the_capture_knows_nothing_of_is_no_gap(changes: dict[str, Any]) -> None:
    """It is left out, and the suspicion counts as one that came otherwise."""
    found = truth(_but("watch_broke", **changes))
    assert (found.gaps, found.others) == ([], 2)


@pytest.mark.parametrize("silent", ["agent_2", VICTIM])
def test_agent_that_falls_silent_is_caught(silent: str) -> None:
    """Its last line is no excuse for what it did not tell, neither a survivor's nor a victim's."""
    shorter = [line for line in journal() if not (line["ev"] == "bytes" and line["node"] == silent and line["t"] > 109)]  # type: ignore[operator]
    assert [words for words in broken(truth(shorter)) if f"{silent} counted -" in words]


def test_what_is_said_while_hanging_up_is_not_compared() -> None:
    """Both sides go to the agent's last line before the end of the run; what it had no time to write is untold."""

    def last(t: float, sent: int) -> dict[str, Any]:
        return {"t": t, "node": "agent_1", "inc": 0, "ev": "bytes", "rows": [["client", "agent_2", "task", sent, 0]]}

    farewell = [(119.85, 4111, 7), (119.98, 4118, 3), (120.06, 4121, 900)]
    seen = [*packets(), *(packet(at_s, 40001, 9002, sequence, size) for at_s, sequence, size in farewell)]
    found = {node.node: node for node in truth([*journal(), last(119.9, 7), last(120.05, 3)], seen).nodes}
    assert (found["agent_1"].journal_sent, found["agent_1"].wire_sent, found["agent_1"].untold) == (3917, 3917, 3)
    assert found["agent_2"].wire_received == 3110 + 7 + 3
