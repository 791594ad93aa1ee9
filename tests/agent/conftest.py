"""Runs the agent's asynchronous tests in virtual time and gives them a mesh in memory."""

import asyncio
import inspect
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

from tests.agent.lab import Lab
from tests.agent.virtual_time import run_virtually

# The same examples every time, few enough for a busy host, and no deadline: slowness is not a defect.
hypothesis.settings.register_profile("agent", deadline=None, derandomize=True, database=None, max_examples=50)
hypothesis.settings.load_profile("agent")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine function in virtual time; it must not leave a task behind.

    Real sockets keep no virtual time: a test that is marked so has a real loop.
    """
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    run = asyncio.run if pyfuncitem.get_closest_marker("sockets") else run_virtually
    run(pyfuncitem.obj(**arguments))
    return True


@pytest.fixture
def make_lab(tmp_path: Path) -> Callable[..., Lab]:
    """A mesh in memory, described as :class:`tests.agent.lab.Lab` says."""

    def make(**wishes: object) -> Lab:
        return Lab(tmp_path, **wishes)  # type: ignore[arg-type]

    return make
