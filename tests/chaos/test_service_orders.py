"""Who may give orders to chaos over HTTP, and which orders are refused."""

import asyncio
import hmac
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos import service

from .fake_engine import RUN, STRANGERS, lab_with_strangers
from .serving import KILL_3, TOKEN, Service, ask, bearer


@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer(""),
        bearer("wrong"),
        bearer(TOKEN[:-1]),
        bearer(f"{TOKEN}x"),
        bearer(TOKEN.upper()),
        {"Authorization": TOKEN},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer"},
        {"Authorization": b"Bearer \xe4\xf6"},
        {"X-Token": TOKEN},
        {"Cookie": f"token={TOKEN}"},
    ],
)
def test_nobody_gives_orders_without_the_token(headers: dict[str, str]) -> None:
    """No token, a wrong one, or the right one in the wrong place: refused before the body is looked at."""

    async def talk(chaos: Service) -> None:
        for body in (json.dumps(KILL_3), "{", b"x" * (service.MAX_BODY_BYTES + 1)):
            answer = await chaos.http.post("/orders", content=body, headers=headers)
            assert answer.status_code == 401
            assert TOKEN not in answer.text + "".join(chaos.said)
        answer = await chaos.http.post("/orders", params={"token": TOKEN}, content=json.dumps(KILL_3), headers=headers)
        assert answer.status_code == 401
        assert (await chaos.http.get("/agents", headers=headers)).status_code == 401
        assert chaos.engine.log == [("events", "")]

    ask(talk)


def test_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison is the standard library's own, and it decides."""
    compared: list[tuple[bytes, bytes]] = []

    def compare(given_: bytes, wanted: bytes) -> bool:
        compared.append((given_, wanted))
        return False

    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert ask(lambda chaos: chaos.order(KILL_3)).status_code == 401
    assert compared == [(TOKEN.encode(), TOKEN.encode())]


@pytest.mark.parametrize(
    ("victims", "reason"),
    [
        ([], "at least one victim"),
        (["agent_1", "agent_2", "agent_3", "agent_4"], "order for all"),
        (["agent_3", "agent_3"], "every victim once"),
        (["agent_3", "agent_7"], "agent_7"),
        (["agent_3", "agent_9"], "agent_9"),
        (["fail-storm-agent-3x"], "fail-storm-agent-3x"),
        (["fail-storm-agent-3-1"], "fail-storm-agent-3-1"),
        (["chaos"], "chaos"),
    ],
)
@pytest.mark.parametrize("action", ["inject", "heal"])
def test_refused_orders_touch_nobody(victims: list[str], reason: str, action: str) -> None:
    """Well-formed orders for nobody, all, somebody twice or a stranger answer 409 with the reason."""

    async def talk(chaos: Service) -> None:
        answer = await chaos.order({"action": action, "fault": "kill", "victims": victims})
        assert answer.status_code == 409
        assert reason in answer.json()["detail"]
        assert chaos.engine.touched() == []
        assert "refused" in chaos.said[0]

    ask(talk)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"action": "inject", "fault": "kill", "victims": ["agent_3"]} x',
        KILL_3 | {"victims": "agent_3"},
        KILL_3 | {"victims": None},
        KILL_3 | {"victims": ["../agent_3"]},
        KILL_3 | {"victims": ["agent_3/kill"]},
        KILL_3 | {"victims": ["agent_3\n"]},
        KILL_3 | {"victims": ["agent_3?signal=0"]},
        KILL_3 | {"victims": [""]},
        KILL_3 | {"victims": [3]},
        KILL_3 | {"victims": [["agent_3"]]},
        KILL_3 | {"victims": {"agent_3": True}},
        KILL_3 | {"victims": ["agent_3"] * 1025},
        KILL_3 | {"victims": ["a" * 65]},
        KILL_3 | {"action": "remove"},
        KILL_3 | {"fault": "../kill"},
        KILL_3 | {"run": RUN},
        {"action": "inject", "fault": "kill"},
    ],
)
def test_malformed_orders_are_refused(body: Any) -> None:
    """What is no order answers 422 and one line that names the place."""

    async def talk(chaos: Service) -> None:
        answer = await chaos.order(body)
        assert answer.status_code == 422
        assert "expected an order" in answer.json()["detail"]
        assert chaos.engine.log == [("events", "")]

    ask(talk)


def test_an_unknown_fault_is_refused() -> None:
    """A fault that does not exist answers 409 and names those that do."""
    answer = ask(lambda chaos: chaos.order(KILL_3 | {"fault": "flood"}))
    assert answer.status_code == 409
    assert "kill" in answer.json()["detail"]


def test_oversized_orders_are_not_read_to_their_end() -> None:
    """With the token, too: reading stops at the bound, whether or not a length was announced."""
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 1
            yield b" " * 65536

    async def talk(chaos: Service) -> None:
        assert (await chaos.order(b" " * (service.MAX_BODY_BYTES + 1))).status_code == 413
        assert (await chaos.order(endless())).status_code == 413
        assert sent < 10
        assert chaos.engine.log == [("events", "")]

    ask(talk)


def test_a_stalled_order_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that does not come to its end is not waited for."""
    monkeypatch.setattr(service, "BODY_TIMEOUT_S", 0.01)

    async def stalled() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async def talk(chaos: Service) -> int:
        return (await chaos.order(stalled())).status_code

    assert ask(talk) == 408


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


NAMES = st.sampled_from(
    ["agent_1", "agent_2", "agent_3", "agent_4", "agent_8", "agent_9", "chaos", *STRANGERS, "*", "", ".", "agent_1 "]
) | st.text(max_size=12)


ORDERS = st.fixed_dictionaries(
    {
        "action": st.sampled_from(["inject", "heal", "kill"]) | JSON,
        "fault": st.sampled_from(["kill", "kill/../kill"]) | JSON,
        "victims": st.lists(NAMES, max_size=6) | JSON,
    },
    optional={"at": JSON},
)


PLAUSIBLE = st.fixed_dictionaries(
    {"action": st.just("inject"), "fault": st.just("kill"), "victims": st.lists(NAMES, max_size=4)}
)


@settings(max_examples=60, deadline=None)
@given(body=PLAUSIBLE | ORDERS | JSON, token=st.sampled_from([TOKEN, TOKEN, "wrong"]))
def test_whatever_the_order_says_strangers_live(body: Any, token: str) -> None:
    """Any body gets a plain answer; only who is named in an order that is carried out dies, and never everybody."""
    engine = lab_with_strangers()

    async def talk(chaos: Service) -> int:
        return (await chaos.order(body, token)).status_code

    status = ask(talk, engine)
    dead = {each.labels["failstorm.node"] for each in engine.ids.values() if each.state != "running"}
    assert set(STRANGERS) <= set(engine.running())
    if status == 200:
        assert token == TOKEN
        assert dead <= set(body["victims"])
        assert len(dead) < 4
    else:
        assert status in {401, 409, 422}
        assert engine.touched() == []
