"""Every number of the results: pure functions over the evidence, found by their names."""

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType

from orchestrator.evidence import Evidence
from orchestrator.metrics.definition import Metric, Value, metric, null

__all__ = ["Metric", "Value", "evaluate", "metric", "null", "registry"]

_SPECIFIED = ("recovery_ms", "steady_state_ms", "bytes_reconnect", "success_rate_drop", "duplicate_work_ratio")


def registry() -> Mapping[str, Metric]:
    """All metrics by name: the five of the specification first, then the others, file by file.

    A metric is a function with the decorator :func:`metric` in any file of this package. Raises ValueError when two
    files define one name.
    """
    found: dict[str, Metric] = {}
    for module in sorted(info.name for info in pkgutil.iter_modules(__path__)):
        for name, item in vars(import_module(f"{__name__}.{module}")).items():
            # Files import metrics from one another, so the same one may be met again.
            if isinstance(item, Metric) and found.setdefault(name, item) is not item:
                raise ValueError(f"expected one metric named {name}, got two; rename the one in {module}.py")
    order = {name: found[name] for name in _SPECIFIED}
    return MappingProxyType(order | found)


def evaluate(evidence: Evidence) -> dict[str, Value]:
    """Compute every metric; one that breaks is null with its reason, and the others stand."""
    return {name: _attempt(entry, evidence) for name, entry in registry().items()}


def _attempt(entry: Metric, evidence: Evidence) -> Value:
    try:
        return entry.compute(evidence)
    # What unforeseen evidence provokes in arithmetic and look-ups; a slip in the code itself should be seen.
    except (ArithmeticError, LookupError, ValueError) as error:
        return null(f"{entry.name} could not be computed: {type(error).__name__}: {error}")
