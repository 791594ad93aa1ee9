"""The page of a comparison: self-contained like that of a run, from the content of ``comparison.json`` alone."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go

from orchestrator import report_markup as markup
from orchestrator.compare import figures, table, words
from orchestrator.compare.sample import MEASURES, TIMED
from orchestrator.metrics import registry
from orchestrator.report import PAGE_FILE
from orchestrator.report_content import SPECIFIED
from orchestrator.report_markup import Cell
from orchestrator.report_words import TAGS, definition

_SPREADS = ("recovery_ms", "reroute_ms.first", "reconnect_ms.first", *SPECIFIED[1:])


def render(comparison: Mapping[str, Any]) -> str:
    """The whole page; equal for equal comparisons."""
    title = f"Fail-Storm: {', '.join(comparison['arms'])} compared"
    links = "".join(f'<a href="#{mode}">detector {mode}</a> · ' for mode in comparison["modes"])
    return markup.page(
        title,
        [
            _header(comparison, title),
            f'<nav>{links}<a href="#methods">methods</a> · <a href="#runs">runs</a></nav>',
            *(_mode(comparison, mode) for mode in comparison["modes"]),
            _methods(),
            _runs(comparison),
            _settings(comparison),
        ],
    )


def _header(comparison: Mapping[str, Any], title: str) -> str:
    scaled = f'<span class="tag" title="{escape(TAGS["scaled"])}">scaled</span>' if comparison["scaled"] else ""
    cautions = "".join(f"<li>{escape(caution)}</li>" for caution in words.cautions(comparison))
    listed = f'<ul class="reasons">{cautions}</ul>' if cautions else ""
    facts = (
        f"{comparison['finished']} of {comparison['planned']} runs · the same {len(comparison['seeds'])} seeds for all "
        f"· runtime {comparison['runtime']} · {comparison['comparison_id']}"
    )
    return f"<header><h1>{escape(title)} {scaled}</h1><p>{escape(facts)}</p>{listed}</header>"


def _mode(comparison: Mapping[str, Any], mode: str) -> str:
    facts = f"<p>{escape(words.circumstances(comparison, mode))}</p>"
    parts = [
        f'<section id="{mode}"><h2>Detector {mode}: the specification\'s table</h2>{facts}',
        _cells(comparison, mode, table.SPECIFICATION),
        "</section>",
    ]
    for name in _SPREADS:
        figure = figures.spread(comparison, mode, name)
        parts.append(_section(name, _definition(name), figure, f"spread-{mode}-{name}"))
    for name in TIMED:
        figure = figures.survival(comparison, mode, name)
        caption = "Kaplan-Meier: the share of runs that still waited; shaded: 95 % log-log interval, point by point."
        parts.append(_section(f"{name}: how long it was waited for", caption, figure, f"survival-{mode}-{name}"))
    parts += [
        f"<section><h2>Detector {mode}: against {escape(comparison['reference'])}</h2>{facts}",
        _table(*table.pair_rows(comparison, mode)),
        f"<p>{escape(table.PAIRS)}</p>",
        _table(*table.log_rank_rows(comparison, mode)),
        f"<p>{escape(table.LOG_RANK)}</p></section>",
        f"<section><h2>Detector {mode}: all metrics</h2>{facts}",
        _cells(comparison, mode, [measure.name for measure in MEASURES]),
        "</section>",
    ]
    return "\n".join(parts)


def _section(title: str, caption: str, figure: go.Figure | None, name: str) -> str:
    drawn = '<p class="missing">No run has a number for it: see the table.</p>'
    if figure is not None:
        drawn = markup.drawn(figure, name, f"{title}: {caption}")
    return f"<section><h2>{escape(title)}</h2><p>{escape(caption)}</p>{drawn}</section>"


def _definition(name: str) -> str:
    return definition(registry()[name.partition(".")[0]])


def _cells(comparison: Mapping[str, Any], mode: str, names: Sequence[str]) -> str:
    """One row a metric, one column a protocol."""
    found = {(cell["metric"], cell["arm"]): cell for cell in comparison["cells"] if cell["mode"] == mode}
    arms = comparison["arms"]
    rows = [
        (
            Cell(markup.named(name, found[name, arms[0]]["unit"])),
            *(Cell(escape(words.cell(found[name, arm]))) for arm in arms),
        )
        for name in names
    ]
    return markup.table(("metric (open for its definition)", *arms), rows)


def _methods() -> str:
    texts = "".join(f"<p>{escape(text)}</p>" for text in (table.CELLS, table.PAIRS, table.LOG_RANK))
    return f'<section id="methods"><h2>Methods</h2>{texts}</section>'


def _runs(comparison: Mapping[str, Any]) -> str:
    rows = [
        (
            Cell(_link(run)),
            Cell(str(run["block"])),
            Cell(f'<span class="verdict {run["verdict"]}">{run["verdict"]}</span>'),
            Cell(escape(", ".join(run["tags"]))),
            Cell(escape(run["excluded"] or "")),
        )
        for run in comparison["runs"]
    ]
    head = ("run", "block", "verdict", "tags", "excluded, because")
    notes = [f"{name} is missing" for name in comparison["missing"]]
    notes += [
        f"{name}: stopped before its end {times} time{'s' if times > 1 else ''}, set aside and run again"
        for name, times in comparison["set_aside"].items()
    ]
    notes += [f"{row['run']} is not of the plan: {row['reason']}" for row in comparison["foreign"]]
    listed = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return (
        f'<section id="runs"><h2>Runs</h2><p>In the order in which they ran: a block for each seed, in it every '
        f"protocol and mode in an order of chance.</p>{markup.table(head, rows)}<ul>{listed}</ul></section>"
    )


def _link(run: Mapping[str, Any]) -> str:
    name = escape(run["name"])
    return f'<a href="{escape(run["run"])}/{PAGE_FILE}">{name}</a>' if run["has_page"] else name


def _settings(comparison: Mapping[str, Any]) -> str:
    flat = [
        (f"{key}.{name}" if name else key, value)
        for key in ("host", "versions", "protocols", "windows", "scenario")
        for name, value in _flat(comparison[key])
    ]
    return f"<section><h2>Scenario, versions, host</h2>{_table([], [[name, value] for name, value in flat])}</section>"


def _flat(value: object) -> Iterable[tuple[str, str]]:
    if not isinstance(value, Mapping):
        return [("", ", ".join(map(str, value)) if isinstance(value, list) else str(value))]
    return [(f"{key}.{name}" if name else str(key), text) for key, item in value.items() for name, text in _flat(item)]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return markup.table(head, [[Cell(escape(text)) for text in row] for row in rows])
