"""Topologies of the user's own: read from YAML, JSON and GraphML, and refused in one line when they cannot be."""

from pathlib import Path

import networkx as nx
import pytest

from orchestrator.cli import main
from orchestrator.scenario import Scenario
from orchestrator.settings_load import build, flag_layer
from orchestrator.timeline import plan
from protocols.errors import ConfigError

PATH = [["agent_1", "agent_2"], ["agent_2", "agent_3"], ["agent_3", "agent_4"]]


def written(folder: Path, name: str, text: str) -> str:
    """The path of a file with this text."""
    path = folder / name
    path.write_text(text)
    return str(path)


def built(path: str, agent_count: int = 4) -> Scenario:
    """The scenario of that many agents with the topology of this file."""
    layers = [flag_layer("--topology", "scenario.topology", path)]
    return build([*layers, flag_layer("--agent-count", "scenario.agent_count", agent_count)], {})


def test_every_format_gives_the_same_links(tmp_path: Path) -> None:
    """A list in YAML, a mapping in JSON, GraphML with attributes: the neighbours are the file's, in roster order."""
    graph: nx.Graph[str] = nx.Graph([("agent_2", "agent_1"), ("agent_3", "agent_2"), ("agent_3", "agent_4")])
    graph.edges["agent_2", "agent_1"]["weight"] = 2.5
    nx.write_graphml(graph, tmp_path / "own.graphml")
    files = [
        written(tmp_path, "own.yaml", "- [agent_1, agent_2]\n- [agent_2, agent_3]\n- [agent_4, agent_3]\n"),
        written(
            tmp_path,
            "own.json",
            '{"edges": [["agent_1", "agent_2"], ["agent_2", "agent_3"], '
            '["agent_3", "agent_4"], ["agent_4", "agent_3"]]}',
        ),
        str(tmp_path / "own.graphml"),
    ]
    for path in files:
        scenario = built(path)
        links = {agent.node_id: agent.neighbours for agent in plan(scenario).agents}
        assert links == {
            "agent_1": ("agent_2",),
            "agent_2": ("agent_1", "agent_3"),
            "agent_3": ("agent_2", "agent_4"),
            "agent_4": ("agent_3",),
        }
        # What stands in the journal, and what goes into containers, needs the file no more.
        assert Scenario.model_validate(scenario.to_mapping()).neighbours == links


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("- [agent_1, agent_2]\n- [agent_2, agent_9]\n", "expected nodes agent_1 to agent_4, got 'agent_9'"),
        ("- [agent_1, agent_1]\n", "got agent_1 linked to itself"),
        ("- [agent_1, agent_2]\n- [agent_3, agent_4]\n", "expected one connected graph, got agent_"),
        ("- [agent_1, agent_2]\n- [agent_2, agent_3]\n", "got agent_4 apart from the others"),
        ("- [agent_1, agent_2, agent_3]\n", "expected edges of two nodes, got ['agent_1', 'agent_2', 'agent_3']"),
        ("agent_1: agent_2\n", "expected a list of pairs such as [agent_1, agent_2]"),
        ("[1, 2]", "expected a list of pairs"),
        ("[", "expected a topology, got ParserError"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    """Before anything starts, with the name that is wrong."""
    with pytest.raises(ConfigError) as caught:
        built(written(tmp_path, "own.yaml", text))
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_broken_graphml_and_missing_files_are_refused_in_one_line(tmp_path: Path) -> None:
    """No traceback of a parser's."""
    with pytest.raises(ConfigError, match=r"own\.graphml: expected a topology, got ParseError"):
        built(written(tmp_path, "own.graphml", "<graphml"))
    with pytest.raises(ConfigError, match=r"none\.json: expected to read a topology, got: No such file"):
        built(str(tmp_path / "none.json"))


def test_edges_belong_to_a_file() -> None:
    """Edges beside a named shape would be silently ignored, and a file without edges is none."""
    for given in ({"topology": "ring", "edges": PATH}, {"topology": "file"}):
        with pytest.raises(ConfigError, match=r"scenario\.edges: expected edges with scenario\.topology: file"):
            Scenario.model_validate({"scenario": {"agent_count": 4, **given}})


def test_the_command_line_takes_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``--topology PATH`` plans the run, and a bad one ends it with exit code 2."""
    good = written(tmp_path, "own.json", str(PATH).replace("'", '"'))
    config = written(tmp_path, "config.yaml", "scenario: {agent_count: 4}\n")
    assert main(["run", "--config", config, "--topology", good, "--runtime", "local", "--dry-run"]) == 0
    assert "agent_1, agent_3" in capsys.readouterr().out
    assert main(["run", "--config", config, "--agent-count", "5", "--topology", good, "--dry-run"]) == 2
    assert "got agent_5 apart from the others" in capsys.readouterr().err
