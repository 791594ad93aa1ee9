"""How the tests share two workers: storms follow each other, all else fills the other worker, one file at a time."""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

_STORMS = ("tests/e2e/", "tests/containers/")


class StormsInARow(LoadFileScheduling):  # type: ignore[misc] # xdist brings no types
    """One file, one worker; and all storms one worker, for two at once would meet on a port and starve each other."""

    def _split_scope(self, nodeid: str) -> str:
        return "storms" if nodeid.startswith(_STORMS) else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> StormsInARow:
    """The scheduler for ``pytest -n 2``."""
    return StormsInARow(config, log)
