"""Seeded preference lists that every agent computes alike: rendezvous hashing (Thaler and Ravishankar 1998)."""

import hashlib
from collections.abc import Iterable


def rank(key: str, names: Iterable[str]) -> tuple[str, ...]:
    """``names`` in the order of preference for ``key``; removing a name leaves the order of the others alone."""
    return tuple(sorted(names, key=lambda name: (hashlib.sha256(f"{key}|{name}".encode()).digest(), name)))
