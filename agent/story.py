"""Tells on the agent's output what a person wants to know of it; the journal has everything."""

import contextlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import TextIO

from pydantic import JsonValue

_LINES: Mapping[str, str] = MappingProxyType(
    {
        "agent_start": "serves {protocol} on port {port}, tool {tool}",
        "init": "stored {fragments} fragments of the document, {tasks} tasks on the schedule",
        "started": "the clock runs",
        "link_up": "linked to {peer} ({reason}) in {ms:.0f} ms",
        "link_failed": "no link to {peer}: {reason}",
        "copied": "has copied shard {shard} from {peer}",
        "copy_failed": "got no copy of shard {shard} from {peer}",
        "at_risk": "finds {peer} slow, has its shards copied",
        "suspect": "holds {peer} for dead ({mechanism})",
        "alive": "holds {peer} for alive again ({mechanism})",
        "refute": "was doubted or held for dead, lives on as incarnation {incarnation}",
        "adopt": "adopts the tool {tool}, which no live agent has",
        "unadopt": "gives the tool {tool} back",
        "lease_lost": "heard nothing of the orchestrator for {silent_s:g} s",
        "agent_stop": "ends",
    }
)


def last_word(node_id: str) -> str:
    """Begins the line in which an agent that cannot go on says why."""
    return f"fail-storm agent: {node_id}: "


class Story:
    """A journal observer that writes one line per event of note; times count from t0."""

    def __init__(self, node_id: str, out: TextIO) -> None:
        self._node_id = node_id
        self._out = out
        self._t0: float | None = None

    def observe(self, at: float, ev: str, fields: Mapping[str, JsonValue]) -> None:
        """Tell of one event, if it is of note."""
        if ev == "started" and isinstance(fields["t0"], float):
            self._t0 = fields["t0"]
        line = _LINES.get(ev)
        if line is not None:
            when = "start" if self._t0 is None else f"{at - self._t0:.3f} s"
            self.tell(f"{when:>10}  {line.format_map(fields)}")

    def tell(self, text: str) -> None:
        """Write one line under the agent's name.

        A disk that is full for it is full for the journal, which ends the agent and says why.
        """
        with contextlib.suppress(OSError):
            self._out.write(f"{self._node_id}  {text}\n")
            self._out.flush()
