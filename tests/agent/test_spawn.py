"""Work beside its caller: nothing is begun in an agent that ends, and no error is one that nobody hears of."""

import asyncio

import pytest

from agent.decisions import News
from agent.errand import JsonObject
from agent.spawn import beside, into
from protocols.errors import LabError, PeerUnreachableError
from tests.agent.asking import MakeLab, stage

_FULL = LabError("the disk is full")


async def _fail(error: Exception) -> None:
    raise error


async def test_an_agent_that_ends_for_an_error_begins_nothing_any_more() -> None:
    """What its parts want to begin while they are cancelled does not run, and is no second error."""
    begun = []

    async def work() -> None:
        begun.append("work")

    async def scene() -> None:
        async with asyncio.TaskGroup() as group:
            spawn = into(group)

            async def last_will() -> None:
                try:
                    await asyncio.Event().wait()
                finally:
                    spawn(work())

            spawn(last_will())
            await asyncio.sleep(0)
            spawn(_fail(_FULL))

    with pytest.raises(ExceptionGroup) as ended:
        await scene()
    assert ended.value.exceptions == (_FULL,)
    assert begun == []


@pytest.mark.parametrize(("error", "heard"), [(_FULL, [_FULL]), (PeerUnreachableError("agent_2", "gone"), [])])
async def test_what_fails_after_its_caller_went_on_ends_the_agent_unless_expected(
    error: Exception, heard: list[Exception]
) -> None:
    """The caller cancels it and does not look at it again."""

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise error

    ends: list[BaseException] = []
    try:
        async with asyncio.TaskGroup() as group:
            task = beside(work(), into(group), (PeerUnreachableError,))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.sleep(0.01)
    except* LabError as caught:
        ends.extend(caught.exceptions)
    assert ends == heard
    assert task.done()


async def test_a_request_given_up_that_cannot_be_noted_ends_the_agent(make_lab: MakeLab) -> None:
    """The peer is held for dead before its receipt came, and there is no room for the line that says so."""

    def no_room(_line: JsonObject) -> None:
        raise _FULL

    async def scene() -> None:
        async with stage(make_lab) as s:
            s.lab.network.without_receipt["agent_2", "request"] = None
            asked = s.ask(s.step(["agent_2"]))
            await s.next_request()
            s.a.mesh._mailbag._note = no_room
            s.a.hear(News("agent_2", 0, alive=False))
            try:
                await asyncio.sleep(1)
            finally:
                asked.cancel()

    with pytest.raises(ExceptionGroup) as ended:
        await scene()
    assert ended.value.exceptions == (_FULL,)
