"""The live view of a run: reads the growing journals, draws them in a terminal or prints them as plain lines."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self, TextIO

from rich.console import Console
from rich.live import Live

from orchestrator.journal import JournalTail
from orchestrator.live_draw import TONE_STYLES, frame, stamp, status_text
from orchestrator.live_lines import Line, Narrator
from orchestrator.live_parts import Event
from orchestrator.live_state import LiveState
from protocols.clock import Clock

REFRESH_S = 0.25
STATUS_S = 5.0
_REORDER_S = 0.25
"""Events wait that long before they are shown, because the files of a run are read one after the other."""
_QUIET_EVENTS = ("bytes", "host", "loop_lag", "task")


class LiveView:
    """Shows one run while it goes on; ``async with LiveView(...)`` refreshes by itself until the block ends.

    On a terminal it draws in place; anywhere else it prints the lines of the story, and the status every five
    seconds. The same lines go to ``log``, which it alone writes and which it flushes line by line. With ``debug``
    every journaled event becomes a line, except the periodic samples. ``state`` knows no event yet; ``followers`` are
    told each event after it, so that the journals are read once.
    """

    def __init__(
        self,
        run_dir: Path,
        state: LiveState,
        clock: Clock,
        console: Console,
        log: TextIO,
        *,
        debug: bool = False,
        followers: Sequence[Callable[[Event], None]] = (),
    ) -> None:
        self._tail = JournalTail(run_dir)
        self._clock = clock
        self._console = console
        self._log = log
        self._debug = debug
        self._state = state
        self._followers = followers
        self._narrator = Narrator(self._state)
        self._lines: list[Line] = []
        self._pending: deque[Event] = deque()
        self._status_at_s = clock.now() + STATUS_S
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Start the view and keep it fresh."""
        self.start()
        self._task = asyncio.create_task(self._keep_fresh(), name="live view")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Show what is left and stop; a view that broke on the way is named in the log, and the run goes on."""
        try:
            error = None
            if self._task is not None:
                self._task.cancel()
                error = await _end_of(self._task)
            if error is None:
                # A task again, because it may break as well.
                error = await _end_of(asyncio.create_task(self._last_look(), name="last look"))
            if error is not None:
                self._write(Line(self._clock.now(), f"the live view broke: {error!r}", "bad"))
        finally:
            # Whatever happens, a second Ctrl-C included, the user gets the terminal back.
            self._leave()

    def start(self) -> None:
        """Take over the terminal, if there is one."""
        if self._live is not None:
            self._live.start()

    def stop(self) -> None:
        """Show the last events and leave the terminal; the last frame stays on the screen."""
        self._catch_up()
        self._leave()

    def refresh(self) -> None:
        """Read what the journals have got since the last call and show it."""
        now_s = self._seen_until()
        self._take(self._tail.read_new(), until_s=now_s)
        self._state.tick(now_s)
        if now_s >= self._status_at_s and self._state.ended is None:
            self._status_at_s += STATUS_S
            self._write(Line(now_s, status_text(self._state, now_s)), keep=False)
        self._draw()

    def _catch_up(self) -> None:
        self._take(self._tail.read_new(), until_s=float("inf"))
        self._state.tick(self._clock.now() if self._state.ended_at_s is None else self._state.ended_at_s)
        self._draw()

    def _leave(self) -> None:
        if self._live is not None:
            self._live.stop()

    async def _last_look(self) -> None:
        self._catch_up()

    async def _keep_fresh(self) -> None:
        while True:
            self.refresh()
            await self._clock.sleep(REFRESH_S)

    def _take(self, events: Sequence[Event], until_s: float) -> None:
        """Put the new events behind the waiting ones and tell those that are old enough, in the order of time."""
        self._pending = deque(sorted([*self._pending, *events], key=lambda event: event["t"]))
        while self._pending and self._pending[0]["t"] <= until_s:
            event = self._pending.popleft()
            self._state.apply(event)
            for follow in self._followers:
                follow(event)
            lines = self._narrator.tell(event)
            for line in lines:
                self._write(line)
            if self._debug and not lines and event["ev"] not in _QUIET_EVENTS:
                self._write(_raw(event), keep=False)

    def _write(self, line: Line, *, keep: bool = True) -> None:
        """Send a line to the log and, without a terminal, to the console; ``keep`` shows it in the frame, too."""
        text = f"{stamp(line.t_s, self._state.t0_s, self._state.start_s)}  {line.text}"
        with contextlib.suppress(OSError):  # a full disk ends the run by the journal; what is held back may yet fit
            self._log.write(f"{text}\n")
            self._log.flush()
        if line.log_only:
            return
        if keep:
            self._lines.append(line)
        if self._live is None:
            self._console.print(text, style=TONE_STYLES[line.tone], markup=False, highlight=False, soft_wrap=True)

    def _seen_until(self) -> float:
        """Up to here all events have been shown; rates over a window that ends later would miss its last answers."""
        return self._clock.now() - _REORDER_S

    def _draw(self) -> None:
        if self._live is not None:
            size = self._console.size
            # One column and one line stay free: a full last line makes some terminals scroll.
            ended_at_s = self._state.ended_at_s
            now_s = self._seen_until() if ended_at_s is None else ended_at_s
            drawn = frame(self._state, self._lines, now_s, size.width - 1, size.height - 1)
            self._live.update(drawn, refresh=True)


async def _end_of(task: asyncio.Task[None]) -> BaseException | None:
    """Wait for a task; return what broke it, if anything did."""
    await asyncio.wait([task])
    return None if task.cancelled() else task.exception()


def _raw(event: Event) -> Line:
    fields = " ".join(f"{key}={value}" for key, value in event.items() if key not in ("t", "ev", "node", "inc"))
    return Line(event["t"], f"{event['node']} {event['ev']} {fields}".rstrip())
