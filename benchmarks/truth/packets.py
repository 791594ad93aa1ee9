"""Reads a capture with tshark: one plain record for each TCP segment."""

import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from protocols.errors import LabError

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
_FIELDS = ("frame.time_epoch", "tcp.srcport", "tcp.dstport", "tcp.seq", "tcp.len", "tcp.flags")
# tshark is to say what each segment says of itself; what belongs together is counted here, from sequence numbers.
_PREFERENCES = (
    "tcp.relative_sequence_numbers:FALSE",
    "tcp.analyze_sequence_numbers:FALSE",
    "tcp.desegment_tcp_streams:FALSE",
)


class Packet(NamedTuple):
    """One TCP segment as it passed the loopback interface."""

    unix_s: float
    """When the kernel handed it over, Unix seconds."""
    source: int
    destination: int
    """Ports."""
    sequence: int
    """Of its first byte, modulo 2^32."""
    size: int
    """Payload bytes."""
    flags: int


def read(file: Path) -> list[Packet]:
    """All segments of a capture, in the order of their capture; raises LabError when tshark cannot read it."""
    command = ["tshark", "-Q", "-r", str(file), "-n", "-T", "fields"]
    command += [part for preference in _PREFERENCES for part in ("-o", preference)]
    command += [part for field in _FIELDS for part in ("-e", field)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a command of our own
    if done.returncode != 0:
        raise LabError(f"expected tshark to read {file}, got: {done.stderr.strip()}; try it by hand: tshark -r {file}")
    return list(parse(done.stdout.splitlines()))


def parse(lines: Iterable[str]) -> Iterator[Packet]:
    """The segments in tshark's output, one line each, fields separated by tabs; raises LabError for any other line."""
    for line in lines:
        try:
            time, source, destination, sequence, size, flags = line.split("\t")
            yield Packet(float(time), int(source), int(destination), int(sequence), int(size), int(flags, 16))
        except ValueError:
            wanted = f"expected {len(_FIELDS)} numbers a line from tshark"
            raise LabError(f"{wanted}, got {line!r}; see its version") from None
