"""How the tests share two workers: storms follow each other, all else fills the other worker, one file at a time.

Storms in containers come last, when nothing else is left to run: eight containers and their engine are load enough.
"""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

_CONTAINERS = "tests/containers/"
_STORMS = ("tests/e2e/", "tests/teeth/test_teeth_storms.py", "tests/protocols/test_add_a_protocol.py")


class StormsInARow(LoadFileScheduling):  # type: ignore[misc] # xdist brings no types
    """One file, one worker; and all storms one worker, for two at once would meet on a port and starve each other."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(_CONTAINERS):
            return "containers"
        return "storms" if nodeid.startswith(_STORMS) else super()._split_scope(nodeid)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first; containers come last."""
    items.sort(key=lambda item: (item.nodeid.startswith(_CONTAINERS), not item.nodeid.startswith(_STORMS)))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> StormsInARow:
    """The scheduler for ``pytest -n 2``."""
    return StormsInARow(config, log)
