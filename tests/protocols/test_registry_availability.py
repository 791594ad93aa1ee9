"""A protocol whose SDK cannot be installed here is left out, and says why."""

import pytest

from protocols import registry
from protocols.errors import ConfigError

_OTHERS = tuple(name for name in registry.names() if name != "agora")


@pytest.fixture
def python_313(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Python 3.13, which agora-protocol excludes."""
    monkeypatch.setattr(registry, "version_info", (3, 13, 0, "final", 0))


@pytest.mark.usefixtures("python_313")
def test_newer_python_leaves_agora_out() -> None:
    """It cannot be chosen, and whoever asks for it learns the reason; its SDK is not even looked for."""
    assert registry.names() == _OTHERS
    for ask in (registry.load, registry.sdk):
        with pytest.raises(ConfigError, match=r"'agora': agora-protocol needs Python < 3\.13, this is 3\.13"):
            ask("agora")


@pytest.mark.usefixtures("python_313")
def test_everything_else_works_there() -> None:
    """One protocol's limit is no other's."""
    for name in _OTHERS:
        assert registry.obstacle(name) is None
        assert registry.load(name).name == name


@pytest.mark.parametrize("minor", [11, 12])
def test_python_of_its_range_has_agora(monkeypatch: pytest.MonkeyPatch, minor: int) -> None:
    """Below the limit there is no obstacle."""
    monkeypatch.setattr(registry, "version_info", (3, minor, 9, "final", 0))
    assert registry.names() == tuple(sorted([*_OTHERS, "agora"]))
    assert registry.obstacle("agora") is None
