"""Many memberships in one pure simulation: events come from one queue, in an order and at delays that a seed draws."""

import heapq
import itertools
from collections.abc import Callable, Iterable
from random import Random

from agent.decisions import Decision, Doubt, News, Probe, Suspect, Tell
from agent.detection import Excuse, Through
from agent.membership import Membership
from agent.settings import DetectorSettings

CALM_S = 0.001
"""Least delay of an answer or a message."""


def constants(kind: str, **wishes: object) -> DetectorSettings:
    """Settings of this detector with these wishes."""
    return DetectorSettings.model_validate({"kind": kind, "mode": "probe", **wishes})


class World:
    """``n0`` … on a circle, each linked to the next ``reach`` on either side; probes are answered within ``delay_s``.

    A share ``loss`` of the probes is lost until ``storm_ends_s``; messages with news are late but never lost, and none
    travel at all without ``gossip``. ``deaf`` pairs hear no answers of each other. Who is ``cut_off`` until a time
    gets no answers and gives none; news from it and to it arrive after that. Times count from 0.
    """

    def __init__(
        self,
        settings: DetectorSettings,
        size: int,
        seed: int,
        reach: int = 2,
        delay_s: float = 0.05,
        loss: float = 0.0,
        storm_ends_s: float = 0.0,
        *,
        gossip: bool = True,
        deaf: Iterable[tuple[str, str]] = (),
    ) -> None:
        self.now = 0.0
        self.names = [f"n{number}" for number in range(size)]
        self.dead: dict[str, float] = {}
        self.suspected: list[tuple[float, str, Suspect]] = []
        self.doubted: list[tuple[float, str, Doubt]] = []
        self.excused: list[tuple[float, str, Excuse]] = []
        self.starved: tuple[str, ...] = ()
        """Who is not awake: it hears nothing in time, and knows it."""
        self.cut_off: dict[str, float] = {}
        self.worst_stretch = 1.0
        self._settings = settings
        self._order = Random(seed)
        self._delay_s, self._loss, self._storm_ends_s = delay_s, loss, storm_ends_s
        self._gossip = gossip
        self._deaf = {pair for one, other in deaf for pair in ((one, other), (other, one))}
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        steps = [step * side for step in range(1, reach + 1) for side in (1, -1)]
        self.links = {
            name: tuple(dict.fromkeys(other for step in steps if (other := self.names[(place + step) % size]) != name))
            for place, name in enumerate(self.names)
        }
        self.views = {
            name: Membership(
                name, 0, [other for other in self.names if other != name], settings, Random(f"{seed}{name}")
            )
            for name in self.names
        }
        for name in self.names:
            self.at(self._order.uniform(0, self.views[name].interval_s), self._beat(name))

    def at(self, when: float, event: Callable[[], None]) -> None:
        """Let this happen then; what happens at one time happens in any order."""
        heapq.heappush(self._queue, (when, self._order.randrange(1 << 30) * 1000 + next(self._numbers) % 1000, event))

    def kill(self, name: str) -> None:
        """From now on it says and does nothing."""
        self.dead[name] = self.now

    def run_until(self, when: float) -> None:
        """Let everything happen that happens before."""
        while self._queue[0][0] <= when:
            self.now, _, event = heapq.heappop(self._queue)
            event()
        self.now = when

    def suspects(self) -> dict[str, tuple[str, ...]]:
        """Whom each of the living holds for dead."""
        return {name: self.views[name].suspects for name in self.names if name not in self.dead}

    def _beat(self, name: str) -> Callable[[], None]:
        def beat() -> None:
            if name in self.dead:
                return
            self._carry_out(name, self.views[name].due_probes(self.links[name], self.now))
            self.at(self.now + self.views[name].interval_s, beat)

        return beat

    def _carry_out(self, name: str, decisions: Iterable[Decision]) -> None:
        view = self.views[name]
        self.worst_stretch = max(self.worst_stretch, view.timeout_s / self._settings.timeout_s)
        for decision in decisions:
            match decision:
                case Probe():
                    self._probe(name, decision)
                case Through():
                    self._ask(name, decision)
                case Tell():
                    self._tell(name, decision)
                case Suspect():
                    self.suspected.append((self.now, name, decision))
                case Doubt():
                    self.doubted.append((self.now, name, decision))
                case Excuse():
                    self.excused.append((self.now, name, decision))
        if view.deadline <= 1e9:
            self.at(max(view.deadline, self.now), self._tick(name, view.deadline))

    def _tick(self, name: str, deadline: float) -> Callable[[], None]:
        def tick() -> None:
            if name not in self.dead and self.views[name].deadline == deadline:
                self._carry_out(name, self.views[name].tick(self.now, starved=name in self.starved))

        return tick

    def _reaches(self, name: str, peer: str) -> bool:
        lost = self.now < self._storm_ends_s and self._order.random() < self._loss
        cut_s = self._cut_s(name, peer)
        return not (lost or cut_s) and peer not in self.dead and (name, peer) not in self._deaf

    def _cut_s(self, *names: str) -> float:
        """For how long yet nothing passes between these."""
        return max(0.0, *(self.cut_off.get(name, 0.0) - self.now for name in names))

    def _probe(self, name: str, probe: Probe) -> None:
        asked_at, timeout_s = self.now, self.views[name].timeout_s
        delay_s = self._order.uniform(CALM_S, self._delay_s)

        def answer() -> None:
            if name in self.dead:
                return
            if name in self.starved:
                self.excused.append((self.now, name, Excuse(probe.peer)))
                self._carry_out(name, self.views[name].undecided(probe.peer))
            else:
                self._carry_out(name, self.views[name].heard(probe.peer, self.now, asked_at))

        def silence() -> None:
            if name not in self.dead:
                self._carry_out(name, self.views[name].missed(probe, self.now, asked_at, refused=False))

        if self._reaches(name, probe.peer) and delay_s < timeout_s:
            self.at(asked_at + delay_s, answer)
        else:
            self.at(asked_at + timeout_s, answer if name in self.starved else silence)

    def _ask(self, name: str, through: Through) -> None:
        peer, helper = through.peer, through.helper
        alive = self._reaches(helper, peer)
        waited_s = self._order.uniform(CALM_S, self._delay_s) if alive else 0.8 * self._settings.timeout_s

        def word() -> None:
            if name not in self.dead:
                self._carry_out(name, self.views[name].helped(peer, helper, self.now, alive=alive))

        if self._reaches(name, helper):
            self.at(self.now + waited_s + self._order.uniform(CALM_S, self._delay_s), word)

    def _tell(self, name: str, tell: Tell) -> None:
        if not self._gossip:
            return
        to = self.links[name] if tell.peer is None else (tell.peer,)
        for peer in to:
            if tell.peer is not None or self.views[name].is_alive(peer):
                delay_s = self._cut_s(name, peer) + self._order.uniform(CALM_S, self._delay_s)
                self.at(self.now + delay_s, self._hear(peer, tell.news, name))

    def _hear(self, peer: str, news: News, sender: str) -> Callable[[], None]:
        def hear() -> None:
            if peer not in self.dead:
                self._carry_out(peer, self.views[peer].told([news], self.now, sender))

        return hear
