"""Protocols are found by name: ours, and those of installed packages."""

import subprocess
import sys
from importlib.metadata import EntryPoint, version
from pathlib import Path

import pytest

from protocols import registry
from protocols.adapter import BaseProtocolAdapter
from protocols.errors import ConfigError
from protocols.json_http import JsonHttpAdapter

_ROOT = Path(__file__).parents[2]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[EntryPoint]:
    """What other packages have registered; to be filled by the test."""
    points: list[EntryPoint] = []

    def entry_points(group: str) -> list[EntryPoint]:
        return [point for point in points if point.group == group]

    monkeypatch.setattr(registry, "entry_points", entry_points)
    return points


def _point(name: str, value: str, group: str = registry.ENTRY_POINT_GROUP) -> EntryPoint:
    return EntryPoint(name, value, group)


def test_our_own_protocols() -> None:
    """There is json, and each name loads the class that bears it."""
    assert "json" in registry.names()
    for name in registry.names():
        adapter_class = registry.load(name)
        assert issubclass(adapter_class, BaseProtocolAdapter)
        assert adapter_class.name == name


def test_version_of_the_sdk() -> None:
    """Results name the package that spoke the protocol, and its version."""
    assert registry.sdk("json") == ("httpx", version("httpx"))


def test_unknown_protocol_lists_the_choices(installed: list[EntryPoint]) -> None:
    """The error names what was asked for and what there is."""
    installed.append(_point("zeta", "somewhere:Zeta"))
    with pytest.raises(ConfigError, match=r"json, zeta, got 'jsn'"):
        registry.load("jsn")


def test_installed_package_adds_a_protocol(installed: list[EntryPoint]) -> None:
    """An entry point of our group is a protocol like any other; other groups are none of our business."""
    ours = registry.names()
    installed += [
        _point("zeta", "protocols.json_http:JsonHttpAdapter"),
        _point("alpha", "protocols.json_http:JsonHttpAdapter"),
        _point("omega", "protocols.json_http:JsonHttpAdapter", group="console_scripts"),
    ]
    assert registry.names() == tuple(sorted({"alpha", "zeta", *ours}))
    assert registry.load("zeta") is JsonHttpAdapter


def test_installed_package_cannot_replace_ours(installed: list[EntryPoint]) -> None:
    """A name of ours stays ours: results of that name mean our adapter."""
    installed.append(_point("json", "protocols.errors:ConfigError"))
    assert registry.load("json") is JsonHttpAdapter


@pytest.mark.parametrize(
    "value",
    [
        "protocols.errors:ConfigError",
        "protocols.registry:names",
        "protocols.json_http:Missing",
        "protocols.json_http",
        "no_such_package:Adapter",
    ],
)
def test_broken_entry_point_is_named(installed: list[EntryPoint], value: str) -> None:
    """Whatever is wrong with an installed protocol, the user gets one line that names it."""
    installed.append(_point("broken", value))
    with pytest.raises(ConfigError, match=value.partition(":")[0]):
        registry.load("broken")


def test_only_the_protocol_in_use_is_imported() -> None:
    """The registry names classes and imports none, so no SDK weighs on another protocol's agents."""
    program = (
        "import sys; from protocols import registry; registry.names(); sys.exit('protocols.json_http' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=_ROOT, check=False).returncode == 0
