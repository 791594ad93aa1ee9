"""How the tests share two workers: storms follow each other, all else fills the other worker, one file at a time.

Storms in containers come last, when nothing else is left to run: eight containers and their engine are load enough.
"""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

_CONTAINERS = "tests/containers/"
_STORMS = (
    *("tests/e2e/", "tests/teeth/test_teeth_storms.py", "tests/protocols/test_add_a_protocol.py"),
    "tests/benchmarks/test_benchmark_run.py",  # a mesh of eight too, for its large document
)
_LONG = ("tests/teeth/", "tests/conformance/")
"""Files of half a minute and more; begun late, one would keep the other worker waiting."""


class StormsInARow(LoadFileScheduling):  # type: ignore[misc] # xdist brings no types
    """One file, one worker; and all storms one worker, for two at once would meet on a port and starve each other."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(_CONTAINERS):
            return _CONTAINERS
        return "storms" if nodeid.startswith(_STORMS) else super()._split_scope(nodeid)

    def _reschedule(self, node: WorkerController) -> None:
        """Give this worker more to do; containers only when no worker has anything else."""
        alone = next(iter(self.workqueue), None) == _CONTAINERS
        # A worker keeps its last test until it has the next one, or knows that there is none.
        if alone and any(self._pending_of(work) > 1 for work in self.assigned_work.values()):
            return
        super()._reschedule(node)
        if alone and not self.workqueue:
            for other in self.nodes:
                if other is not node:
                    other.shutdown()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first; containers come last."""
    items.sort(
        key=lambda item: (
            item.nodeid.startswith(_CONTAINERS), not item.nodeid.startswith(_STORMS), not item.nodeid.startswith(_LONG)
        )
    )  # fmt: skip


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> StormsInARow:
    """The scheduler for ``pytest -n 2``."""
    return StormsInARow(config, log)
