"""Long journals for the benchmark of the report: a real storm's, stretched in time and filled up with more of the same.

With a factor of R every duration is R times as long, and so is the distance between two events. R copies of all that
the agents do go into the gaps, each 0.1 s later than the one before and with tasks of its own, so that the rates stay
those of the real storm. Groups of agents, each with the links of the real ones, add to the mesh: all of them have
their vitals in every copy, the work of a copy is one group's. What happens once (kills, suspicions, repairs) happens
once a group.
"""

import json
import lzma
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator import phases
from orchestrator.journal import CONDUCTOR_FILE
from orchestrator.phases import Wishes

STORM = Path(__file__).parent / "data" / "storm.jsonl.xz"
"""A storm of 24 s on 8 local processes over plain JSON; its journal as the lab merged it."""
_CONDUCTOR = "orchestrator"
_STEP_S = 0.1
"""Between two copies; the agents' lines about bytes are as far apart."""
_VITALS = ("bytes", "loop_lag", "host")
_WORK = ("task", "task_start", "request", "step_start", "step_done", "answer")
_VIEWS = ("suspect", "alive")
_AGENT = re.compile(r"\bagent_(-?\d+)\b")
_ARRIVAL = re.compile(r'"at_s":[0-9.]+')
_NAMES = re.compile(r'"(task|req)":"([^"]*)"')


@dataclass(frozen=True)
class _Line:
    """A line of the real journal with holes: its time, a task's arrival, the copy's number in its names."""

    t: float
    ev: str
    node: str
    text: str
    at_s: float
    """Of a task: its arrival."""


@dataclass(frozen=True)
class Size:
    """How long and how wide."""

    factor: int
    """R: length of the run and number of copies."""
    groups: int
    """Agents, in eights."""


def write(folder: Path, lines: int, groups: int) -> int:
    """Lay the journals of a run with about so many ``lines`` into ``folder``; returns how many there are."""
    with lzma.open(STORM, "rt", encoding="utf-8") as file:
        real = [json.loads(line) for line in file]
    return _Stretch(real, _size(real, lines, groups)).write(folder)


def duration_s(lines: int, groups: int) -> float:
    """How long the run of :func:`write` is, in seconds."""
    with lzma.open(STORM, "rt", encoding="utf-8") as file:
        real = [json.loads(line) for line in file]
    (start,) = (event for event in real if event["ev"] == "run_start")
    return float(start["windows"]["duration_s"]) * _size(real, lines, groups).factor


def _size(real: list[dict[str, Any]], lines: int, groups: int) -> Size:
    vitals = sum(event["ev"] in _VITALS for event in real)
    work = sum(event["ev"] in _WORK for event in real)
    return Size(max(1, round(lines / (vitals * groups + work))), groups)


class _Stretch:
    """One real journal on its way to a longer one."""

    def __init__(self, real: list[dict[str, Any]], size: Size) -> None:
        self._real = real
        self._size = size
        self._t0 = next(float(event["t0"]) for event in real if event["ev"] == "t0")
        (roster,) = (event["agents"] for event in real if event["ev"] == "roster")
        self._agents = len(roster)
        self._killed = {event["victim"]: event["t"] for event in reversed(real) if event["ev"] == "kill_call"}
        # All times stay positive.
        self._base: float = math.ceil((self._t0 - real[0]["t"]) * size.factor) + 1.0

    def write(self, folder: Path) -> int:
        """Write the conductor's journal and those of all agents; returns the number of lines."""
        count = 0
        for node in dict.fromkeys(event["node"] for event in self._real):
            mine = [event for event in self._real if event["node"] == node and event["ev"] != "merged"]
            for group in range(1 if node == _CONDUCTOR else self._size.groups):
                name = _renamed(node, group * self._agents)
                path = folder / (CONDUCTOR_FILE if node == _CONDUCTOR else f"workspaces/{name}/journal.jsonl")
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("w", encoding="utf-8") as file:
                    for line in self._lines(mine, group):
                        file.write(line)
                        count += 1
        return count

    def _lines(self, events: list[dict[str, Any]], group: int) -> Iterator[str]:
        """All copies of one node's events, in the order of time."""
        templates = [template for event in events for template in self._templates(event, group)]
        placed = [
            (round(self._at(line.t) + copy * _STEP_S, 6), number, copy)
            for number, line in enumerate(templates)
            for copy in self._copies(line, group)
        ]
        placed.sort()
        death = self._killed.get(events[0]["node"])
        for t, number, copy in placed:
            if death is None or t < self._at(death):
                line = templates[number]
                arrival_s = line.at_s * self._size.factor + copy * _STEP_S
                text = line.text.replace("\0t", f"{t:.6f}").replace("\0c", str(copy))
                yield text.replace("\0a", f"{arrival_s:.6f}") + "\n"

    def _copies(self, line: _Line, group: int) -> range:
        factor, groups = self._size.factor, self._size.groups
        if line.ev in _VITALS:
            return range(factor)
        if line.ev in _WORK:
            return range(factor) if line.node == _CONDUCTOR else range(group, factor, groups)
        return range(1)

    def _at(self, t: float) -> float:
        return self._base + (t - self._t0) * self._size.factor

    def _templates(self, event: dict[str, Any], group: int) -> Iterator[_Line]:
        """The event as a template; what is said of one agent and concerns all, once for each group's."""
        of_all = "victim" in event if event["node"] == _CONDUCTOR else event["ev"] in _VIEWS
        for number in range(self._size.groups) if of_all else (group,):
            by = number * self._agents
            new = self._stretched(event)
            if event["ev"] in _VIEWS:  # by its own name, of somebody in any group
                new |= {"node": _renamed(event["node"], (group - number) * self._agents)}
            text = json.dumps(new, separators=(",", ":")).replace('"t":null', '"t":\0t')
            if event["ev"] in _WORK:
                text = _NAMES.sub(r'"\1":"\2.' + "\0c" + '"', text)
            if event["ev"] == "task":
                text = _ARRIVAL.sub('"at_s":\0a', text)
            yield _Line(event["t"], event["ev"], event["node"], _renamed(text, by), event.get("at_s", 0.0))

    def _stretched(self, event: dict[str, Any]) -> dict[str, Any]:
        """The event without its time, with what it says about the whole run as it is for the longer one."""
        new = event | {"t": None}
        if event["ev"] == "t0":
            new["t0"] = round(self._at(self._t0), 6)
        if event["ev"] == "run_start":
            duration_s = event["windows"]["duration_s"] * self._size.factor
            new["windows"] = phases.fit(Wishes(duration_s)).model_dump()
            new["victims"] = [_renamed(victim, number * self._agents)
                              for number in range(self._size.groups) for victim in event["victims"]]  # fmt: skip
        if event["ev"] == "roster":
            new["agents"] = [json.loads(_renamed(json.dumps(member), number * self._agents))
                             for number in range(self._size.groups) for member in event["agents"]]  # fmt: skip
        return new


def _renamed(text: str, by: int) -> str:
    """The agents' names, with so much added to their numbers."""
    return _AGENT.sub(lambda name: f"agent_{int(name[1]) + by}", text)
