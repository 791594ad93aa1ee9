"""Says in a few words what a metric found, for people: in the terminal and on the page."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from orchestrator.metrics import Metric

_MEGA = 1_000_000
_DIGITS = {"ms": 1, "s": 1, "%": 1, "bytes": 0, "bytes/s": 0, "ratio": 4}
_TYPICAL = ("rate", "p50", "median", "mean")
"""The entry that stands for a nested result where there is no room for more."""

TAGS: Mapping[str, str] = MappingProxyType(
    {
        "partial": "the run ended early; what was measured until then is shown",
        "control": "nobody was to be killed: this is what calm looks like",
        "scaled": "shorter than 120 s: for no published table",
        "idle_at_kill": "no request was under way on the victims when the storm came",
        "starved": "the host was too busy during the baseline: the run stands, its times belong in no published table",
    }
)
"""What each tag of a verdict tells the reader."""


def in_words(value: Any, unit: str) -> str:
    """A number with its unit, or the entries of a result; empty for what only a figure can show."""
    if value is None:
        return "null"
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int | float):
        return _number(value, unit)
    if not isinstance(value, Mapping):
        return ""
    if value.keys() >= {"first", "p50", "last"} and value["p50"] is not None:
        return f"p50 {_number(value['p50'], unit)} ({_figure(value['first'], unit)} to {_figure(value['last'], unit)})"
    return _entries(value, unit)


def beside(content: Mapping[str, Any], name: str) -> str:
    """What the details of a metric say in plain entries, and its 95 % interval; for a null, the reason first."""
    details = dict(content["details"].get(name, {}))
    parts = [content["reasons"][name]] if name in content["reasons"] else []
    interval = details.pop("interval", None)
    if interval is not None:
        parts.append(f"95 % interval {interval[0]:.4f} to {interval[1]:.4f}")
    parts.append(_entries(details, content["units"][name]))
    return "; ".join(part for part in parts if part)


def definition(metric: Metric) -> str:
    """The documentation of a metric on one line, without markup."""
    return " ".join(metric.doc.replace("``", "").split())


def _entries(mapping: Mapping[str, Any], unit: str) -> str:
    parts = []
    for key, item in mapping.items():
        typical = next((item[name] for name in _TYPICAL if name in item), None) if isinstance(item, Mapping) else item
        if isinstance(typical, bool | str):
            parts.append(f"{key} {typical}")
        elif isinstance(typical, int) and not key.endswith("_ms"):
            parts.append(f"{key} {typical:,}")
        elif isinstance(typical, int | float):
            own_unit = next((known for known in ("ms", "s") if key.endswith(f"_{known}")), None)
            # A key that ends in its unit has said it.
            parts.append(f"{key} {_figure(typical, own_unit or unit)}")
    return ", ".join(parts)


def _number(value: float, unit: str) -> str:
    if unit == "count":
        return f"{value:,}"
    if unit == "ratio":
        return _figure(value, unit)
    readable = f" ({value / _MEGA:.2f} MB)" if unit == "bytes" and abs(value) >= _MEGA else ""
    return f"{_figure(value, unit)} {unit}{readable}"


def _figure(value: float, unit: str) -> str:
    if unit not in _DIGITS:
        return f"{value:.6g}"
    return f"{value:,.{_DIGITS[unit]}f}"
