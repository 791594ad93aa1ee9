"""Reads the queries out of a dashboard's JSON and fills in what Grafana would put for its variables."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "dashboards"
"""What Grafana loads."""
STEP_S = 1
"""The scrape interval: no step is finer."""
_UNITS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True, slots=True)
class PanelQuery:
    """One PromQL query of a dashboard; ``where`` names it to a reader."""

    where: str
    expr: str
    instant: bool
    is_mark: bool = False
    """Its values are instants in Unix ms (an annotation)."""


@dataclass(frozen=True, slots=True)
class Variable:
    """One drop-down of a dashboard, filled by a query; ``pattern`` cuts the value out of a result."""

    name: str
    query: str
    pattern: str


def committed() -> list[dict[str, Any]]:
    """The dashboards as Grafana loads them."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))]


def queries(board: Mapping[str, Any]) -> Iterator[PanelQuery]:
    """Every query of every panel and of every annotation."""
    title = board["title"]
    for mark in board["annotations"].get("list", ()):
        yield PanelQuery(f"{title} / mark {mark['name']}", mark["target"]["expr"], instant=False, is_mark=True)
    for panel in board["panels"]:
        for target in panel["targets"]:
            where = f"{title} / {panel['title']} / {target['refId']}"
            yield PanelQuery(where, target["expr"], instant=bool(target.get("instant")))


def variables(board: Mapping[str, Any]) -> Iterator[Variable]:
    """The drop-downs, in the order in which one may use those before it."""
    for item in board["templating"].get("list", ()):
        yield Variable(item["name"], item["query"], item.get("regex", ""))


def range_s(board: Mapping[str, Any]) -> int:
    """How far a dashboard looks back, in s, from its ``now-5m``."""
    amount, unit = re.fullmatch(r"now-(\d+)([smh])", board["time"]["from"]).groups()  # type: ignore[union-attr]
    return int(amount) * _UNITS[unit]


def filled(expr: str, range_s: int, values: Mapping[str, str]) -> str:
    """The query as Grafana sends it; raises LookupError for a variable without a value."""
    # Grafana's rate interval is the longer of step + scrape and four scrapes.
    known = {"__range": f"{range_s}s", "__interval": f"{STEP_S}s", "__rate_interval": f"{4 * STEP_S}s", **values}
    return re.sub(r"\$\{?(\w+)\}?", lambda found: known[found[1]], expr)
