"""The dashboards: committed as generated, documented, readable by PromQL, and naming only what is exported."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from agent import instruments as of_agents
from agent.instruments import Instrument
from grafana import generate
from grafana.compared import HEADLINES
from grafana.queries import FOLDER, committed, filled, queries, range_s, variables
from orchestrator.metrics import registry
from orchestrator.telemetry import instruments as of_orchestrator

ROOT = Path(__file__).parents[2]
BOARDS = {str(board["title"]): board for board in committed()}
LIVE, COMPARED = BOARDS["Fail-Storm live"], BOARDS["Protocols compared"]
TARGET_LABELS = {"job", "run", "instance", "node"}
"""What every series gets from its target (docs/telemetry.md)."""
CHOSEN = {"runtime": "local", "duration": "120"}


def exported() -> dict[str, set[str]]:
    """Name → labels of everything that is exported, by the registries of agents and orchestrator."""
    found: dict[str, set[str]] = {"up": set()}
    for module in (of_agents, of_orchestrator):
        for item in vars(module).values():
            if isinstance(item, Instrument):
                found.setdefault(item.name, set()).update(item.labels)
    return found


def panels() -> list[Any]:
    """Every panel of every dashboard, named by its titles."""
    return [
        pytest.param(panel, id=f"{board['title']} / {panel['title']}")
        for board in BOARDS.values()
        for panel in board["panels"]
    ]


def expressions() -> list[Any]:
    """Every PromQL expression, filled in, named by where it stands."""
    found = [
        pytest.param(filled(query.expr, range_s(board), CHOSEN), id=query.where)
        for board in BOARDS.values()
        for query in queries(board)
    ]
    for board in BOARDS.values():
        for variable in variables(board):
            inner = re.sub(r"^\w+\((.*?)(, \w+)?\)$", r"\1", filled(variable.query, range_s(board), CHOSEN))
            found.append(pytest.param(inner, id=f"{board['title']} / variable {variable.name}"))
    return found


def selectors(expr: str) -> Iterator[promql_parser.VectorSelector]:
    """Every selector inside a PromQL expression."""
    found: list[promql_parser.VectorSelector] = []

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.MatrixSelector):
            found.append(node.vector_selector)
        elif isinstance(node, promql_parser.VectorSelector):
            found.append(node)

    promql_parser.walk(promql_parser.parse(expr), visit)
    return iter(found)


def test_committed_dashboards_are_the_generated_ones() -> None:
    """What Grafana loads is what the code says; `make docs` renews it."""
    on_disk = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()}
    assert on_disk == generate.texts()


@pytest.mark.parametrize("expr", expressions())
def test_a_query_is_promql_over_exported_series(expr: str) -> None:
    """Each query parses, and each of its selectors names an exported metric and labels that this metric has."""
    known = exported()
    found = list(selectors(expr))
    assert found
    for selector in found:
        assert selector.name in known
        used = {matcher.name for matcher in selector.matchers.matchers}
        assert used <= known[str(selector.name)] | TARGET_LABELS


@pytest.mark.parametrize("expr", expressions())
def test_a_query_groups_by_labels_that_its_series_have(expr: str) -> None:
    """An aggregation or a match names only labels of the metrics inside of it, or all its results would be one."""
    known = exported()
    labels = TARGET_LABELS.union(*(known[str(selector.name)] for selector in selectors(expr)))
    named = {
        label.strip()
        for group in re.findall(r"\b(?:by|on|without|ignoring) ?\(([^)]*)\)", expr)
        for label in group.split(",")
    }
    assert named <= labels


@pytest.mark.parametrize("panel", panels())
def test_names_of_series_are_labels_that_the_query_keeps(panel: dict[str, Any]) -> None:
    """A legend shows ``{{label}}`` only where the answer still has that label."""
    known = exported()
    for target in panel["targets"]:
        expr = filled(target["expr"], 60, CHOSEN)
        kept = TARGET_LABELS.union(*(known[str(selector.name)] for selector in selectors(expr)))
        if aggregated := re.match(r"(?:sort_desc\()?(?:sum|max|min|count|quantile)(?: by \(([^)]*)\))? ?\(", expr):
            kept = {label.strip() for label in (aggregated[1] or "").split(",")}
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= kept


@pytest.mark.parametrize("panel", panels())
def test_a_panel_says_what_its_number_means(panel: dict[str, Any]) -> None:
    """Every panel has a description with its source metrics, a unit where it shows a quantity, and the data source."""
    assert "Source: `" in panel["description"]
    assert len(panel["description"]) > len("Source: ") + 40
    assert panel["type"] == "state-timeline" or "unit" in panel["fieldConfig"]["defaults"]
    assert panel["datasource"]["uid"] == "failstorm-prometheus"


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_panels_fill_the_grid_without_overlap(board: dict[str, Any]) -> None:
    """Panels have ids of their own, and no two share a cell of the 24 columns; no row has a gap."""
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in board["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells)) == 24 * (1 + max(y for _, y in cells))
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_live_shows_what_the_specification_names() -> None:
    """The home dashboard refreshes every second, has the panels asked for, and marks the four instants."""
    assert LIVE["refresh"] == "1s"
    kinds = {panel["title"]: panel["type"] for panel in LIVE["panels"]}
    assert {
        "Kill in": "stat",
        "Alive": "stat",
        "Recovery": "stat",
        "Agents": "state-timeline",
        "Who noticed whom, and when": "table",
        "Detection and recovery as they happen": "timeseries",
        "Goodput": "timeseries",
        "Success": "timeseries",
        "Bytes per second, by class": "timeseries",
        "Duplicates and retries": "timeseries",
    }.items() <= kinds.items()
    marks = LIVE["annotations"]["list"]
    assert [mark["name"] for mark in marks] == ["t = 0", "kill", "recovery", "steady state"]
    assert all(mark["datasource"]["type"] == "prometheus" and mark["useValueForTime"] for mark in marks)
    assert all(mark["expr"] == mark["target"]["expr"] for mark in marks)


def test_goodput_is_drawn_over_the_band_of_the_baseline() -> None:
    """The upper bound is filled down to the lower one, by the names that the queries give them."""
    (goodput,) = (panel for panel in LIVE["panels"] if panel["title"] == "Goodput")
    names = {target["legendFormat"] for target in goodput["targets"]}
    filled_to = {
        override["matcher"]["options"]: item["value"]
        for override in goodput["fieldConfig"]["overrides"]
        for item in override["properties"]
        if item["id"] == "custom.fillBelowTo"
    }
    assert filled_to == {"baseline high": "baseline low"}
    assert {"goodput", "baseline low", "baseline high"} <= names


def test_an_agents_states_have_words_and_colours_of_their_own() -> None:
    """No state is told by its colour alone, and no two share one."""
    (agents,) = (panel for panel in LIVE["panels"] if panel["title"] == "Agents")
    (mapping,) = agents["fieldConfig"]["defaults"]["mappings"]
    words = {value: item["text"] for value, item in mapping["options"].items()}
    assert words == {"0": "dead", "1": "suspected", "2": "recovering", "3": "alive"}
    assert len({item["color"] for item in mapping["options"].values()}) == len(words)


def test_comparison_never_mixes_runtimes_durations_or_invalid_runs() -> None:
    """Results of local processes and containers share no table; scaled runs and full ones neither."""
    for query in queries(COMPARED):
        assert 'runtime="$runtime"' in query.expr
        assert 'verdict="valid"' in query.expr
        assert '{metric="windows.duration_s"}[$__range]) == $duration' in query.expr


def test_compared_numbers_are_metrics_of_a_run() -> None:
    """Each number that is compared is a metric of the registry, or one inside of it."""
    assert {key.partition(".")[0] for key, *_ in HEADLINES} <= set(registry())


def test_grafana_is_provisioned_as_compose_starts_it() -> None:
    """One data source under the uid the panels name; the home dashboard and the folder exist where compose says."""
    folder = ROOT / "grafana/provisioning"
    (source,) = yaml.safe_load((folder / "datasources/prometheus.yaml").read_text())["datasources"]
    assert (source["uid"], source["url"]) == ("failstorm-prometheus", "http://prometheus:9090")
    assert source["jsonData"]["timeInterval"] == "1s"
    (provider,) = yaml.safe_load((folder / "dashboards/fail-storm.yaml").read_text())["providers"]
    service = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["grafana"]
    mounted = dict(volume.split(":")[:2][::-1] for volume in service["volumes"])
    assert (ROOT / mounted[provider["options"]["path"]]).samefile(FOLDER)
    assert (ROOT / mounted["/etc/grafana/provisioning"]).samefile(folder)
    settings = service["environment"]
    assert settings["GF_AUTH_ANONYMOUS_ENABLED"] == "true"
    # Without it Grafana refreshes every 5 s at most.
    assert settings["GF_DASHBOARDS_MIN_REFRESH_INTERVAL"] == "1s"
    home = Path(settings["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert home.parent == Path(provider["options"]["path"])
    assert (FOLDER / home.name).read_text(encoding="utf-8") == generate.texts()["live.json"]
