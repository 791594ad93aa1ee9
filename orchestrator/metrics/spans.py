"""Arithmetic on half-open spans of time [begin, end)."""

from collections.abc import Iterable

Span = tuple[float, float]


def merged(spans: Iterable[Span]) -> list[Span]:
    """The union of the spans, disjoint and in order; empty spans vanish."""
    union: list[Span] = []
    for begin, end in sorted(span for span in spans if span[0] < span[1]):
        if union and begin <= union[-1][1]:
            union[-1] = (union[-1][0], max(union[-1][1], end))
        else:
            union.append((begin, end))
    return union


def minus(spans: Iterable[Span], holes: Iterable[Span]) -> list[Span]:
    """What is left of the spans outside of the holes, disjoint and in order."""
    left = merged(spans)
    for hole_begin, hole_end in merged(holes):
        left = [
            piece
            for begin, end in left
            for piece in ((begin, min(end, hole_begin)), (max(begin, hole_end), end))
            if piece[0] < piece[1]
        ]
    return left


def length(spans: Iterable[Span]) -> float:
    """The sum of the lengths of disjoint spans."""
    return sum(end - begin for begin, end in spans)
