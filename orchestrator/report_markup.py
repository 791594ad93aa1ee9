"""What the pages of a run and of a comparison are built from: the frame, tables that fold on a phone, figures."""

from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from typing import NamedTuple

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from orchestrator.metrics import registry
from orchestrator.report_words import definition

_CONFIG = {"responsive": True, "displaylogo": False, "displayModeBar": False}


class Cell(NamedTuple):
    """One cell, as markup."""

    markup: str
    kind: str = ""
    """A class of the style sheet."""


def page(title: str, body: Iterable[str]) -> str:
    """A whole page that needs nothing but itself; ``title`` is text, ``body`` markup."""
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title>",
        f"<style>{_asset('report.css')}</style>",
        f"<script>{get_plotlyjs()}</script>",
        "</head><body><main>",
        *body,
        f"</main><script>{_asset('report.js')}</script></body></html>",
    ]
    return "\n".join(parts) + "\n"


def _asset(name: str) -> str:
    return files("orchestrator").joinpath("assets", name).read_text(encoding="utf-8")


def table(head: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """A table whose first column heads its rows; ``head`` is text, empty for none.

    On a phone each row becomes a block in which every cell says the name of its column.
    """
    top = f"<thead><tr>{''.join(f'<th>{escape(text)}</th>' for text in head)}</tr></thead>" if head else ""
    body = "".join(f"<tr>{''.join(_cell(head, place, cell) for place, cell in enumerate(row))}</tr>" for row in rows)
    return f'<div class="scroll"><table>{top}<tbody>{body}</tbody></table></div>'


def _cell(head: Sequence[str], place: int, cell: Cell) -> str:
    kind = f' class="{cell.kind}"' if cell.kind else ""
    if place == 0:
        return f'<th scope="row"{kind}>{cell.markup}</th>'
    label = f' data-label="{escape(head[place])}"' if head else ""
    return f"<td{kind}{label}>{cell.markup}</td>"


def named(name: str, unit: str = "") -> str:
    """A metric's name, or that of one of its entries, that tells its definition: pointed at, touched or focused."""
    said = escape(definition(registry()[name.partition(".")[0]]))
    beside = f" <small>{escape(unit)}</small>" if unit else ""
    return f'<details><summary title="{said}">{escape(name)}{beside}</summary>{said}</details>'


def drawn(figure: go.Figure, name: str, caption: str) -> str:
    """A figure as a part of a page; ``caption`` is what a screen reader says of it."""
    html: str = figure.to_html(
        full_html=False, include_plotlyjs=False, div_id=name, config=_CONFIG,
        default_height=f"{figure.layout.height}px",
    )  # fmt: skip
    return f'<div role="img" aria-label="{escape(caption)}">{html}</div>'
