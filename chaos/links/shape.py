"""How the traffic of a link is bent, and when each piece of it is due: pure, so that it is tested without a network."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

Flow = tuple[str, str]
"""(source, destination): the bytes that travel from one node to another, whoever opened the connection."""

RESEND_S = 0.2
"""The least time after which TCP sends a lost segment again (RFC 6298 allows 1 s; Linux takes 0.2 s); it doubles."""
_LOSSES = 8
"""No piece is lost more often than that in a row."""


@dataclass(frozen=True)
class Shape:
    """What a flow suffers; the default is nothing at all."""

    cut: bool = False
    latency_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    """Share of the pieces that are lost and sent again."""
    bytes_per_s: float = 0.0
    """Of one connection in one direction; 0: as fast as it can."""
    corrupt: float = 0.0
    """Share of the pieces in which one byte is another."""
    reset: bool = False
    """Connections that use this flow, in either direction, are reset, those that are opened meanwhile too."""

    def with_(self, other: "Shape") -> "Shape":
        """Both at once: delays add up, the narrower of two limits holds, chances are independent."""
        limits = [rate for rate in (self.bytes_per_s, other.bytes_per_s) if rate]
        return Shape(
            self.cut or other.cut,
            self.latency_s + other.latency_s,
            self.jitter_s + other.jitter_s,
            1 - (1 - self.loss) * (1 - other.loss),
            min(limits, default=0.0),
            1 - (1 - self.corrupt) * (1 - other.corrupt),
            self.reset or other.reset,
        )

    def delay_s(self, rng: Random) -> float:
        """How late one piece comes, its losses included; 0 or more."""
        losses = 0
        while self.loss and losses < _LOSSES and rng.random() < self.loss:
            losses += 1
        jitter_s = rng.uniform(-self.jitter_s, self.jitter_s) if self.jitter_s else 0.0
        return max(0.0, self.latency_s + jitter_s) + RESEND_S * ((1 << losses) - 1)

    def passed(self, data: bytes, rng: Random) -> bytes:
        """``data`` as it arrives."""
        if not self.corrupt or rng.random() >= self.corrupt:
            return data
        place = rng.randrange(len(data))
        return data[:place] + bytes([data[place] ^ (1 + rng.randrange(255))]) + data[place + 1 :]


@dataclass(frozen=True)
class Bend:
    """What happens to the traffic of one victim."""

    shape: Shape
    direction: Literal["both", "in"] = "both"
    spared: tuple[str, ...] = ()
    """With these nodes it goes on as ever."""
    only: tuple[str, ...] = ()
    """If there are any: it happens on the links with these nodes alone."""

    def flows(self, victim: str, nodes: Sequence[str]) -> tuple[Flow, ...]:
        """The flows between ``victim`` and the other ``nodes`` that are bent."""
        others = [node for node in nodes if node != victim and node not in self.spared]
        if self.only:
            others = [node for node in others if node in self.only]
        inward = [(other, victim) for other in others]
        return tuple(inward if self.direction == "in" else [*inward, *((victim, other) for other in others)])


def combined(bends: Iterable[tuple[Shape, Iterable[Flow]]]) -> dict[Flow, Shape]:
    """The shape of every flow that any of ``bends`` touches."""
    found: dict[Flow, Shape] = {}
    for shape, flows in bends:
        for flow in flows:
            found[flow] = found[flow].with_(shape) if flow in found else shape
    return found
