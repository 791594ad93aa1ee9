"""Writes a comparison as Markdown: the specification's table, all metrics, the tests, the runs that do not count."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from orchestrator.compare import words
from orchestrator.compare.sample import MEASURES

SPECIFICATION = ("recovery_ms", "reroute_ms.first", "reconnect_ms.first", "bytes_reconnect", "steady_state_ms")
"""The columns of the specification's table: its three, with recovery also apart into its two ways."""
CELLS = (
    "A cell is the median over seeds with its 95 % percentile-bootstrap interval, n and what is not in it. A time that "
    "did not come before the end is censored: it counts as longer than all others, and an open end is written as > the "
    "longest wait. Runs that are not valid are excluded; of starved runs only the times are left out."
)
PAIRS = (
    "Wilcoxon signed-rank test over the seeds that both protocols have, two-sided; Holm's method over protocols and "
    "the five metrics of the specification, within a detector mode. Least p is what so few pairs could reach at best. "
    "A12 (Vargha and Delaney) is the chance that the protocol's number is larger than the reference's; 0.5 is no "
    "difference. A star: significant at 5 % after Holm's method."
)
LOG_RANK = (
    "Log-rank test stratified by seed: with one run of each protocol in a stratum it is the sign test over seeds, and "
    "its p-value is exact (binomial). Holm's method over protocols and the four times, within a detector mode."
)


def render(comparison: Mapping[str, Any]) -> str:
    """The whole file; equal for equal comparisons."""
    parts = [f"# Comparison {comparison['comparison_id']}: {', '.join(comparison['arms'])}", ""]
    parts += [f"- **{caution}**" for caution in words.cautions(comparison)]
    for mode in comparison["modes"]:
        parts += ["", f"## Detector mode `{mode}`", "", specification(comparison, mode)]
        parts += ["### All metrics", "", *_all(comparison, mode), ""]
        parts += [f"### Against {comparison['reference']}", "", *tests(comparison, mode), ""]
    parts += ["## Methods", "", *(f"{text}\n" for text in (CELLS, PAIRS, LOG_RANK)), "## Runs", "", *_runs(comparison)]
    return "\n".join(parts).rstrip() + "\n"


def specification(comparison: Mapping[str, Any], mode: str) -> str:
    """The table of the specification for one detector mode, with its circumstances below."""
    found = _cells(comparison, mode)
    head = ["protocol", *SPECIFICATION]
    rows = [[arm, *(words.cell(found[name, arm]) for name in SPECIFICATION)] for arm in comparison["arms"]]
    return "\n".join([*_table(head, rows), "", f"{words.circumstances(comparison, mode)}", ""])


def _cells(comparison: Mapping[str, Any], mode: str) -> dict[tuple[str, str], Mapping[str, Any]]:
    return {(cell["metric"], cell["arm"]): cell for cell in comparison["cells"] if cell["mode"] == mode}


def _all(comparison: Mapping[str, Any], mode: str) -> Iterator[str]:
    found = _cells(comparison, mode)
    head = ["metric", "unit", *comparison["arms"]]
    rows = [
        [f"`{measure.name}`", measure.unit, *(words.cell(found[measure.name, arm]) for arm in comparison["arms"])]
        for measure in MEASURES
    ]
    yield from _table(head, rows)
    yield ""
    yield words.circumstances(comparison, mode)


def tests(comparison: Mapping[str, Any], mode: str) -> Iterator[str]:
    """The lines of both tables of tests of one detector mode, with their circumstances below."""
    yield from _table(*pair_rows(comparison, mode))
    yield ""
    yield from _table(*log_rank_rows(comparison, mode))
    yield ""
    yield words.circumstances(comparison, mode)


def pair_rows(comparison: Mapping[str, Any], mode: str) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the paired tests of one mode."""
    head = ["metric", "protocol", "pairs", f"difference from {comparison['reference']}", "p", "Holm", "least p", "A12"]
    rows = [
        [
            pair["metric"], pair["arm"], str(pair["n"]), words.difference(pair), words.p_value(pair["p"]),
            words.p_value(pair["holm_p"]) + (" *" if pair["significant"] else ""), words.p_value(pair["least_p"]),
            words.NOTHING if pair["a12"] is None else f"{pair['a12']:.2f}",
        ]
        for pair in comparison["pairs"]
        if pair["mode"] == mode
    ]  # fmt: skip
    return head, rows


def log_rank_rows(comparison: Mapping[str, Any], mode: str) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the log-rank tests of one mode."""
    head = ["time", "protocol", "seeds", "censored", "sooner", "later", "undecided", "log-rank p", "Holm"]
    rows = [
        [
            row["metric"], row["arm"], *(str(row[key]) for key in ("n", "n_censored", "sooner", "later", "undecided")),
            words.p_value(row["p"]), words.p_value(row["holm_p"]) + (" *" if row["significant"] else ""),
        ]
        for row in comparison["log_rank"]
        if row["mode"] == mode
    ]  # fmt: skip
    return head, rows


def _runs(comparison: Mapping[str, Any]) -> Iterator[str]:
    yield f"{comparison['finished']} of {comparison['planned']} planned runs are finished."
    stopped = sum(comparison["set_aside"].values())
    if stopped:
        listed = ", ".join(f"{name}: {times}" for name, times in comparison["set_aside"].items())
        yield f"Stopped before their end, set aside and run again: {stopped} ({listed})."
    yield from _list("Excluded", ((run["name"], run["excluded"]) for run in comparison["runs"] if run["excluded"]))
    yield from _list("Missing", ((name, "") for name in comparison["missing"]))
    yield from _list("Not of the plan", ((row["run"], row["reason"]) for row in comparison["foreign"]))


def _list(title: str, rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    lines = [f"- {name}: {reason}" if reason else f"- {name}" for name, reason in rows]
    if lines:
        yield from ("", f"{title}:", "", *lines)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    for cells in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
