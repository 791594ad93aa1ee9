"""Who heals when whoever ordered it falls silent."""

import asyncio

import httpx

from chaos.guard import SILENT_S, Ward, keep_guard
from protocols.errors import LabError


class Enough(Exception):  # noqa: N818 - ends a test's endless loop
    """The clock has run out."""


class Clock:
    """Sleeps at once, until its time is over."""

    def __init__(self, until: float) -> None:
        self.time, self.until = 0.0, until

    def now(self) -> float:
        """Seconds."""
        return self.time

    async def sleep(self, duration_s: float) -> None:
        """Jump ahead."""
        self.time += duration_s
        if self.time > self.until:
            raise Enough


class Healer:
    """Notes when it was asked; fails as often as the test wants."""

    def __init__(self, clock: Clock, failures: int = 0) -> None:
        self.clock, self.failures = clock, failures
        self.at: list[float] = []
        self.said: list[str] = []

    async def __call__(self) -> tuple[str, ...]:
        """Heal."""
        self.at.append(self.clock.now())
        if len(self.at) <= self.failures:
            raise LabError("no engine")
        return ("agent_1 thawed",)


def run(endless: object) -> None:
    """Run until the clock has run out."""
    try:
        asyncio.run(endless)  # type: ignore[arg-type]
    except Enough:
        return


def test_chaos_heals_once_after_the_orchestrators_silence() -> None:
    """Soon after three silent seconds, within five; a failure is tried again; without a blow nothing happens."""
    for failures, times in ((0, 1), (2, 3)):
        clock = Clock(20)
        healer = Healer(clock, failures)
        ward = Ward(healer, clock, healer.said.append)
        ward.hurt()
        run(ward.keep())
        assert SILENT_S < healer.at[0] <= SILENT_S + 0.5
        assert len(healer.at) == times
        assert healer.said[-1] == "the orchestrator is silent: agent_1 thawed"
    unhurt = Healer(Clock(20))
    run(Ward(unhurt, unhurt.clock, unhurt.said.append).keep())
    assert unhurt.at == []


def test_a_word_of_the_orchestrator_keeps_chaos_calm() -> None:
    """Whoever is heard in time is not taken for dead."""
    clock = Clock(20)
    healer = Healer(clock)
    ward = Ward(healer, clock, healer.said.append)
    ward.hurt()
    sleep = clock.sleep

    async def sleep_and_hear(duration_s: float) -> None:
        await sleep(duration_s)
        if clock.now() < 10:
            ward.heard()

    clock.sleep = sleep_and_hear  # type: ignore[method-assign]
    run(ward.keep())
    assert 10 + SILENT_S - 0.5 < healer.at[0] <= 10 + SILENT_S + 0.5


def test_the_guardian_heals_when_chaos_is_gone_and_not_before_it_came() -> None:
    """It was there from 5 to 10 s: nothing before, healing within 5 s after."""
    clock = Clock(16)
    healer = Healer(clock)

    def answer(request: httpx.Request) -> httpx.Response:
        if 5 <= clock.now() <= 10:
            return httpx.Response(200)
        raise httpx.ConnectError("refused", request=request)

    async def guard() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
            await keep_guard(http, "http://chaos", healer, clock, healer.said.append)

    run(guard())
    assert 12 < healer.at[0] <= 13
    assert healer.said[0] == "chaos is silent: agent_1 thawed"
