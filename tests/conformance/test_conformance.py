"""What every protocol adapter must do, whatever it speaks; optional capabilities where an adapter has them."""

import asyncio
import socket
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocols import registry
from protocols.adapter import BaseProtocolAdapter, Identity
from protocols.errors import IdentityError, PeerRejectedError, PeerUnreachableError, ProtocolError
from protocols.message import Cause, Traffic

from .arena import Arena, holdings, until

_MIB = 1 << 20
_UNICODE = "ASCII, ümläüt, 漢字, עברית, e\u0301, 👩‍🚀, \u0000\u001f\u2028\U0010ffff"
_text = st.text(st.characters(codec="utf-8"), max_size=20)
_json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats(allow_nan=False, allow_infinity=False) | _text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_text, inner, max_size=4),
    max_leaves=12,
)


def _able(capability: str) -> list[str]:
    """The protocols that have an optional capability."""
    default = getattr(BaseProtocolAdapter, capability)
    return [name for name in registry.names() if getattr(registry.load(name), capability) is not default]


async def _pair(arena: Arena) -> tuple[BaseProtocolAdapter, BaseProtocolAdapter]:
    a, b = await arena.node("a"), await arena.node("b")
    await arena.link(a, "b")
    return a, b


def test_echo_carries_the_whole_content_there_and_back(arena: Arena) -> None:
    """Every field of a message arrives as it was sent, in both directions."""

    async def scenario() -> None:
        a, b = await _pair(arena)
        sent = arena.message(Traffic.RETRY, text=_UNICODE, numbers=[0, -1, 1.5, 2**70], nested={"a": [None, True, {}]})
        sent = sent.model_copy(update={"kind": "request", "cause": Cause(victim="c", request="r1")})
        await arena.deliver(a, sent)
        received = await b.receive_message()
        assert received == sent
        reply = arena.message(sender="b", recipient="a", got=received.body)
        reply = reply.model_copy(update={"kind": "result", "in_reply_to": received.message_id})
        await arena.link(b, "a")
        await arena.deliver(b, reply)
        assert await a.receive_message() == reply

    arena.run(scenario())


def test_any_json_content_survives_the_wire(arena: Arena) -> None:
    """Whatever JSON can say, a message can carry unchanged."""
    a, b = arena.run(_pair(arena))

    async def exchange(body: dict[str, Any]) -> None:
        sent = arena.message().model_copy(update={"body": body})
        await arena.deliver(a, sent)
        assert await b.receive_message() == sent

    @settings(
        max_examples=40,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(st.dictionaries(_text, _json_values, max_size=4))
    def survives(body: dict[str, Any]) -> None:
        arena.run(exchange(body))

    survives()


def test_one_mebibyte_arrives_whole(arena: Arena) -> None:
    """A payload of 1 MiB is no special case."""

    async def scenario() -> None:
        a, b = await _pair(arena)
        sent = arena.message(payload="0123456789abcdef" * (_MIB // 16))
        await arena.deliver(a, sent)
        assert await b.receive_message() == sent

    arena.run(scenario())


def test_200_messages_at_once_all_arrive(arena: Arena) -> None:
    """Concurrent messages to one peer are all acknowledged, and each arrives once."""

    async def scenario() -> None:
        a, b = await _pair(arena)
        sent = [arena.message(number=number) for number in range(200)]
        await asyncio.gather(*(arena.deliver(a, message) for message in sent))
        received = [await b.receive_message() for _ in sent]
        assert sorted(message.message_id for message in received) == sorted(message.message_id for message in sent)

    arena.run(scenario())


def test_receipt_does_not_wait_for_a_slow_peer(arena: Arena) -> None:
    """A peer that takes no message out of its inbox still acknowledges, and loses none."""

    async def scenario() -> None:
        a, b = await _pair(arena)
        sent = [arena.message(number=number) for number in range(300)]
        for message in sent:
            await arena.deliver(a, message)
        assert [await b.receive_message() for _ in sent] == sent

    arena.run(scenario())


def test_same_message_id_is_delivered_each_time(arena: Arena) -> None:
    """To drop duplicates is policy: the adapter delivers whatever is sent, over the same link and over a new one."""

    async def scenario() -> None:
        a, b = await _pair(arena)
        message = arena.message()
        await arena.deliver(a, message)
        await arena.deliver(a, message)
        await arena.link(a, "b")
        await arena.deliver(a, message)
        assert [await b.receive_message() for _ in range(3)] == [message] * 3

    arena.run(scenario())


def test_misaddressed_message_is_refused(arena: Arena) -> None:
    """A node that took over a dead peer's address does not take its messages, and says no."""

    async def scenario() -> None:
        a = await arena.node("a", via={"b": arena.port("c")})
        c = await arena.node("c")
        with pytest.raises(PeerRejectedError):
            await arena.deliver(a, arena.message(recipient="b"))
        mine = arena.message(recipient="c")
        await arena.deliver(a, mine)
        assert await c.receive_message() == mine

    arena.run(scenario())


@pytest.mark.parametrize("protocol", _able("connect"))
def test_connect_finds_somebody_else_at_the_address(arena: Arena) -> None:
    """The full connect checks who answers."""

    async def scenario() -> None:
        a = await arena.node("a", via={"b": arena.port("c")})
        await arena.node("c")
        with pytest.raises(IdentityError):
            await arena.link(a, "b")

    arena.run(scenario())


def test_restarted_peer_is_reached_again(arena: Arena) -> None:
    """While a peer is away it is unreachable; after its restart connect names the new incarnation."""

    async def scenario() -> None:
        a, b = await _pair(arena)
        await arena.deliver(a, arena.message())
        await b.close()
        with pytest.raises(PeerUnreachableError):
            await arena.deliver(a, arena.message())
        reborn = await arena.node("b", incarnation=1000)
        identity = await arena.link(a, "b")
        if arena.overrides("connect"):
            assert identity == Identity("b", 1000)
        again = arena.message()
        await arena.deliver(a, again)
        assert await reborn.receive_message() == again

    arena.run(scenario())


@pytest.mark.parametrize("protocol", _able("resume"))
def test_resume_after_a_cut_leaves_a_working_link(arena: Arena) -> None:
    """A protocol that can fetch what it missed does so after the peer's restart, and messages flow again."""

    async def scenario() -> None:
        a, b = await _pair(arena)
        await arena.deliver(a, arena.message())
        await b.close()
        reborn = await arena.node("b", incarnation=1000)
        await arena.link(a, "b")
        await a.resume("b")
        again = arena.message()
        await arena.deliver(a, again)
        assert await reborn.receive_message() == again

    arena.run(scenario())


def test_close_frees_everything(arena: Arena) -> None:
    """After close no task, socket or thread of an adapter is left, even of calls that were under way."""

    async def scenario() -> None:
        ports = arena.port("a"), arena.port("b")
        tasks, before = len(asyncio.all_tasks()), holdings()
        a, b = await _pair(arena)
        await arena.link(b, "a")
        await asyncio.gather(*(arena.deliver(a, arena.message()) for _ in range(40)))
        await arena.deliver(b, arena.message(sender="b", recipient="a"))
        with socket.create_connection(("127.0.0.1", ports[1])) as half_a_request:
            half_a_request.sendall(b"POST / HTTP/1.1\r\nhost: b\r\ncontent-length: 1000\r\n\r\n{")
            await arena.deliver(a, arena.message())
            await a.close()
            await b.close()
        await until(lambda: holdings() == before, "every socket and thread is given back")
        await until(lambda: len(asyncio.all_tasks()) == tasks, "every task has ended")

    arena.run(scenario())


def test_close_twice_and_disconnect_from_nobody(arena: Arena) -> None:
    """Giving up what is not there is no error."""

    async def scenario() -> None:
        a, b = await _pair(arena)
        await a.disconnect("b")
        await a.disconnect("b")
        await a.disconnect("nobody")
        await a.close()
        await a.close()
        await b.close()

    arena.run(scenario())


def test_disconnect_amid_other_calls_breaks_them_cleanly(arena: Arena) -> None:
    """Calls under way while the link is given up end well or with a ProtocolError, and leak no connection."""

    async def scenario() -> None:
        a, b = await arena.node("a"), await arena.node("b")
        before = holdings()
        await arena.link(a, "b")
        await a.disconnect("b")
        outcomes: list[BaseException | None] = []
        for turns in range(24):
            # Give up after ever more turns of the loop, so that every stage of a call is hit.
            calls = [asyncio.create_task(arena.deliver(a, arena.message())) for _ in range(6)]
            for _ in range(turns):
                await asyncio.sleep(0)
            await a.disconnect("b")
            outcomes += await asyncio.gather(*calls, return_exceptions=True)
        await a.disconnect("b")
        assert [outcome for outcome in outcomes if not isinstance(outcome, ProtocolError | None)] == []
        await until(lambda: holdings() == before, "no connection outlives its link")
        await b.close()

    arena.run(scenario())
