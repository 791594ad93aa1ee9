"""Segments become connections: each byte once, whatever was repeated, lost or reordered."""

import pytest

from benchmarks.truth import owners
from benchmarks.truth.capture import summary
from benchmarks.truth.clocks import Mark, Offset, Reading
from benchmarks.truth.packets import ACK, RST, SYN, Packet, parse
from benchmarks.truth.recording import Sighting
from benchmarks.truth.streams import Connection, connections
from protocols.errors import LabError

from .wire_storm import MARKS, OFFSET, dialogue, end, packet


def _upward(*segments: tuple[int, int]) -> Connection:
    """One connection whose client sent these (sequence number, size)."""
    sent = [packet(2.0 + i, 40001, 9001, sequence, size) for i, (sequence, size) in enumerate(segments)]
    (found,) = connections([*dialogue(40001, 9001, 1.0, []), *sent], {9001})
    return found


@pytest.mark.parametrize(
    ("segments", "fresh", "repeated", "missing"),
    [
        ([(1001, 10), (1011, 5)], 15, 0, 0),
        ([(1001, 10), (1001, 10), (1011, 5)], 15, 10, 0),  # sent again as a whole
        ([(1001, 10), (1005, 10)], 14, 6, 0),  # in part
        ([(1000, 1), (1001, 10)], 10, 1, 0),  # a keepalive's byte before the first
        ([(1011, 5), (1001, 10)], 15, 0, 0),  # overtaken
        ([(1001, 10), (1021, 5)], 15, 0, 10),  # one is not in the capture
        ([(1001, 10), (1031, 5), (1015, 4), (1013, 4)], 21, 2, 14),  # two pieces of a gap
    ],
)
def test_each_byte_counts_once(segments: list[tuple[int, int]], fresh: int, repeated: int, missing: int) -> None:
    """What was sent again is told apart, and what nobody saw is known."""
    found = _upward(*segments).upward
    assert (sum(size for _, size in found.payload), found.repeated, found.missing) == (fresh, repeated, missing)


def test_sequence_numbers_wrap() -> None:
    """2^32 is followed by 0."""
    wrapping = [
        packet(1.0, 40001, 9001, 2**32 - 6, flags=SYN),
        packet(2.0, 40001, 9001, 2**32 - 5, 10),
        packet(3.0, 40001, 9001, 5, 7),
    ]
    (found,) = connections(wrapping, {9001})
    assert [size for _, size in found.upward.payload] == [10, 7]
    assert (found.upward.missing, found.upward.repeated) == (0, 0)


def test_port_that_is_used_again_is_a_new_connection() -> None:
    """Once the first has ended; a SYN that is sent again is not."""
    again = packet(1.5, 40001, 9001, 1000, flags=SYN)
    first = [*dialogue(40001, 9001, 1.0, []), again, packet(2.0, 40001, 9001, 1001, 10), end(3.0, 40001, 9001)]
    found = connections([*first, *dialogue(40001, 9001, 4.0, [(5.0, 20, 30)])], {9001})
    assert [(sum(p.size for p in one.upward.payload), one.upward.ended_unix_s) for one in found] == [
        (10, 1_000_003.0),
        (20, None),
    ]


def test_either_end_may_be_first_to_end() -> None:
    """By FIN or RST; the first of each side counts, and foreign ports are passed over."""
    (found,) = connections(
        [
            *dialogue(40001, 9001, 1.0, []),
            *dialogue(40002, 7777, 1.0, []),
            end(2.0, 9001, 40001),
            end(3.0, 40001, 9001, reset=True),
            end(4.0, 9001, 40001, reset=True),
        ],
        {9001},
    )
    assert (found.upward.ended_unix_s, found.downward.ended_unix_s) == (1_000_003.0, 1_000_002.0)


def test_tshark_lines() -> None:
    """Six fields; anything else is an error that shows the line."""
    assert list(parse(["1795819414.957307072\t49616\t23108\t467893420\t17\t0x0012"])) == [
        Packet(1795819414.957307072, 49616, 23108, 467893420, 17, SYN | ACK)
    ]
    with pytest.raises(LabError, match=r"expected 6 numbers a line from tshark, got '1\.0\\t2'"):
        list(parse(["1.0\t2"]))


def test_dumpcap_tells_what_it_dropped() -> None:
    """Its last words hold the numbers; without them the capture is worth nothing."""
    words = "Packets received/dropped on interface 'Loopback: lo': 1320/345 (pcap:345/dumpcap:0/flushed:0/ps_ifdrop:0)"
    assert summary(f"Packets captured: 1320\n{words} (79.3%)") == (1320, 345)
    with pytest.raises(LabError, match="how many packets it dropped"):
        summary("Capturing on 'Loopback: lo'")


def test_trace_names_the_owner_of_a_port() -> None:
    """A close speaks louder than a connect, which the kernel may answer in another process's time."""
    line = (
        "python3-77      ({pid}) [001] ..... {t}: inet_sock_set_state: family=AF_INET sport={port} "
        "dport={server} saddr=127.0.0.1 daddr=127.0.0.1 oldstate={old} newstate={new}"
    )
    established = {"old": "TCP_SYN_SENT", "new": "TCP_ESTABLISHED"}
    lines = [
        "# tracer: nop",
        line.format(pid="  77", t=5.25, port=40001, server=9001, **established),
        line.format(pid="  88", t=6.5, port=40001, server=9001, old="TCP_ESTABLISHED", new="TCP_FIN_WAIT1"),
        line.format(pid="-------", t=6.75, port=40003, server=9001, **established),
        line.format(pid="  99", t=6.5, port=40002, server=5432, **established),
    ]
    found = owners.parse(lines, {9001})
    assert found == {
        40001: [Sighting(5.25, 77, 9001, closes=False), Sighting(6.5, 88, 9001, closes=True)],
        40003: [Sighting(6.75, 77, 9001, closes=False)],
    }
    assert owners.owner(found[40001], 5.0, 7.0, {77, 88}) == 88
    assert owners.owner(found[40001], 5.0, 6.0, {77, 88}) == 77
    assert owners.owner(found[40001], 5.0, 7.0, {99}) is None


def test_trace_tells_when_a_process_ends() -> None:
    """Its first thread's end counts; a thread that ends early is no death. The kernel may not know the process."""
    line = "uvloop io-{thread}  ({pid}) [000] ..... {t}: sched_process_exit: comm=python3 pid={thread} prio=120"
    lines = [
        line.format(thread=78, pid="   77", t=4.5),
        line.format(thread=77, pid="   77", t=8.25),
        line.format(thread=91, pid="-------", t=8.5),
        "python3-77 (   77) [001] ..... 8.0: inet_sock_set_state: sport=1 dport=2 oldstate=TCP_ESTABLISHED ",
    ]
    assert owners.exits(lines) == {77: 8.25, 91: 8.5}


def test_error_of_the_clocks_is_what_marks_allow() -> None:
    """The marks' packets bound it from both sides; a wrong offset shows, and so does a mark that was not captured."""
    dialled = connections([*dialogue(50001, 9999, 100.000006, []), *dialogue(50002, 9999, 119.000008, [])], {9999})
    assert OFFSET.error_s(MARKS, dialled) == pytest.approx(14e-6, abs=1e-6)
    wrong = Offset(Reading(0.0, OFFSET.first.offset_s - 0.003), Reading(200.0, OFFSET.last.offset_s - 0.003))
    assert wrong.error_s(MARKS, dialled) == pytest.approx(0.003, abs=1e-4)
    with pytest.raises(LabError, match="1 are missing"):
        OFFSET.error_s([*MARKS, Mark(50003, 1.0, 2.0)], dialled)


def test_offset_that_drifts_is_a_straight_line() -> None:
    """Half way between the readings, half of the drift."""
    drifting = Offset(Reading(100.0, 1000.0), Reading(200.0, 1000.002))
    assert drifting.monotonic(1150.001) == pytest.approx(150.0, abs=1e-6)
    assert drifting.monotonic(1200.002) == pytest.approx(200.0, abs=1e-9)


def test_resets_carry_no_payload() -> None:
    """Nor do they move the count."""
    (found,) = connections([*dialogue(40001, 9001, 1.0, [(2.0, 5, 5)]), packet(3.0, 9001, 40001, 7, flags=RST)], {9001})
    assert (found.downward.missing, found.downward.repeated) == (0, 0)
