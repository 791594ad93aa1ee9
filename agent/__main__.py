"""``python -m agent SETTINGS.json``: one agent in one process, which ends with its orchestrator."""

import asyncio
import contextlib
import ctypes
import gc
import logging
import os
import signal
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from agent.lives import begin_life
from agent.membership import RESTART_STEP
from agent.node import Node
from agent.settings import EXIT_LAB, KEY_VARIABLE, AgentSettings
from agent.stalls import StallSelector
from agent.story import Story, last_word
from protocols.clock import MonotonicClock, unix_offset_s
from protocols.errors import FailstormError
from protocols.wire import ByteCounter, counting_loop

_PR_SET_PDEATHSIG = 1


def die_with(parent_pid: int) -> None:
    """Have the kernel kill this process when its parent ends, however it ends (prctl(2), PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it ended before the call took effect
        os._exit(3)


async def _serve(
    settings: AgentSettings, counter: ByteCounter, key: str | None, stalls: StallSelector
) -> dict[str, None]:
    """Be the agent to its end; returns what it could not go on for, each cause once."""
    story = Story(settings.node_id, sys.stderr)
    ended_by: dict[str, None] = {}
    try:
        node = Node(
            settings, MonotonicClock(), counter, lambda: uuid.uuid4().hex, unix_offset_s(), (story.observe,), key,
            stalls.drain_s,
        )  # fmt: skip
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, node.stop)
        # A full collection goes through all that an SDK has loaded, and stops the agent for 60 to 180 ms; it need not.
        gc.collect()
        gc.freeze()
        await node.run()
    except* (FailstormError, OSError) as group:
        # What several parts of the agent ran into is said once.
        ended_by = dict.fromkeys(" ".join(str(cause).split()) for cause in _causes(group))
    finally:
        # What libraries say of requests that end with the loop would fill the room that a full log has for last words.
        logging.disable()
    return ended_by


def main(arguments: list[str]) -> int:
    """Run the agent that the settings file describes; returns the exit code."""
    if len(arguments) != 1:
        sys.stderr.write("fail-storm agent: expected one settings file; the orchestrator starts agents\n")
        return 2
    try:
        settings = AgentSettings.model_validate_json(Path(arguments[0]).read_bytes())
        life = begin_life(settings.workspace)
    except (OSError, ValidationError) as error:
        sys.stderr.write(f"fail-storm agent: expected settings in {arguments[0]}, got: {error}\n")
        return 2
    if settings.parent_pid is not None:
        die_with(settings.parent_pid)
    settings = settings.model_copy(update={"incarnation": life * RESTART_STEP})
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C belongs to the orchestrator
    counter = ByteCounter()
    key = os.environ.pop(KEY_VARIABLE, None)  # so that no library of a protocol picks it up
    stalls = StallSelector()
    with asyncio.Runner(loop_factory=lambda: counting_loop(counter, stalls)) as runner:
        ended_by = runner.run(_serve(settings, counter, key, stalls))
    with contextlib.suppress(OSError):  # the log may be on the very disk that is full
        for cause in ended_by:
            sys.stderr.write(f"{last_word(settings.node_id)}{cause}\n")
    return EXIT_LAB if ended_by else 0


def _causes(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _causes(error)
        else:
            yield error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
