"""Executes every query of the dashboards against a real Prometheus: ``python -m grafana.check http://127.0.0.1:9090``.

Meant for a storm after its kill. What only the evaluation brings may still be missing then, unless ``--evaluated``.
Exits with 0 when every query is valid and brings data, 1 when one does not, 3 when no Prometheus answers.
"""

import argparse
import math
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import httpx
from rich.console import Console

from grafana.queries import STEP_S, PanelQuery, Variable, committed, filled, queries, range_s, variables
from grafana.source import Prometheus, QueryError, Series
from protocols.errors import LabError

AFTER_EVALUATION = ("failstorm_steady_timestamp_seconds", "failstorm_result")
"""Metrics without data until the run was evaluated."""

_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one query; ``later`` is a query whose data the evaluation brings."""

    query: PanelQuery
    outcome: Literal["data", "later", "empty", "invalid"]
    detail: str


def check(prometheus: Prometheus, board: Mapping[str, Any], *, evaluated: bool) -> Iterator[Finding]:
    """Execute every query of one dashboard as Grafana would now; LabError when Prometheus does not answer."""
    now, back_s = prometheus.now(), range_s(board)
    chosen: dict[str, str] = {}
    for variable in variables(board):
        if options := _options(prometheus, variable, back_s, chosen):
            chosen[variable.name] = options[0]
    for query in queries(board):
        late = not evaluated and any(metric in query.expr for metric in AFTER_EVALUATION)
        try:
            expr = filled(query.expr, back_s, chosen)
        except LookupError as missing:
            yield Finding(query, "later" if late else "empty", f"the variable {missing} has no value")
            continue
        try:
            answer = prometheus.at(expr, now) if query.instant else prometheus.over(expr, now - back_s, now, STEP_S)
        except QueryError as error:
            yield Finding(query, "invalid", str(error))
            continue
        yield _judged(query, answer, now - back_s, late=late)


def _judged(query: PanelQuery, answer: Sequence[Series], since: float, *, late: bool) -> Finding:
    values = [value for series in answer for _, value in series.points if math.isfinite(value)]
    if not values:
        return Finding(query, "later" if late else "empty", "no finite value")
    if query.is_mark and min(values) < 1000 * since:
        return Finding(
            query, "invalid", f"a mark at {min(values)} lies before the dashboard's range; is it in Unix ms?"
        )
    return Finding(query, "data", f"{len(answer)} series, {len(values)} values")


def _options(prometheus: Prometheus, variable: Variable, back_s: int, chosen: Mapping[str, str]) -> list[str]:
    """What a drop-down offers, in Grafana's order; nothing where it depends on one that offers nothing."""
    try:
        query = filled(variable.query, back_s, chosen)
    except LookupError:
        return []
    if found := re.fullmatch(r"label_values\((.+), *(\w+)\)", query):
        return sorted(prometheus.label_values(found[2], found[1]))
    result = query.removeprefix("query_result(").removesuffix(")")
    # Grafana matches the pattern against each series written as name{label="value"} value time.
    rows = (
        ",".join(f'{name}="{value}"' for name, value in series.labels.items())
        for series in prometheus.at(result, prometheus.now())
    )
    values = [found[1] for row in rows if (found := re.search(variable.pattern.strip("/"), row))]
    return sorted(values, key=float, reverse=True)


def report(findings: Iterable[Finding], console: Console) -> int:
    """Print a line for each query; return 1 when one of them is empty or invalid, otherwise 0."""
    failed = 0
    for finding in findings:
        console.print(
            f"{finding.outcome:8}{finding.query.where}: {finding.detail}", markup=False, highlight=False, soft_wrap=True
        )
        failed += finding.outcome in {"empty", "invalid"}
    console.print(f"{failed} failed" if failed else "every query brings data or waits for the evaluation")
    return min(failed, 1)


def main(arguments: Sequence[str], console: Console) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m grafana.check", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("url", help="where Prometheus answers, e.g. http://127.0.0.1:9090")
    parser.add_argument("--evaluated", action="store_true", help="the run is over: its results must be there too")
    options = parser.parse_args(arguments)
    with httpx.Client(base_url=options.url, timeout=10) as client:
        prometheus = Prometheus(client)
        try:
            findings = [item for board in committed() for item in check(prometheus, board, evaluated=options.evaluated)]
        except LabError as error:
            console.print(f"fail-storm: {error}", markup=False, highlight=False, soft_wrap=True)
            return 3
    return report(findings, console)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Console()))
