"""Ends an agent whose orchestrator has fallen silent, where no parent process ties the two together."""

from agent.settings import LeaseSettings
from protocols.clock import Clock

_TICK_S = 0.5
_LONGEST_TICK_S = 1.0
"""On a busy machine a tick takes longer; what goes beyond this is a standstill."""


class Lease:
    """The orchestrator's word, renewed again and again, that the run goes on."""

    def __init__(self, settings: LeaseSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._left_s = settings.first_s

    def renew(self) -> None:
        """The orchestrator was heard."""
        self._left_s = self._settings.silent_s

    async def run_out(self) -> None:
        """Return when nothing was heard for too long.

        Time in which this process itself stood still (a pause fault, a starved host) does not count: the renewals of
        that time may still wait in the socket.
        """
        while self._left_s > 0:
            began = self._clock.now()
            await self._clock.sleep(_TICK_S)
            self._left_s -= min(self._clock.now() - began, _LONGEST_TICK_S)
