"""How much a number depends on the constants that define it: each is changed alone, and the number found again."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from orchestrator.evidence import Evidence
from orchestrator.metrics.steady import METRICS_BARS, Bars, steady_from

Row = tuple[str, float | None]
"""(which constant was changed to what, ms since T0); None where it did not come."""

STEADY_VARIANTS: Mapping[str, Bars] = MappingProxyType(
    {
        "as defined": METRICS_BARS,
        "goodput ≥ 0.85": Bars(goodput=0.85),
        "goodput ≥ 0.95": Bars(goodput=0.95),
        "p95 latency ≤ 1.1": Bars(latency=1.1),
        "p95 latency ≤ 1.5": Bars(latency=1.5),
        "success loss up to 1 point": Bars(success_drop=0.01),
        "success loss up to 5 points": Bars(success_drop=0.05),
    }
)


@dataclass(frozen=True)
class Sensitivity:
    """One table of the report; ``rows`` raises ValueError where the evidence has no baseline."""

    title: str
    metric: str
    rows: Callable[[Evidence], Iterator[Row]]


def _steady(evidence: Evidence) -> Iterator[Row]:
    for name, bars in STEADY_VARIANTS.items():
        at_s = steady_from(evidence, bars)
        yield name, None if at_s is None else 1000 * at_s


SENSITIVITIES = (Sensitivity("Steady state", "steady_state_ms", _steady),)
"""What the report shows, in its order."""
