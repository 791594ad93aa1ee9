"""Turns the one seed of a run into independent random sources."""

from random import Random


def stream(seed: int, purpose: str) -> Random:
    """Return a source of its own for each purpose, so that drawing from one does not shift another."""
    return Random(f"{seed}/{purpose}")  # noqa: S311 - to repeat a run, not to keep a secret
