"""What machine this is, and how busy it is during a run."""

import platform
from importlib.metadata import version

import psutil
from pydantic import JsonValue

from agent.journal import Journal
from protocols.clock import Clock

_SAMPLE_S = 1.0
_REPORTED = ("fastapi", "httpx", "pydantic", "uvicorn")


def describe() -> dict[str, JsonValue]:
    """Facts that explain absolute times; nothing that identifies the machine or its owner."""
    return {
        "cpu_count": psutil.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def versions(distribution: str) -> dict[str, JsonValue]:
    """Versions of the libraries on the wire; ``distribution`` is the one that speaks the protocol."""
    return {name: version(name) for name in sorted({*_REPORTED, distribution})}


async def journal_cpu(clock: Clock, journal: Journal) -> None:
    """One ``host`` line a second with the CPU use of the whole machine in percent; for ever."""
    psutil.cpu_percent()  # the first call only sets the starting point
    while True:
        await clock.sleep(_SAMPLE_S)
        journal.append("host", cpu_percent=psutil.cpu_percent())
