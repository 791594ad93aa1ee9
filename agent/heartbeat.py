"""Drives the membership: sends its probes, feeds it evidence, carries out what it decides."""

import math
import os
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from pydantic import JsonValue, TypeAdapter, ValidationError

from agent.decisions import Decision, Doubt, News, Probe, Refute, Replace, Restore, Suspect, Tell, Trust
from agent.detection import Excuse, Mechanism, Through
from agent.indirect import IndirectProbes
from agent.journal import Journal
from agent.membership import Membership
from agent.mesh import MeshNetwork
from agent.settings import DetectorSettings
from agent.spawn import Spawn
from agent.vitals import LAG_SAMPLE_S, LoopLag
from protocols.clock import Clock
from protocols.errors import PeerTimeoutError, ProtocolError
from protocols.message import Cause, Message, Traffic
from protocols.wire import End

_STARVED_SHARE = 0.2
_NEWS = TypeAdapter(list[News])
_NAMES = TypeAdapter(list[str])
_NEWS_ATTEMPTS = 3


class Recovers(Protocol):
    """Who acts on a changed view."""

    @property
    def linking(self) -> tuple[str, ...]:
        """Peers to which a link is being made, or could not be."""

    @property
    def missing(self) -> tuple[str, ...]:
        """Dead neighbours, for whom this agent needs stand-ins."""

    def on_suspect(self, peer: str) -> None:
        """``peer`` is held for dead from now on."""

    def on_restore(self, peer: str, *, restarted: bool) -> None:
        """``peer`` is held for alive again."""

    def on_replace(self, peer: str) -> None:
        """``peer`` is a new process; the old one was not missed."""

    def on_linked(self, peer: str, missing: Sequence[str], cause: Cause | None) -> None:
        """``peer``, whose neighbours ``missing`` are dead, has linked to this agent."""


class HeartbeatMonitor:
    """The asynchronous shell around the pure :class:`Membership`."""

    def __init__(
        self,
        membership: Membership,
        mesh: MeshNetwork,
        settings: DetectorSettings,
        clock: Clock,
        journal: Journal,
        spawn: Spawn,
        rng: random.Random,
        lag: LoopLag,
    ) -> None:
        self.recovery: Recovers | None = None
        self.observed: Callable[[str, float], None] = lambda _peer, _taken_s: None
        """Called with each probe's peer and duration, answered or not, without what this agent's own loop was late."""
        self.disturbed: Callable[[], None] = lambda: None
        """Called when others may have come to hold this agent for dead: a silence, a standstill, an accusation."""
        self._membership = membership
        self._mesh = mesh
        self._settings = settings
        self._clock = clock
        self._journal = journal
        self._spawn = spawn
        self._rng = rng
        self._lag = lag
        self._outbox: dict[str, dict[str, News]] = {}
        self._sending: dict[str, None] = {}
        self._waking_at = math.inf
        self._indirect = IndirectProbes(membership, mesh, clock, journal, spawn, self._carry_out)
        mesh.broke = self._request_failed
        mesh.met = lambda peer, life: self._carry_out(membership.told([News(peer, life, alive=True)], clock.now()))
        mesh.introduction = self._introduction
        mesh.on("membership", self._on_news)
        mesh.on("hello", self._on_hello)

    async def beat_forever(self) -> None:
        """Probe once an interval, from a seeded phase on, without drift."""
        due = self._clock.now() + self._rng.uniform(0, self._membership.interval_s)
        while True:
            await self._clock.sleep(due - self._clock.now())
            if self._is_starved(self._clock.now() - due):
                self.disturbed()
            # A stand-in may be dead as well: it is probed from the moment it is wanted.
            linking = self.recovery.linking if self.recovery is not None else ()
            links = list(dict.fromkeys((*self._mesh.links, *linking)))
            self._carry_out(self._membership.due_probes(links, self._clock.now()))
            interval_s = self._membership.interval_s
            due += interval_s
            # After a stall (a frozen process that resumed) beats are skipped, not fired in a burst.
            while due < self._clock.now():
                due += interval_s

    def doubt(self, peer: str, mechanism: Mechanism) -> bool:
        """Something other than a probe speaks against ``peer``; returns whether a probe goes out to confirm it."""
        decisions = self._membership.doubted(peer, mechanism)
        self._carry_out(decisions)
        return bool(decisions)

    def _request_failed(self, peer: str) -> None:
        self.doubt(peer, "request")

    def watch_broke(self, peer: str, mechanism: Mechanism, end: End | None) -> None:
        """A watch of ``peer`` has broken, where known by the ``end`` of a connection: that speaks against a link."""
        at = self._clock.now()
        linked = peer in self._mesh.links
        probes = linked and self.doubt(peer, mechanism)
        if end is None and not linked:
            return  # its link has gone meanwhile
        known: dict[str, JsonValue] = {}
        if end is not None:
            known = {"eof_ms": round((at - end.at_s) * 1000, 3), "port": end.own_port, "peer_port": end.peer_port}
            known["lag_ms"] = round(self._lag.worst_s(end.at_s - LAG_SAMPLE_S) * 1000, 3)
        # Only now: the probe is on its way.
        self._journal.append_at(at, "watch_broke", peer=peer, mechanism=mechanism, probes=probes, **known)
        # A death wakes all survivors at once: who waits for this core is to see it before the repairs begin here.
        os.sched_yield()

    def _carry_out(self, decisions: Iterable[Decision]) -> None:
        for decision in decisions:
            match decision:
                case Probe():
                    self._spawn(self._probe(decision))
                case Through():
                    self._spawn(self._indirect.ask(decision))
                case Suspect() | Restore() | Replace():
                    self._change_view(decision)
                case Tell():
                    self._tell(decision)
                case Refute() | Doubt() | Trust() | Excuse():
                    self._note(decision)
        if self._membership.deadline < self._waking_at:
            self._waking_at = self._membership.deadline
            self._spawn(self._wake(self._waking_at))

    async def _wake(self, at: float) -> None:
        """Let the detector decide at its deadline, or see that there is a later one."""
        await self._clock.sleep(at - self._clock.now())
        if at == self._waking_at:
            self._waking_at = math.inf
        self._carry_out(self._membership.tick(self._clock.now(), starved=self._is_starved(self._recent_lag_s())))

    def _note(self, decision: Refute | Doubt | Trust | Excuse) -> None:
        match decision:
            case Refute():
                self.disturbed()
                self._journal.append("refute", incarnation=decision.incarnation)
            case Doubt():
                self._journal.append("doubt", peer=decision.peer, peer_inc=decision.incarnation, by=decision.by)
            case Trust():
                self._journal.append("trust", peer=decision.peer, peer_inc=decision.incarnation)
            case Excuse():
                self._excuse(decision.peer, self._recent_lag_s())

    def _change_view(self, change: Suspect | Restore | Replace) -> None:
        peer = change.peer
        ev = "suspect" if isinstance(change, Suspect) else "alive"
        self._journal.append(ev, peer=peer, peer_inc=change.incarnation, mechanism=change.mechanism)
        if self.recovery is None:
            return
        match change:
            case Suspect():
                self.recovery.on_suspect(peer)
            case Restore():
                self.recovery.on_restore(peer, restarted=change.restarted)
            case Replace():
                self.recovery.on_replace(peer)

    async def _probe(self, decision: Probe) -> None:
        began = self._clock.now()
        try:
            await self._mesh.probe(decision.peer, self._membership.timeout_s)
        except PeerTimeoutError:
            self._carry_out(self._unanswered(decision, began))
        except ProtocolError:
            self._carry_out(self._membership.missed(decision, self._clock.now(), began, refused=True))
        else:
            self._carry_out(self._membership.heard(decision.peer, self._clock.now(), began))
        self.observed(decision.peer, max(0.0, self._clock.now() - began - self._lag.worst_s(began)))

    def _unanswered(self, decision: Probe, began: float) -> list[Decision]:
        """A silence counts only if this agent was awake to hear an answer; a starved observer blames itself first.

        The idea is Lifeguard's local health (Dadgar, Phillips, Currey 2018), taken from the lateness of the own loop.
        """
        self.disturbed()
        lag_s = self._lag.worst_s(began)
        if not self._is_starved(lag_s):
            return self._membership.missed(decision, self._clock.now(), began, refused=False)
        self._excuse(decision.peer, lag_s)
        return self._membership.undecided(decision.peer)

    def _recent_lag_s(self) -> float:
        return self._lag.worst_s(self._clock.now() - self._settings.timeout_s)

    def _is_starved(self, lag_s: float) -> bool:
        return lag_s >= _STARVED_SHARE * self._settings.timeout_s

    def _excuse(self, peer: str, lag_s: float) -> None:
        self._journal.append("excused", peer=peer, lag_ms=round(lag_s * 1000, 3))

    def _tell(self, decision: Tell) -> None:
        recipients = self._mesh.links if decision.peer is None else (decision.peer,)
        for peer in recipients:
            if decision.peer is not None or self._membership.is_alive(peer):
                self._post(peer, [decision.news])

    def _post(self, peer: str, items: Iterable[News]) -> None:
        """Queue news for ``peer``; what comes up while a message is on its way travels together in the next one."""
        self._outbox.setdefault(peer, {}).update({news.peer: news for news in items})
        if peer not in self._sending:
            self._sending[peer] = None
            self._spawn(self._send_news(peer))

    async def _send_news(self, peer: str) -> None:
        attempts = 0
        try:
            while self._outbox.get(peer):
                news = self._outbox.pop(peer)
                try:
                    await self._mesh.send(
                        self._mesh.message(peer, "membership", Traffic.MEMBERSHIP, _body(news.values()))
                    )
                except ProtocolError:  # the mesh has reported it as evidence already
                    attempts += 1
                    if attempts == _NEWS_ATTEMPTS or not self._membership.is_alive(peer):
                        return
                    # Nobody else may ever tell this to a peer that lives.
                    self._outbox[peer] = news | self._outbox.get(peer, {})
                    await self._clock.sleep(self._settings.interval_s)
        finally:
            self._outbox.pop(peer, None)
            del self._sending[peer]

    def _introduction(self) -> dict[str, JsonValue]:
        missing = self.recovery.missing if self.recovery is not None else ()
        return _body(self._membership.view()) | ({"missing": list(missing)} if missing else {})

    async def _on_news(self, message: Message) -> None:
        try:
            news = _NEWS.validate_python(message.body.get("news"))
            missing = _NAMES.validate_python(message.body.get("missing", []))
        except ValidationError:
            self._journal.append("nonsense", peer=message.sender, kind=message.kind)
            return
        self._carry_out(self._membership.told(news, self._clock.now(), message.sender))
        if missing and self.recovery is not None:
            self.recovery.on_linked(message.sender, missing, message.cause)

    async def _on_hello(self, message: Message) -> None:
        await self._on_news(message)
        view = self._membership.view()
        if len(view) > 1:
            self._post(message.sender, view)


def _body(news: Iterable[News]) -> dict[str, JsonValue]:
    return {"news": _NEWS.dump_python(list(news), mode="json", exclude_defaults=True)}
