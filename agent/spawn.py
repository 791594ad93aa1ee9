"""How the parts of an agent begin work beside them: one agent, one task group, and no error that nobody hears of."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, TypeVar

Spawn = Callable[[Coroutine[Any, Any, None]], object]
"""Begins work that lasts as long as the agent; an error in it ends the agent."""

_T = TypeVar("_T")


def into(group: asyncio.TaskGroup) -> Spawn:
    """Spawn into ``group``; once the group ends for an error, nothing is begun any more."""

    def spawn(work: Coroutine[Any, Any, None]) -> None:
        try:
            group.create_task(work)
        except RuntimeError:  # it is shutting down; the error that says why is in it already
            work.close()

    return spawn


def beside(work: Coroutine[Any, Any, _T], spawn: Spawn, expected: tuple[type[Exception], ...]) -> "asyncio.Task[_T]":
    """Begin ``work`` for a caller who may cancel it and go on without waiting for its end.

    What it fails with is the caller's business where ``expected``, and else ends the agent, whoever still waits.
    """
    task = asyncio.ensure_future(work)

    def ended(_task: "asyncio.Task[_T]") -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, expected):
            spawn(_fail(error))

    task.add_done_callback(ended)
    return task


async def _fail(error: BaseException) -> NoReturn:
    raise error
