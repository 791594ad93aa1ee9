"""Who is alive, as one agent believes it: a pure state machine without I/O and without a clock of its own.

News, incarnation numbers and refutation follow SWIM (Das, Gupta, Motivala 2002). When silence becomes suspicion is the
detector's business (``agent/detection.py``). Evidence goes in as method calls with the time of the observation;
decisions come out as values which ``heartbeat.py`` carries out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from random import Random

from agent import detection
from agent.decisions import Decision, Doubt, News, Probe, Refute, Replace, Restore, Suspect, Tell, Trust
from agent.detection import Accuse, Clear, Declare, Excuse, Mechanism, Through, Verdict
from agent.hearing import Hearing
from agent.pace import Pace
from agent.settings import DetectorSettings
from agent.standing import Standing

RESTART_STEP = 1000
"""Incarnations of one process life; the next life starts at the next multiple."""


class Membership:
    """Who is alive and who tells whom, around the detector of the kind that the settings name."""

    def __init__(
        self, me: str, incarnation: int, peers: Sequence[str], settings: DetectorSettings, rng: Random
    ) -> None:
        self.incarnation = incarnation
        self._me = me
        self._settings = settings
        self._records = {peer: Standing() for peer in peers}
        self._detector = detection.load(settings.kind)(me, settings, rng)
        self._pace = Pace(settings)
        self._beats = 1
        self._hearing = Hearing()

    @property
    def alive(self) -> tuple[str, ...]:
        """Peers held for alive, in roster order."""
        return tuple(peer for peer, record in self._records.items() if record.alive)

    @property
    def suspects(self) -> tuple[str, ...]:
        """Peers held for dead, in roster order."""
        return tuple(peer for peer, record in self._records.items() if not record.alive)

    def is_alive(self, peer: str) -> bool:
        """Whether ``peer`` is held for alive; strangers are not."""
        record = self._records.get(peer)
        return record is not None and record.alive

    def knows(self, peer: str) -> bool:
        """Whether ``peer`` is another member of the mesh."""
        return peer in self._records

    @property
    def interval_s(self) -> float:
        """From this beat to the next."""
        return self._pace.interval_s * self._detector.stretch

    @property
    def timeout_s(self) -> float:
        """How long a probe that goes out now is waited for."""
        return self._settings.timeout_s * self._detector.stretch

    @property
    def _alone_after_s(self) -> float:
        """Longer than answers in time are apart, and shorter than the silence that makes a suspect in a cut."""
        return self.interval_s + self.timeout_s / 2

    @property
    def deadline(self) -> float:
        """When :meth:`tick` is due; infinite for never."""
        return self._detector.deadline

    def due_probes(self, links: Sequence[str], now: float) -> list[Decision]:
        """The probes of one interval: those that the detector wants of live links, and one suspect to find it back.

        A crash is suspected within :func:`agent.detection.noticed_within_s`.
        """
        records = self._records
        chosen = self._detector.due([peer for peer in links if self.is_alive(peer)], now)
        chosen += sorted(self.suspects, key=lambda peer: records[peer].probed)[:1]
        self._beats += 1
        for peer in chosen:
            records[peer].probed = self._beats
        return [Probe(peer, incarnation=records[peer].incarnation) for peer in chosen]

    def heard(self, peer: str, now: float, asked_at: float) -> list[Decision]:
        """``peer`` answered a probe. One that is doubted or held for dead is told so: only it can refute."""
        record = self._records.get(peer)
        if record is None:
            return []
        record.confirming, record.missed_at = False, None
        was_alone = self._hearing.heard(now, self._alone_after_s)
        self._pace.answered(peer, now - asked_at)
        if not record.alive:
            record.looked, record.stale_from = self._beats, now
            return [Tell(self._death(peer), peer), *self._look_again(now)]
        decisions = self._as_decisions(self._detector.heard(peer, now, asked_at), now)
        told = self._accusation(peer, alive=True, by=self._me)
        decisions += [Tell(told, peer) for decision in decisions if isinstance(decision, Trust)]
        # Who had heard nobody may have been cut off.
        return [*decisions, *self._look_again(now)] if was_alone else decisions

    def missed(self, probe: Probe, now: float, asked_at: float, *, refused: bool) -> list[Decision]:
        """This probe was ``refused``, or went unanswered; it may be one after other evidence (``confirm``)."""
        peer, confirm = probe.peer, probe.confirm
        record = self._records[peer]
        if probe.incarnation != record.incarnation or (probe.extra and record.alive):
            return []
        if confirm is not None:
            if not record.confirming:
                return []  # a sign of life has come since the probe went out
            record.confirming = False
        record.missed_at = asked_at
        if not record.alive:
            is_told = record.stale_from is None or asked_at < record.stale_from
            if is_told or not (refused or self._has_witness(record, now)):
                return []
            # Who has met this agent since, or was not told in the first place, has not heard of this death.
            record.stale_from = None
            return [Tell(self._death(peer))]
        self._pace.missed(peer)
        if confirm is not None:
            verdicts = self._detector.unconfirmed(peer, confirm, now, refused=refused)
        else:
            verdicts = self._detector.missed(peer, now)
        return self._as_decisions(verdicts, now, proven=refused)

    def helped(self, peer: str, helper: str, now: float, *, alive: bool) -> list[Decision]:
        """``helper`` was asked to probe ``peer``, and says whether that answered."""
        if not self.is_alive(peer):
            return []
        return self._as_decisions(self._detector.helped(peer, helper, now, alive=alive), now)

    def tick(self, now: float, *, starved: bool) -> list[Decision]:
        """The detector's deadline has passed; ``starved`` when this agent was not awake to hear an answer lately."""
        return self._as_decisions(self._detector.tick(now, starved=starved), now)

    def undecided(self, peer: str) -> list[Decision]:
        """A probe of ``peer`` told nothing either way."""
        self._records[peer].confirming = False
        self._detector.excused(peer)
        return []

    def doubted(self, peer: str, mechanism: Mechanism) -> list[Decision]:
        """An ordinary request to ``peer`` failed, or a connection broke: one immediate confirming probe.

        In mode ``probe`` such evidence does not count.
        """
        record = self._records.get(peer)
        if record is None or not record.alive or record.confirming or self._settings.mode == "probe":
            return []
        record.confirming = True
        return [Probe(peer, mechanism, record.incarnation)]

    def told(self, items: Iterable[News], now: float, sender: str | None = None) -> list[Decision]:
        """Others spread news; what was not known yet is believed and passed on.

        But not whom a ``sender`` accuses that is held for dead itself: when a cut heals, what it said before arrives.
        """
        decisions: list[Decision] = []
        for news in items:
            # A message may clear its sender first: a hello does.
            is_heard = sender not in self._records or self._believes(sender, news)
            if news.peer == self._me:
                decisions += self._about_me(news, now, sender)
            elif news.peer in self._records and news.alive:
                decisions += self._restored(replace(news, doubted_by=None), now)
                decisions += self._heard_of_doubt(news, now) if is_heard else ()
            elif news.peer in self._records and is_heard:
                decisions += self._accused(news)
        return decisions

    def view(self) -> list[News]:
        """All that a newcomer must know: this agent itself, and whoever is not as at the start.

        Who holds most others for dead has more likely been cut off itself (Lifeguard's local health: blame yourself
        first), and accuses nobody: one that comes back from a cut would make the others take each other for dead. Nor
        does it accuse anybody afterwards whom it has not asked again.
        """
        is_cut_off = 2 * len(self.suspects) > len(self._records)
        notable = [
            News(peer, record.incarnation, alive=True) if record.alive else self._death(peer)
            for peer, record in self._records.items()
            if (record.incarnation if record.alive else not (is_cut_off or record.stale_from is not None))
        ]
        return [News(self._me, self.incarnation, alive=True), *notable]

    def _about_me(self, news: News, now: float, sender: str | None) -> list[Decision]:
        if news.alive and news.doubted_by is None:
            return []
        if news.incarnation < self.incarnation:
            # The refutation has not reached this accuser, and nobody else would ever repeat it.
            return [Tell(News(self._me, self.incarnation, alive=True), sender)] if sender is not None else []
        self.incarnation = news.incarnation + 1
        self._detector.blamed()
        for peer in self.suspects:
            self._records[peer].stale_from = now  # what was told of it before this may be disbelieved
        refutation = News(self._me, self.incarnation, alive=True)
        # Who accused it may be no link any more: after a cut has healed, nobody else would tell the other side.
        direct = [Tell(refutation, sender)] if sender is not None else []
        return [Refute(self.incarnation), Tell(refutation), *direct, *self._look_again(now)]

    def _look_again(self, now: float) -> list[Decision]:
        """One who was missed is there, or has missed this agent: so may be all who owe an answer, and each is asked.

        But once in a beat only, so that many who come back do not each bring a round of probes.
        """
        records = self._records
        owing = [peer for peer, record in records.items() if not record.alive or record.missed_at is not None]
        chosen = [peer for peer in owing if records[peer].looked < self._beats]
        for peer in chosen:
            records[peer].looked = self._beats
            records[peer].stale_from = None if records[peer].alive else now
        return [Probe(peer, incarnation=records[peer].incarnation, extra=records[peer].alive) for peer in chosen]

    def _has_witness(self, record: Standing, now: float) -> bool:
        """Whether others answer while this one is silent; else that is kept to oneself, and it is asked again."""
        return self._hearing.vouches(record.missed_at, now, self._alone_after_s)

    def _believes(self, sender: str, news: News) -> bool:
        """Not one held for dead, and not what it said before it cleared its name."""
        return self.is_alive(sender) and news.told_in >= self._records[sender].back_in

    def _accused(self, news: News) -> list[Decision]:
        record = self._records[news.peer]
        if record.alive and news.incarnation >= record.incarnation:
            return self._suspect(news.peer, news.incarnation, "gossip")
        if news.incarnation <= record.incarnation:
            return []
        # It has died in a later life than the one known here: whoever hears this before that life's birth must agree.
        record.incarnation = news.incarnation
        return [Tell(self._death(news.peer))]

    def _restored(self, news: News, now: float) -> list[Decision]:
        record = self._records[news.peer]
        if news.incarnation <= record.incarnation:
            return []
        restarted = news.incarnation // RESTART_STEP > record.incarnation // RESTART_STEP
        decisions: list[Decision] = []
        if not record.alive:
            decisions.append(Restore(news.peer, news.incarnation, "gossip", restarted))
        elif restarted:
            decisions.append(Replace(news.peer, news.incarnation, "gossip"))
        back_in = record.back_in if record.alive else news.incarnation
        self._records[news.peer] = Standing(news.incarnation, probed=record.probed, back_in=back_in)
        return [*decisions, *self._as_decisions(self._forget(news.peer), now), Tell(news)]

    def _heard_of_doubt(self, news: News, now: float) -> list[Decision]:
        record = self._records[news.peer]
        if not record.alive or news.incarnation < record.incarnation or news.doubted_by in (None, news.peer):
            return []
        return self._as_decisions(self._detector.accused(news.peer, news.doubted_by, now), now)

    def _as_decisions(self, verdicts: Iterable[Verdict], now: float, *, proven: bool = False) -> list[Decision]:
        """What the detector judges, as it concerns the present life of each peer; ``proven`` by a refusal, if it is."""
        decisions: list[Decision] = []
        for verdict in verdicts:
            record = self._records[verdict.peer]
            incarnation = record.incarnation
            match verdict:
                case Declare():
                    decisions += self._suspect(verdict.peer, incarnation, verdict.mechanism)
                    if not (proven or self._has_witness(record, now)):
                        record.stale_from = now
                        decisions[-1] = Probe(verdict.peer, incarnation=incarnation)
                case Accuse():
                    doubted = self._accusation(verdict.peer, alive=True, by=verdict.by)
                    decisions += [Doubt(verdict.peer, incarnation, verdict.by), Tell(doubted)]
                case Clear():
                    decisions.append(Trust(verdict.peer, incarnation))
                case Through() | Excuse():
                    decisions.append(verdict)
        return decisions

    def _forget(self, peer: str) -> list[Verdict]:
        self._pace.forget(peer)
        return self._detector.forget(peer)

    def _suspect(self, peer: str, incarnation: int, mechanism: Mechanism) -> list[Decision]:
        self._forget(peer)
        record = self._records[peer]
        record.alive = False
        record.incarnation = incarnation
        return [Suspect(peer, incarnation, mechanism), Tell(self._death(peer))]

    def _death(self, peer: str) -> News:
        return self._accusation(peer, alive=False)

    def _accusation(self, peer: str, *, alive: bool, by: str | None = None) -> News:
        return News(peer, self._records[peer].incarnation, alive, by, self.incarnation)
