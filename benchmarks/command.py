"""What the commands of the benchmarks have in common: how they read their arguments, and how they end."""

import argparse
import signal
from collections.abc import Callable, Iterable
from types import FrameType
from typing import NoReturn

from rich.console import Console

from protocols.errors import ConfigError, FailstormError

EXIT_BROKEN, EXIT_CONFIG, EXIT_LAB, EXIT_INTERRUPTED = 1, 2, 3, 130


class Parser(argparse.ArgumentParser):
    """Reports its errors like the rest of the lab: one line, no usage text."""

    def error(self, message: str) -> NoReturn:
        """Raises ConfigError."""
        raise ConfigError(f"{message}; see: {self.prog} --help")


def carry_out(name: str, measure: Callable[[], Iterable[str]], interrupted: str = "interrupted") -> int:
    """The exit code of a command that measures, and returns a few words on each bound that is broken.

    0 all bounds hold, 1 one is broken, 2 bad arguments, 3 a measurement failed, 130 interrupted; each but 0 with one
    line on stderr that begins with ``name``.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # what a shell runs in the background ignores the first
        signal.signal(number, _interrupt)
    complaints = Console(stderr=True, soft_wrap=True, markup=False, highlight=False)
    try:
        broken = list(measure())
    except FailstormError as error:
        complaints.print(f"{name}: {' '.join(str(error).split())}")
        return EXIT_CONFIG if isinstance(error, ConfigError) else EXIT_LAB
    except KeyboardInterrupt:
        complaints.print(f"{name}: {interrupted}")
        return EXIT_INTERRUPTED
    if broken:
        complaints.print(f"{name}: {'; '.join(broken)}")
    return EXIT_BROKEN if broken else 0


def _interrupt(_: int, __: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
