"""Which peers are likely to fail soon, from how long their probes take: pure, without I/O and without a clock."""

from collections import deque
from statistics import median

_HISTORY = 20
_LEAST_HISTORY = 5
_RECENT, _LATE_OF_RECENT = 3, 2
_LATE_TIMES = 4.0
_LATE_BY_S = 0.02
"""On a busy host a probe takes some ms more now and then, and four times nothing is nothing."""


class _Record:
    def __init__(self) -> None:
        self.usual: deque[float] = deque(maxlen=_HISTORY)
        self.late: deque[bool] = deque(maxlen=_RECENT)
        self.at_risk = False


class RiskLedger:
    """Takes down each probe's duration; a peer is at risk while two of its last three probes were late.

    Where the last probes of more than half of the peers were late, it is this agent itself that is slow, and nobody
    else comes to be at risk (as in Lifeguard's local health).

    Late is what takes four times as long as the peer's own usual probe (the median of twenty that were not late), and
    20 ms more. So a slow network alone is no risk, a peer that becomes slow is. The durations are the intervals of its
    heartbeats as well: probes are sent on a fixed beat, so an answer that comes late is a heartbeat that comes late.
    """

    def __init__(self) -> None:
        self._records: dict[str, _Record] = {}

    def add(self, peer: str, taken_s: float) -> bool:
        """A probe of ``peer`` took so long, answered or not; whether this is what puts it at risk."""
        record = self._records.setdefault(peer, _Record())
        if len(record.usual) < _LEAST_HISTORY:
            record.usual.append(taken_s)
            return False
        usual_s = median(record.usual)
        is_late = taken_s > max(_LATE_TIMES * usual_s, usual_s + _LATE_BY_S)
        record.late.append(is_late)
        if not is_late:
            record.usual.append(taken_s)
        before, seems = record.at_risk, sum(record.late) >= _LATE_OF_RECENT
        record.at_risk = seems and (before or not self._is_slow_itself())
        return record.at_risk and not before

    def _is_slow_itself(self) -> bool:
        late = sum(record.late[-1] for record in self._records.values() if record.late)
        return len(self._records) > 1 and 2 * late > len(self._records)

    def forget(self, peer: str) -> None:
        """``peer`` died, or is a new process: its history says nothing about what comes."""
        self._records.pop(peer, None)

    @property
    def at_risk(self) -> tuple[str, ...]:
        """Peers at risk now."""
        return tuple(peer for peer, record in self._records.items() if record.at_risk)
