"""Reads the edges of a topology from a file: an edge list in YAML or JSON, or GraphML."""

from pathlib import Path
from xml.etree.ElementTree import ParseError

import networkx as nx
import yaml

from protocols.errors import ConfigError

SUFFIXES = (".yaml", ".yml", ".json", ".graphml")
"""By which a value of ``scenario.topology`` is known to be a path."""
_MOST_BYTES = 4_000_000


def read(path: Path) -> list[list[str]]:
    """The edges in ``path``, each a list of node names; whether they fit the run is for others to say.

    YAML and JSON hold a list of pairs, or a mapping whose ``edges`` is one; in GraphML the nodes' ids are the names,
    and directions and weights mean nothing. Raises ConfigError with one line.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ConfigError(f"{path}: expected a topology of at most {_MOST_BYTES} bytes; leave out what is no edge")
        if path.suffix == ".graphml":
            return [[str(one), str(other)] for one, other in nx.read_graphml(path).edges()]
        content = yaml.safe_load(path.read_text(encoding="utf-8"))  # JSON is YAML
    except OSError as error:
        raise ConfigError(f"{path}: expected to read a topology, got: {error.strerror}; correct the path") from error
    except (yaml.YAMLError, UnicodeDecodeError, ParseError, nx.NetworkXError, KeyError, ValueError) as error:
        raise ConfigError(f"{path}: expected a topology, got {type(error).__name__}; correct the file") from error
    edges = content.get("edges") if isinstance(content, dict) else content
    if not isinstance(edges, list) or not all(isinstance(edge, list) for edge in edges):
        raise ConfigError(f"{path}: expected a list of pairs such as [agent_1, agent_2]; correct the file")
    return [[str(name) for name in edge] for edge in edges]
