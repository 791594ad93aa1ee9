"""The figures of the documentation as SVG: drawn from the content of ``comparison.json``, equal for equal content."""

from collections.abc import Iterator, Mapping, Sequence
from math import floor, log10
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

from orchestrator.compare.figures import colour

SPREADS = ("recovery_ms", "steady_state_ms", "bytes_reconnect")
CURVES = ("recovery_ms", "steady_state_ms")
_WIDTH, _LEFT, _RIGHT = 760, 90, 20
_ROW, _HEAD, _FOOT = 30, 34, 40
_CURVE = 200
_INK, _SOFT, _LINE = "#1a1a1a", "#5a5a5a", "#d9d9d9"
_DASHES = ("", "7 4", "2 3", "9 3 2 3", "14 4", "4 2")
_TICKS = 6


class _Axis(NamedTuple):
    """A linear axis from 0 over the width of the drawing."""

    end: float

    def x(self, value: float) -> float:
        return round(_LEFT + (_WIDTH - _LEFT - _RIGHT) * value / self.end, 2)

    def ticks(self) -> Iterator[float]:
        step = 10.0 ** floor(log10(self.end))
        step = next(step * part for part in (0.1, 0.2, 0.5, 1.0, 2.0) if self.end / (step * part) <= _TICKS)
        yield from (number * step for number in range(int(self.end / step) + 1))


def spreads(comparison: Mapping[str, Any], mode: str) -> str | None:
    """Each run as a point and the median with its interval, a panel a metric, a line a protocol; None without any."""
    arms = comparison["arms"]
    panels = [name for name in SPREADS if any(cell["values"] for cell in _cells(comparison, mode, name))]
    if not panels:
        return None
    height = _HEAD + _ROW * len(arms) + _FOOT
    root = _canvas(height * len(panels), f"detector mode {mode}: each run, median and 95 % interval")
    for place, name in enumerate(panels):
        _spread(root, comparison, _cells(comparison, mode, name), place * height)
    return _text(root)


def _cells(comparison: Mapping[str, Any], mode: str, metric: str) -> list[Mapping[str, Any]]:
    return [cell for cell in comparison["cells"] if (cell["mode"], cell["metric"]) == (mode, metric)]


def _spread(root: ET.Element, comparison: Mapping[str, Any], cells: Sequence[Any], top: int) -> None:
    axis = _Axis(1.05 * max((seen["value"] for cell in cells for seen in cell["values"]), default=1.0) or 1.0)
    bottom = top + _HEAD + _ROW * len(cells)
    _label(root, _LEFT, top + 20, f"{cells[0]['metric']}, {cells[0]['unit']}", weight="600")
    _grid(root, axis, top + _HEAD, bottom)
    for row, cell in enumerate(cells):
        y = top + _HEAD + _ROW * row + _ROW // 2
        own = colour(comparison["arms"], cell["arm"])
        _label(root, _LEFT - 8, y + 4, cell["arm"], anchor="end")
        for seen in cell["values"]:
            _point(root, axis.x(seen["value"]), y, own, seen["status"])
        _median(root, axis, cell, y)


def _point(root: ET.Element, x: float, y: int, own: str, status: str) -> None:
    """A disc for a run that counts, a ring for a starved one, an arrow for one that was waited for in vain."""
    if status == "censored":
        shape = f"M{x - 4},{y - 5} L{x + 5},{y} L{x - 4},{y + 5} Z"
        ET.SubElement(root, "path", {"d": shape, "fill": own})
        return
    fill = "none" if status == "starved" else own
    ET.SubElement(
        root, "circle", {"cx": f"{x}", "cy": f"{y}", "r": "4.5", "fill": fill, "stroke": own, "fill-opacity": "0.75"}
    )


def _median(root: ET.Element, axis: _Axis, cell: Mapping[str, Any], y: int) -> None:
    middle = cell["middle"]
    if middle is None or middle["median"] is None:
        return
    if middle["has_interval"]:
        # An open end lies beyond the longest wait.
        low, high = (cell["censored_at"] if middle[end] is None else middle[end] for end in ("low", "high"))
        _line(root, axis.x(low), y, axis.x(high), y, _INK, 1.5)
        for end in (low, high):
            _line(root, axis.x(end), y - 4, axis.x(end), y + 4, _INK, 1.5)
    _line(root, axis.x(middle["median"]), y - 10, axis.x(middle["median"]), y + 10, _INK, 3)


def survivals(comparison: Mapping[str, Any], mode: str) -> str | None:
    """Kaplan-Meier curves: the share of runs that still waited, a panel a time, a line a protocol; None without any."""
    panels = [name for name in CURVES if _rows(comparison, mode, name)]
    if not panels:
        return None
    legend = 22 * -(-len(comparison["arms"]) // 3) + 6
    height = _HEAD + legend + _CURVE + _FOOT
    root = _canvas(height * len(panels), f"detector mode {mode}: share of runs that still waited")
    for place, name in enumerate(panels):
        _curves(root, comparison, _rows(comparison, mode, name), place * height, legend)
    return _text(root)


def _rows(comparison: Mapping[str, Any], mode: str, metric: str) -> list[Mapping[str, Any]]:
    return [row for row in comparison["survival"] if (row["mode"], row["metric"]) == (mode, metric)]


def _curves(root: ET.Element, comparison: Mapping[str, Any], rows: Sequence[Any], top: int, legend: int) -> None:
    axis = _Axis(1.05 * max(row["times"][-1] for row in rows) or 1.0)
    first, bottom = top + _HEAD + legend, top + _HEAD + legend + _CURVE
    _label(
        root, _LEFT, top + 20, f"% of runs without {rows[0]['metric']} yet, against ms after the storm", weight="600"
    )
    _grid(root, axis, first, bottom)
    for share in (0, 50, 100):
        _label(root, _LEFT - 8, bottom - _CURVE * share / 100 + 4, f"{share}", anchor="end")
    for row in rows:
        place = comparison["arms"].index(row["arm"])
        own, dash = colour(comparison["arms"], row["arm"]), _DASHES[place % len(_DASHES)]
        x, y = _LEFT + (place % 3) * 210, top + _HEAD + 22 * (place // 3) + 6
        _line(root, x, y, x + 34, y, own, 2.5, dash)
        _label(root, x + 40, y + 4, f"{row['arm']}: {row['n'] - row['n_censored']} of {row['n']} came")
        steps, height = [f"M{axis.x(0)},{first}"], first
        for time, share in zip(row["times"], row["share"], strict=True):
            steps.append(f"H{axis.x(time)}")
            height = round(bottom - _CURVE * share, 2)
            steps.append(f"V{height}")
        attributes = {"d": " ".join(steps), "fill": "none", "stroke": own, "stroke-width": "2.5"}
        ET.SubElement(root, "path", attributes | ({"stroke-dasharray": dash} if dash else {}))


def _canvas(height: int, title: str) -> ET.Element:
    root = ET.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {_WIDTH} {height}", "width": f"{_WIDTH}",
            "height": f"{height}", "role": "img", "font-family": "system-ui, sans-serif", "font-size": "13",
        },
    )  # fmt: skip
    ET.SubElement(root, "title").text = title
    ET.SubElement(root, "rect", {"width": "100%", "height": "100%", "fill": "#ffffff"})
    return root


def _grid(root: ET.Element, axis: _Axis, top: float, bottom: float) -> None:
    for tick in axis.ticks():
        x = axis.x(tick)
        _line(root, x, top, x, bottom, _LINE, 1)
        _label(root, x, bottom + 16, f"{tick:,.12g}", anchor="middle", fill=_SOFT)


def _line(
    root: ET.Element, x1: float, y1: float, x2: float, y2: float, stroke: str, width: float, dash: str = ""
) -> None:
    place = {"x1": f"{x1}", "y1": f"{y1}", "x2": f"{x2}", "y2": f"{y2}", "stroke": stroke, "stroke-width": f"{width}"}
    ET.SubElement(root, "line", place | ({"stroke-dasharray": dash} if dash else {}))


def _label(
    root: ET.Element,
    x: float,
    y: float,
    text: str,
    anchor: str = "start",
    weight: str = "400",
    fill: str = _INK,
) -> None:
    place = {"x": f"{x}", "y": f"{y}", "text-anchor": anchor, "font-weight": weight, "fill": fill}
    ET.SubElement(root, "text", place).text = text


def _text(root: ET.Element) -> str:
    ET.indent(root, " ")
    return ET.tostring(root, encoding="unicode") + "\n"
