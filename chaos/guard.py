"""Heals everything by itself when whoever ordered it has fallen silent: the orchestrator, or chaos itself.

A freeze or a cut has no end of its own. Inside chaos a :class:`Ward` waits for the orchestrator's word; beside chaos,
in a container of its own, :func:`keep_guard` waits for chaos. Neither remembers who was hurt: the engine knows.
"""

from collections.abc import Awaitable, Callable

import httpx

from protocols.clock import Clock
from protocols.errors import FaultError, LabError

HealAll = Callable[[], Awaitable[tuple[str, ...]]]
"""Undoes whatever any living agent suffers; returns what was done."""
Say = Callable[[str], None]

SILENT_S = 3.0
"""After so long without a word somebody is held for dead; healing then takes a few calls to the engine."""
_LOOK_S = 0.5


class Ward:
    """Chaos's own watch over the orchestrator, from the first blow on that somebody survives."""

    def __init__(self, heal_all: HealAll, clock: Clock, say: Say) -> None:
        self._heal_all = heal_all
        self._clock = clock
        self._say = say
        self._heard_at = clock.now()
        self._hurt = False

    def heard(self) -> None:
        """The orchestrator gave a sign of life."""
        self._heard_at = self._clock.now()

    def hurt(self) -> None:
        """From now on somebody may be frozen, cut off or squeezed."""
        self._hurt = True

    async def keep(self) -> None:
        """Watch until cancelled."""
        while True:
            await self._clock.sleep(_LOOK_S)
            if self._hurt and self._clock.now() - self._heard_at > SILENT_S:
                self._hurt = not await healed("the orchestrator", self._heal_all, self._say)


async def keep_guard(http: httpx.AsyncClient, url: str, heal_all: HealAll, clock: Clock, say: Say) -> None:
    """Watch over the chaos service at ``url`` until cancelled; what was never heard is not yet there."""
    heard_at: float | None = None
    while True:
        try:
            await http.get(f"{url}/health", timeout=_LOOK_S)
            heard_at = clock.now()
        except httpx.TransportError:
            if heard_at is not None and clock.now() - heard_at > SILENT_S - 2 * _LOOK_S:
                await healed("chaos", heal_all, say)
                # Again and again, as long as it is away: nothing can have hurt anybody in between but its last order.
        await clock.sleep(_LOOK_S)


async def healed(silent: str, heal_all: HealAll, say: Say) -> bool:
    """Whether all could be healed; says what was done, or why not."""
    try:
        done = await heal_all()
    except (FaultError, LabError) as error:
        say(f"{silent} is silent, and healing failed: {error}")
        return False
    if done:
        say(f"{silent} is silent: {', '.join(done)}")
    return True
