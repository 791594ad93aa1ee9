"""The kinds of panel both dashboards are made of, each with a title, what its number means, and its source metric."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from grafana_foundation_sdk.builders import (
    barchart,
    bargauge,
    common,
    dashboard,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import prometheus as promql

from grafana import palette

DATASOURCE = model.DataSourceRef(type_val="prometheus", uid="failstorm-prometheus")
"""The data source of ``grafana/provisioning/datasources``."""

NO_VALUE = "not yet"
"""Shown where a query has no answer."""

Panel = TypeVar("Panel", stat.Panel, timeseries.Panel, bargauge.Panel, barchart.Panel, table.Panel, statetimeline.Panel)


@dataclass(frozen=True, slots=True)
class Frame:
    """What every panel has: its title, the meaning of its number, and its size on a grid of 24 columns."""

    title: str
    meaning: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL query and the name of what it returns, ``{{label}}`` standing for a label's value."""

    expr: str
    name: str = ""


def number(
    frame: Frame, *queries: Query, unit: str = "none", decimals: int = 0, colours: Sequence[tuple[float, str]] = ()
) -> stat.Panel:
    """The last value of each query as large digits; ``colours`` are (from this value on, colour), ascending."""
    panel = _framed(stat.Panel(), frame, queries, instant=True).unit(unit).decimals(decimals).no_value(NO_VALUE)
    mode = options.BigValueTextMode.AUTO if len(queries) == 1 else options.BigValueTextMode.VALUE_AND_NAME
    return (
        panel.color_mode(options.BigValueColorMode.VALUE)
        .graph_mode(options.BigValueGraphMode.NONE)
        .text_mode(mode)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(_thresholds(colours or ((0, palette.BLUE),)))
        .color_scheme(_colour_mode(model.FieldColorModeId.THRESHOLDS))
    )


def word(frame: Frame, query: Query) -> stat.Panel:
    """The name of the query's series in large letters, for labels that say more than the value 1."""
    return number(frame, query).text_mode(options.BigValueTextMode.NAME)


def curves(
    frame: Frame,
    *queries: Query,
    unit: str = "none",
    colours: Mapping[str, str] | None = None,
    steps: bool = False,
    stacked: bool = False,
) -> timeseries.Panel:
    """One line a series over time; ``colours`` by the name of the series."""
    panel = (
        _framed(timeseries.Panel(), frame, queries)
        .unit(unit)
        .min(0)
        .line_width(2)
        .fill_opacity(0)
        .show_points(options.VisibilityMode.NEVER)
        .legend(common.VizLegendOptions().show_legend(show_legend=True).calcs(["lastNotNull"]))
        .tooltip(common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI).sort(options.SortOrder.DESCENDING))
        .color_scheme(_colour_mode(model.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
    )
    if steps:
        # A count does not grow between two scrapes: it jumps at the second.
        panel.line_interpolation(options.LineInterpolation.STEP_AFTER)
    if stacked:
        panel.stacking(common.StackingConfig().mode(options.StackingMode.NORMAL)).fill_opacity(60).line_width(1)
    for name, colour in (colours or {}).items():
        panel.override_by_name(name, [fixed(colour)])
    return panel


def states(frame: Frame, query: Query, words: Mapping[int, tuple[str, str]]) -> statetimeline.Panel:
    """A bar over time for each series; ``words`` gives value → (word, colour)."""
    mapped = {
        str(value): model.ValueMappingResult(word, colour, index=value) for value, (word, colour) in words.items()
    }
    return (
        _framed(statetimeline.Panel(), frame, (query,))
        .mappings([model.ValueMap(mapped)])
        .color_scheme(_colour_mode(model.FieldColorModeId.FIXED).fixed_color(palette.GREY))
        .merge_values(merge_values=True)
        .show_value(options.VisibilityMode.AUTO)
        .row_height(0.85)
        .line_width(0)
        .fill_opacity(85)
        .legend(common.VizLegendOptions().show_legend(show_legend=True).placement(options.LegendPlacement.BOTTOM))
    )


def matrix(frame: Frame, query: Query, row: str, column: str, unit: str, *, shaded: bool = True) -> table.Panel:
    """The query's values in a table, one line for each value of the label ``row``; ``shaded`` colours by value."""
    grouped = model.DataTransformerConfig(
        "groupingToMatrix", options={"rowField": row, "columnField": column, "valueField": "Value"}
    )
    panel = (
        _framed(table.Panel(), frame, (query,), instant=True, format_val=promql.PromQueryFormat.TABLE)
        .with_transformation(grouped)
        .unit(unit)
        .no_value(NO_VALUE)
        .cell_height(options.TableCellHeight.SM)
        .align(options.FieldTextAlignment.CENTER)
    )
    if shaded:
        panel.color_scheme(_colour_mode(model.FieldColorModeId.CONTINUOUS_BLUES)).cell_options(
            options.TableColoredBackgroundCellOptions(options.TableCellBackgroundDisplayMode.GRADIENT)
        )
    plain = model.DynamicConfigValue("custom.cellOptions", {"type": "auto"})
    return panel.override_by_name(rf"{row}\{column}", [plain])


def bars(frame: Frame, query: Query, unit: str, colours: Mapping[str, str] | None = None) -> bargauge.Panel:
    """The last value of each series as a bar with its name and number."""
    panel = (
        _framed(bargauge.Panel(), frame, (query,), instant=True)
        .unit(unit)
        .min(0)
        .no_value(NO_VALUE)
        .display_mode(options.BarGaugeDisplayMode.BASIC)
        .value_mode(options.BarGaugeValueMode.TEXT)
        .orientation(options.VizOrientation.HORIZONTAL)
        .show_unfilled(show_unfilled=False)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .color_scheme(_colour_mode(model.FieldColorModeId.FIXED).fixed_color(palette.BLUE))
    )
    for name, colour in (colours or {}).items():
        panel.override_by_name(name, [fixed(colour)])
    return panel


def groups(frame: Frame, label: str, queries: Mapping[str, str], unit: str) -> barchart.Panel:
    """A group of bars for each value of ``label``, one bar for each entry of ``queries`` (name → PromQL)."""
    panel = (
        _framed(
            barchart.Panel(),
            frame,
            [Query(expr) for expr in queries.values()],
            instant=True,
            format_val=promql.PromQueryFormat.TABLE,
        )
        .unit(unit)
        .min(0)
        .no_value(NO_VALUE)
        .x_field(label)
        .fill_opacity(85)
        .line_width(0)
        .show_value(options.VisibilityMode.AUTO)
        .legend(common.VizLegendOptions().show_legend(show_legend=True))
        .with_transformation(model.DataTransformerConfig("joinByField", options={"byField": label, "mode": "outer"}))
        .with_transformation(
            model.DataTransformerConfig("filterFieldsByName", options={"include": {"pattern": f"^({label}|Value.*)$"}})
        )
    )
    for (name, _), ref_id, colour in zip(
        queries.items(), "ABC", (palette.SKY, palette.BLUE, palette.ORANGE), strict=False
    ):
        shown = model.DynamicConfigValue("displayName", name)
        panel.override_by_name(f"Value #{ref_id}", [shown, fixed(colour)])
    return panel


def fixed(colour: str) -> model.DynamicConfigValue:
    """The property that gives a series this colour."""
    return model.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})


def _framed(
    panel: Panel,
    frame: Frame,
    queries: Sequence[Query],
    *,
    instant: bool = False,
    format_val: promql.PromQueryFormat = promql.PromQueryFormat.TIME_SERIES,
) -> Panel:
    # In PromQL as it is written here every selector has braces.
    sources = dict.fromkeys(name for query in queries for name in re.findall(r"\w+(?=\{)", query.expr))
    described = f"{frame.meaning}\n\nSource: {', '.join(f'`{name}`' for name in sources)}"
    panel.title(frame.title).description(described).datasource(DATASOURCE)
    panel.span(frame.width).height(frame.height)
    for query, ref_id in zip(queries, "ABCDEFGH", strict=False):
        target = prometheus.Dataquery().expr(query.expr).ref_id(ref_id).legend_format(query.name or "__auto")
        target.datasource(DATASOURCE).format(format_val).editor_mode(promql.QueryEditorMode.CODE)
        panel.with_target(target.instant() if instant else target.range())
    return panel


def _thresholds(colours: Sequence[tuple[float, str]]) -> dashboard.ThresholdsConfig:
    (_, base), *others = colours
    steps = [model.Threshold(None, base), *(model.Threshold(value, colour) for value, colour in others)]
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)


def _colour_mode(mode: model.FieldColorModeId) -> dashboard.FieldColor:
    return dashboard.FieldColor().mode(mode)
