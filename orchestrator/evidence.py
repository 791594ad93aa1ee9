"""The evidence of a run: its journal as typed, frozen tables, with every time counted from T0."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from types import MappingProxyType
from typing import cast

from pydantic import ValidationError

from orchestrator.events import ROWS, parse, rebased
from orchestrator.events.agents import Alive, Answer, Bytes, Suspect
from orchestrator.events.compact import PackedBytes
from orchestrator.events.conductor import (
    AgentLost,
    ClockStart,
    FaultCall,
    HealCall,
    HealDone,
    Interrupted,
    KillCall,
    Member,
    Roster,
    RunEnd,
    RunStart,
    Scheduled,
)
from orchestrator.events.row import Row, RowType
from orchestrator.outages import Outage, death, outages_of
from orchestrator.suspicions import Suspicion, suspicions_of
from orchestrator.tasks import Phase, Task, tasks_of
from orchestrator.windows import Windows
from protocols.errors import LabError

_Tables = Mapping[type[Row], Sequence[Row]]


@dataclass(frozen=True)
class Evidence:
    """One run, as far as its journal tells; what the agents wrote after the end of the run is left out.

    T0 is the first call of a fault; in a control, and before the storm came, it is the instant planned for it. All
    times in the tables are seconds since T0, rounded to the microsecond of the journal; ``t0`` and ``storm_at`` alone
    are monotonic seconds, to convert them back.
    """

    run: RunStart
    t0: float
    storm_at: float
    end_s: float
    """End of the evidence: the run's end, its interruption, or else the last line of the conductor."""
    partial: bool
    """The planned end was not reached."""
    agents: tuple[Member, ...]
    outages: Mapping[str, tuple[Outage, ...]]
    """Of the victims, and of agents that were lost; each in the order of time."""
    victims: tuple[str, ...]
    """Agents upon whom a fault was called, in roster order."""
    survivors: tuple[str, ...]
    """Agents that were neither struck nor lost, in roster order; a healed victim is none."""
    tasks: tuple[Task, ...]
    """In the order of their arrival."""
    suspicions: tuple[Suspicion, ...]
    """In the order of their begin."""
    malformed: tuple[str, ...] = ()
    """Lines without the fields that docs/journal.md promises, each with what is wrong."""
    _tables: _Tables = field(default_factory=dict, repr=False)

    @classmethod
    def from_events(cls, events: Iterable[Mapping[str, object]]) -> "Evidence":
        """Build the evidence in one pass over the journal, in any order of its lines.

        Only what one node wrote at one instant must keep its order.

        Raises LabError when ``run_start``, ``roster`` or ``t0`` is missing.
        """
        return _assemble(_read(events))

    def rows(self, kind: type[RowType]) -> Sequence[RowType]:
        """All events of one kind, ordered by time, then node."""
        return cast("Sequence[RowType]", self._tables.get(kind, ()))

    @property
    def windows(self) -> Windows:
        """The lengths by which the run is judged."""
        return self.run.windows

    @property
    def conductor(self) -> str:
        """The orchestrator's name as a peer; its traffic is not mesh traffic."""
        return self.run.node

    @property
    def is_control(self) -> bool:
        """Nobody was to be killed."""
        return not self.run.victims

    @property
    def t0_s(self) -> float:
        """The clock's start in seconds since T0 (negative)."""
        return round(self.t0 - self.storm_at, 6)

    @property
    def toll(self) -> str:
        """What the storm did, for a headline: ``2 of 8 agents killed``, or by which faults they were hit."""
        faults = dict.fromkeys(row.fault for row in self.rows(FaultCall))
        by = "killed"
        if faults:
            by = f"hit by {', '.join(('kill', *faults) if self.rows(KillCall) else faults)}"
        return f"{len(self.victims)} of {len(self.agents)} agents {by}"

    @cached_property
    def arrivals_end_s(self) -> float:
        """End of the schedule: no task arrives in the last D of the run, or is decided in the last D of evidence."""
        deadline_s = self.windows.task_deadline_s
        return round(min(self.t0_s + self.windows.duration_s, self.end_s) - deadline_s, 6)

    def decided(self, *phases: Phase) -> tuple[Task, ...]:
        """Decided tasks of these phases, in the order of arrival."""
        return tuple(task for task in self.tasks if task.phase in phases and task.decided)

    def is_up(self, node: str, t: float) -> bool:
        """Whether ``node`` was certainly alive, and not struck, at ``t``."""
        return self.outage_at(node, t) is None

    def outage_at(self, node: str, t: float) -> Outage | None:
        """The outage of ``node`` that ``t`` lies in, if any."""
        return next((outage for outage in self.outages.get(node, ()) if outage.begin <= t < outage.end), None)

    def death(self, node: str, life: int) -> Outage | None:
        """The outage that ended this life of the process, the first being 0; None when it lived to the end."""
        return death(self.outages, node, life)


@dataclass
class _Read:
    """The rows by kind as the journal has them, those about bytes apart, and what was malformed."""

    rows: dict[type[Row], list[Row]] = field(default_factory=lambda: {kind: [] for kind in ROWS.values()})
    moved: PackedBytes = field(default_factory=PackedBytes)
    malformed: list[str] = field(default_factory=list)


def _read(events: Iterable[Mapping[str, object]]) -> _Read:
    """Validate each event."""
    read = _Read()
    for event in events:
        kind = ROWS.get(str(event.get("ev")))
        if kind is None:
            continue
        try:
            row = parse(event, kind)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            read.malformed.append(f"{kind.ev} of {event.get('node')} at {event.get('t')}: {place}: {first['msg']}")
            continue
        if isinstance(row, Bytes):
            read.moved.append(row)
        else:
            read.rows[kind].append(row)
    return read


def _only(read: _Read, kind: type[RowType]) -> RowType:
    rows = cast("list[RowType]", read.rows[kind])
    if not rows:
        broken = next((text for text in read.malformed if text.startswith(f"{kind.ev} ")), "no such line")
        raise LabError(f"expected a {kind.ev} event in the journal, got: {broken}; the run broke too early, repeat it")
    return rows[0]


def _assemble(read: _Read) -> Evidence:
    run, roster, t0 = _only(read, RunStart), _only(read, Roster), _only(read, ClockStart).t0
    calls = chain(read.rows[KillCall], read.rows[FaultCall])
    storm_at = min((row.t for row in calls), default=t0 + run.windows.kill_at_s)
    ends = read.rows[RunEnd] or read.rows[Interrupted]
    # An orchestrator that was killed wrote no end; nobody vouches for what came after its last line.
    last = ends[0].t if ends else max(row.t for row in chain(*read.rows.values()) if row.node == run.node)
    end_s = round(last - storm_at, 6)
    partial = not read.rows[RunEnd]
    tables = _placed(read, storm_at, end_s, run.node)
    outages = outages_of(
        _of(tables, KillCall),
        _of(tables, FaultCall),
        _of(tables, HealCall),
        _of(tables, HealDone),
        _of(tables, AgentLost),
    )
    struck = {row.victim for row in _of(tables, KillCall)} | {row.victim for row in _of(tables, FaultCall)}
    found = suspicions_of(_of(tables, Suspect), _of(tables, Alive), outages, end_s)
    spans = sorted(found, key=lambda span: (span.begin, span.node, span.peer))
    return Evidence(
        run=run,
        t0=t0,
        storm_at=storm_at,
        end_s=end_s,
        partial=partial,
        agents=roster.agents,
        outages=MappingProxyType(outages),
        victims=tuple(member.node_id for member in roster.agents if member.node_id in struck),
        survivors=tuple(member.node_id for member in roster.agents if member.node_id not in outages),
        tasks=tasks_of(_of(tables, Scheduled), _of(tables, Answer), run.windows, round(t0 - storm_at, 6), end_s),
        suspicions=tuple(spans),
        malformed=tuple(read.malformed),
        _tables=MappingProxyType(tables),
    )


def _placed(read: _Read, storm_at: float, end_s: float, conductor: str) -> dict[type[Row], Sequence[Row]]:
    """The tables in their order, times counted from T0; what was read is given up meanwhile, to save its room."""

    def is_kept(t: float, node: str) -> bool:
        return t <= end_s or node == conductor

    tables: dict[type[Row], Sequence[Row]] = {}
    for kind in ROWS.values():
        placed = (rebased(row, storm_at) for row in read.rows.pop(kind))
        tables[kind] = tuple(
            sorted((row for row in placed if is_kept(row.t, row.node)), key=lambda row: (row.t, row.node))
        )
    tables[Bytes] = read.moved.placed(storm_at, is_kept)
    return tables


def _of(tables: _Tables, kind: type[RowType]) -> Sequence[RowType]:
    return cast("Sequence[RowType]", tables[kind])
