"""Every test here runs once for each registered protocol, in an arena that must be left empty."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocols import registry

from .arena import Arena, holdings


@pytest.fixture(params=registry.names())
def protocol(request: pytest.FixtureRequest) -> str:
    """Every registered protocol, one after the other."""
    name: str = request.param
    return name


@pytest.fixture
def arena(protocol: str, tmp_path: Path) -> Iterator[Arena]:
    """An arena that must leave no task, open file or thread behind, whatever happened in it."""
    before = holdings()
    made = Arena(protocol, tmp_path)
    gc.freeze()  # the collection afterwards is for what the test makes, not for all that the SDKs have loaded
    try:
        yield made
        made.leave()
        gc.collect()
    finally:
        gc.unfreeze()
    assert holdings() == before, "expected every socket, file and thread to be given back"
