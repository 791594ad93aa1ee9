"""One checkout and one image for all container tests; nothing of the lab may be left on the engine after a test."""

from collections.abc import Iterator

import pytest

from tests.containers.container_lab import ContainerLab, make_lab


@pytest.fixture(scope="session")
def shared_lab(tmp_path_factory: pytest.TempPathFactory) -> ContainerLab:
    """The container lab; its image is built by the first run."""
    return make_lab(tmp_path_factory.mktemp("checkout"))


@pytest.fixture
def lab(shared_lab: ContainerLab) -> Iterator[ContainerLab]:
    """The lab, down before the test and after it; `down` knows of every agent, whatever the test ran."""
    shared_lab.compose("down", "--timeout", "1")
    yield shared_lab
    shared_lab.compose("down", "--timeout", "1")
    assert shared_lab.leftovers() == []
