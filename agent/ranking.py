"""Seeded preference lists that every agent computes alike: rendezvous hashing (Thaler and Ravishankar 1998)."""

import hashlib
from collections.abc import Iterable


def rank(key: str, names: Iterable[str]) -> tuple[str, ...]:
    """``names`` in the order of preference for ``key``; removing a name leaves the order of the others alone."""
    return tuple(sorted(names, key=lambda name: (hashlib.sha256(f"{key}|{name}".encode()).digest(), name)))


def owners(seed: int, task: str, roster: Iterable[str]) -> tuple[str, ...]:
    """The preference list of a task's owners: the first of it that lives has the task."""
    return rank(f"{seed}|owner|{task}", roster)


def elector_count(replication: int) -> int:
    """2r-1: of so many any two majorities of r have one in common."""
    return 2 * replication - 1
