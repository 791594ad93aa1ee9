"""One checkout and one image for all container tests; nothing of the lab may be left on the engine after a test."""

from collections.abc import Iterator

import pytest

from tests.chaos.real_engine import RealLab, real_lab
from tests.containers.container_lab import ContainerLab, make_lab


@pytest.fixture(scope="session")
def shared_lab(tmp_path_factory: pytest.TempPathFactory) -> ContainerLab:
    """The container lab, of which nothing is left from before; its image is built by the first run."""
    lab = make_lab(tmp_path_factory.mktemp("checkout"))
    lab.compose("down", "--timeout", "1")
    return lab


@pytest.fixture(scope="session")
def strangers() -> Iterator[RealLab]:
    """Containers that no storm may touch: one whose name is like a victim's, and a victim of another run's."""
    with real_lab() as made:
        made.start("agent-5-1", {}, "sleep 3600")
        labels = {"failstorm.run": "compose0", "failstorm.role": "agent", "failstorm.node": "agent_5"}
        made.start("of-another-run", labels, "sleep 3600")
        yield made


@pytest.fixture
def lab(shared_lab: ContainerLab, strangers: RealLab) -> Iterator[ContainerLab]:
    """The lab, taken down after the test; `down` knows of every agent, whatever the test ran."""
    yield shared_lab
    shared_lab.compose("down", "--timeout", "1")
    assert shared_lab.leftovers() == []
    assert strangers.running() == list(strangers.ids)
