"""The byte count: what falls under which class and peer, at both ends of a connection."""

import socket
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.message import Traffic
from protocols.wire import ByteCounter, CountingSocket, Tally, classify

_HEARTBEAT, _TASK, _RETRY = Traffic.HEARTBEAT, Traffic.TASK, Traffic.RETRY
_UNCLASSIFIED = "unclassified"


@pytest.fixture
def wires(counter: ByteCounter) -> Iterator[tuple[CountingSocket, socket.socket]]:
    """A counted client socket and the plain other end."""
    near, far = socket.socketpair()
    counted = CountingSocket.wrap(near, counter, "client")
    with counted, far:
        yield counted, far


# ByteCounter


def test_drain_adds_up_and_starts_anew(counter: ByteCounter) -> None:
    """Rows of the same role, peer and class are one; a second drain has nothing."""
    counter.add("client", "b", _TASK, 10, 0)
    counter.add("client", "b", _TASK, 0, 7)
    assert counter.drain() == [("client", "b", "task", 10, 7)]
    assert counter.drain() == []


def test_drain_has_a_stable_order(counter: ByteCounter) -> None:
    """Rows come by role, peer, class, whatever the order of counting; nobody known comes first."""
    rows = [
        ("client", "a", "heartbeat", 1, 1),
        ("client", "b", "heartbeat", 1, 1),
        ("client", "b", "task", 1, 1),
        ("server", None, "heartbeat", 1, 1),
        ("server", "a", "task", 1, 1),
    ]
    for role, peer, traffic, sent, received in reversed(rows):
        counter.add("client" if role == "client" else "server", peer, Traffic(traffic), sent, received)
    assert counter.drain() == rows


# Tally


def test_bytes_before_the_tag_wait_for_it(counter: ByteCounter) -> None:
    """A server's first bytes count when the request says what it is, and under that class."""
    tally = Tally(counter, "server")
    tally.received(100)
    tally.sent(20)
    assert counter.drain() == []
    tally.tag(_TASK, "a")
    assert counter.drain() == [("server", "a", "task", 20, 100)]


def test_next_request_waits_for_its_own_tag(counter: ByteCounter) -> None:
    """After an answer, what arrives is the next request's; what is still sent belongs to the answer."""
    tally = Tally(counter, "server")
    tally.received(100)
    tally.tag(_TASK, "a")
    tally.sent(10)
    tally.answered()
    tally.sent(5)
    tally.received(50)
    assert counter.drain() == [("server", "a", "task", 15, 100)]
    tally.tag(_HEARTBEAT, None)
    assert counter.drain() == [("server", "a", "heartbeat", 0, 50)]


def test_known_peer_stays_known(counter: ByteCounter) -> None:
    """A call that names no sender comes from whoever spoke on this connection before, until another does."""
    tally = Tally(counter, "server")
    for peer, traffic in ((None, _HEARTBEAT), ("a", _TASK), (None, _HEARTBEAT), ("b", _TASK)):
        tally.received(1)
        tally.tag(traffic, peer)
        tally.answered()
    assert counter.drain() == [
        ("server", None, "heartbeat", 0, 1),
        ("server", "a", "heartbeat", 0, 1),
        ("server", "a", "task", 0, 1),
        ("server", "b", "task", 0, 1),
    ]


def test_request_cut_before_it_was_read(counter: ByteCounter) -> None:
    """It falls under the class of the connection's last exchange; on a fresh connection nobody knows."""
    used, fresh = Tally(counter, "server"), Tally(counter, "server")
    used.tag(_RETRY, "a")
    used.answered()
    for tally in (used, fresh):
        tally.received(9)
        tally.close()
        tally.close()
    assert counter.drain() == [("server", None, _UNCLASSIFIED, 0, 9), ("server", "a", "retry", 0, 9)]


def test_end_of_stream_is_no_traffic(wires: tuple[CountingSocket, socket.socket], counter: ByteCounter) -> None:
    """A connection that ends moves no bytes, so it makes no row."""
    counted, far = wires
    with classify(_TASK, "b"):
        counted.send(b"x")
    counter.drain()
    assert far.recv(10) == b"x"
    far.close()
    assert counted.recv(10) == b""
    assert counter.drain() == []


@settings(derandomize=True, database=None, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["sent", "received", "tag", "answered"]), st.integers(0, 999)), max_size=30))
def test_no_byte_is_lost_or_counted_twice(steps: list[tuple[str, int]]) -> None:
    """Whatever the order of events, the rows add up to what moved once the connection is closed."""
    counter = ByteCounter()
    tally, moved = Tally(counter, "server"), {"sent": 0, "received": 0}
    for step, number in steps:
        match step:
            case "tag":
                tally.tag(list(Traffic)[number % len(Traffic)], None)
            case "answered":
                tally.answered()
            case "sent":
                tally.sent(number)
                moved[step] += number
            case _:
                tally.received(number)
                moved[step] += number
    tally.close()
    rows = counter.drain()
    assert (sum(row[3] for row in rows), sum(row[4] for row in rows)) == (moved["sent"], moved["received"])


# CountingSocket


def test_every_way_of_moving_bytes_counts(wires: tuple[CountingSocket, socket.socket], counter: ByteCounter) -> None:
    """send, sendall, sendmsg, recv, recv_into and files made of the socket count alike; peeking does not."""
    counted, far = wires
    with classify(_TASK, "b"):
        counted.send(b"1")
        counted.sendall(memoryview(b"4444"))
        counted.sendmsg([b"22", b"22"])
    assert far.recv(100) == b"144442222"
    far.sendall(b"abcdefghij")
    assert counted.recv(3, socket.MSG_PEEK) == b"abc"
    assert counted.recv_into(bytearray(4), 0, socket.MSG_PEEK) == 4
    assert counted.recv(3) == b"abc"
    assert counted.recv_into(bytearray(4)) == 4
    with counted.makefile("rb", buffering=0) as file:
        assert file.read(3) == b"hij"
    assert counter.drain() == [("client", "b", "task", 9, 10)]


def test_sendall_that_fails_midway_counts_what_went(
    wires: tuple[CountingSocket, socket.socket], counter: ByteCounter
) -> None:
    """What the kernel took before the peer stopped reading has been sent, and the peer will find as much."""
    counted, far = wires
    counted.settimeout(0.05)
    with classify(_TASK, "b"), pytest.raises(TimeoutError):
        counted.sendall(bytes(64 << 20))
    counted.shutdown(socket.SHUT_WR)
    arrived = 0
    while data := far.recv(1 << 20):
        arrived += len(data)
    assert arrived > 0
    assert counter.drain() == [("client", "b", "task", arrived, 0)]


def test_thread_of_a_synchronous_sdk_is_its_own_caller(
    wires: tuple[CountingSocket, socket.socket], counter: ByteCounter
) -> None:
    """Outside any event loop the sending thread's own class counts."""
    counted, _ = wires

    def send(traffic: Traffic, data: bytes) -> None:
        with classify(traffic, "b"):
            counted.sendall(data)

    for traffic, data in ((_TASK, b"12"), (_RETRY, b"345")):
        thread = threading.Thread(target=send, args=(traffic, data))
        thread.start()
        thread.join()
    assert counter.drain() == [("client", "b", "retry", 3, 0), ("client", "b", "task", 2, 0)]


def test_wrap_keeps_the_timeout_and_takes_the_socket_over(counter: ByteCounter) -> None:
    """The plain socket is empty afterwards: there is one owner."""
    near, far = socket.socketpair()
    near.settimeout(1.5)
    with far, CountingSocket.wrap(near, counter, "client") as counted:
        assert counted.gettimeout() == 1.5
        assert near.fileno() == -1


def test_classes_nest() -> None:
    """The inner block's class holds inside it, the outer one's again after it."""
    counter = ByteCounter()
    near, far = socket.socketpair()
    with far, CountingSocket.wrap(near, counter, "client") as counted:
        with classify(_TASK, "b"):
            with classify(_HEARTBEAT, "c"):
                counted.send(b"1")
            counted.send(b"22")
        counted.send(b"333")
    assert counter.drain() == [
        ("client", "b", "task", 2, 0),
        ("client", "b", _UNCLASSIFIED, 3, 0),
        ("client", "c", "heartbeat", 1, 0),
    ]
