"""Chaos over HTTP: what an order leads to, and what is told about it."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
import requests

from chaos import __main__ as program
from protocols.clock import MonotonicClock

from .fake_engine import RUN, lab_with_strangers, labels, refusal
from .serving import KILL_3, TOKEN, Service, ask, bearer


def test_an_order_is_carried_out_and_told() -> None:
    """The victim dies, the strangers live, and the events come back with the times of chaos."""

    async def talk(chaos: Service) -> None:
        before = MonotonicClock().now()
        answer = await chaos.order(KILL_3)
        assert answer.status_code == 200
        events = answer.json()["events"]
        assert [event["ev"] for event in events] == ["kill_call", "death"]
        assert events[1]["fields"] == {"victim": "agent_3", "signal": 9}
        assert before <= events[0]["at"] <= events[1]["at"] <= MonotonicClock().now()
        assert chaos.engine.touched() == ["fail-storm-agent-3-1"]
        assert chaos.said == ["inject kill agent_3: done"]

    ask(talk)


def test_orders_are_carried_out_one_after_the_other() -> None:
    """An order that comes while another is under way is not looked at before that one has ended."""
    engine = lab_with_strangers()
    kill, containers = engine.kill, engine.containers
    looked, overtaken = threading.Event(), list[bool]()

    async def talk(chaos: Service) -> None:
        loop, first_is_under_way = asyncio.get_running_loop(), asyncio.Event()

        def slow_kill(container: str, signal: str) -> None:
            if not overtaken:
                looked.clear()
                loop.call_soon_threadsafe(first_is_under_way.set)
                overtaken.append(looked.wait(0.2))
            kill(container, signal)

        def watched_containers(**options: Any) -> list[dict[str, Any]]:
            looked.set()
            return containers(**options)

        engine.kill, engine.containers = slow_kill, watched_containers  # type: ignore[method-assign]
        first = asyncio.create_task(chaos.order(KILL_3 | {"victims": ["agent_1"]}))
        await first_is_under_way.wait()
        for answer in await asyncio.gather(first, chaos.order(KILL_3 | {"victims": ["agent_2"]})):
            assert [event["ev"] for event in answer.json()["events"]] == ["kill_call", "death"]

    ask(talk, engine)
    assert overtaken == [False]


def test_the_metrics_say_who_was_killed_when() -> None:
    """Unix seconds of the kill and of its proof, and every order by how it ended; open without a token."""

    async def talk(chaos: Service) -> tuple[str, list[dict[str, Any]]]:
        chaos.engine.ids[chaos.engine.id_of("fail-storm-agent-2-1")].dies_with = 1
        events = (await chaos.order(KILL_3)).json()["events"]
        await chaos.order(KILL_3 | {"victims": ["agent_2"]})
        await chaos.order(KILL_3 | {"victims": []})
        await chaos.order(KILL_3, "wrong")
        assert (await chaos.http.get("/health")).json() == {"run": RUN}
        return (await chaos.http.get("/metrics")).text, events

    text, events = ask(talk)
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    kill, death = (1_000_000.0 + event["at"] for event in events)
    assert float(values['failstorm_kill_timestamp_seconds{victim="agent_3"}']) == pytest.approx(kill, abs=1e-6)
    assert float(values['failstorm_death_timestamp_seconds{victim="agent_3"}']) == pytest.approx(death, abs=1e-6)
    assert 'failstorm_death_timestamp_seconds{victim="agent_2"}' not in values
    for action, outcome, number in [("inject", "done", 1), ("inject", "failed", 1), ("inject", "refused", 1)]:
        assert float(values[f'failstorm_orders_total{{action="{action}",outcome="{outcome}"}}']) == number
    assert float(values['failstorm_orders_total{action="heal",outcome="done"}']) == 0


def test_a_second_container_of_an_agent_is_no_crash() -> None:
    """The state of an ambiguous run is refused with the reason."""
    engine = lab_with_strangers()
    engine.add("fail-storm-agent-1-run-1", labels("agent_1"))
    answer = ask(lambda chaos: chaos.http.get("/agents", headers=bearer(TOKEN)), engine)
    assert (answer.status_code, "one container for agent_1" in answer.text) == (503, True)


@pytest.mark.parametrize("error", [refusal(409, "it is gone"), requests.ConnectionError("it is gone")])
def test_a_kill_that_does_not_get_through_is_a_failed_fault(error: Exception) -> None:
    """Refused or not answered, it is told with the engine's words, and the other victims die."""
    engine = lab_with_strangers()
    gone = engine.id_of("fail-storm-agent-1-1")
    kill = engine.kill

    def refuse(container: str, signal: str) -> None:
        if container == gone:
            raise error
        kill(container, signal)

    engine.kill = refuse  # type: ignore[method-assign]
    answer = ask(lambda chaos: chaos.order(KILL_3 | {"victims": ["agent_1", "agent_2"]}), engine)
    outcomes = {event["fields"]["victim"]: event for event in answer.json()["events"][2:]}
    assert "it is gone" in outcomes["agent_1"]["fields"]["reason"]
    assert outcomes["agent_2"]["ev"] == "death"


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    """A file with the token."""
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return path


def test_the_token_is_read_without_its_line_end(token_file: Path) -> None:
    """What the prepare step wrote is what orders must bear."""
    assert program.read_token(token_file) == TOKEN


@pytest.mark.parametrize("content", [None, b"", b"\n", b"short", b"two words and more of them", b"\xff" * 20])
def test_without_a_good_token_nothing_is_served(
    tmp_path: Path, content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing, empty, short or odd token ends the program with one line: an empty one would open the door."""
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    assert program.main(["serve", "--run", RUN, "--token-file", str(path), "--port", "0"]) == 3
    assert capsys.readouterr().err.count("\n") == 1


def test_the_lease_needs_the_token_and_is_a_sign_of_life() -> None:
    """Whoever has the token keeps chaos from healing by itself; nobody else does."""

    async def talk(chaos: Service) -> None:
        assert (await chaos.http.post("/lease", headers=bearer("wrong"))).status_code == 401
        assert chaos.signs_of_life == []
        await chaos.remote(lambda _ev, **_: None, TOKEN).renew()
        assert len(chaos.signs_of_life) == 1
        await chaos.order(KILL_3 | {"fault": "pause"})
        assert len(chaos.signs_of_life) == 2

    ask(talk)
