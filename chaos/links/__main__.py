"""``python -m chaos.links``: the proxy as a process, which lives as long as its standard input is open.

It reads JSON lines: first the listeners (inherited descriptors), then, again and again, the shapes that are to hold;
each is answered by a line once it holds. It remembers nothing: a new process bends nothing.
"""

import asyncio
import json
import os
import socket
import sys
from random import Random
from typing import Any

from chaos.links.proxy import Proxy, Weather
from chaos.links.shape import Flow, Shape
from protocols.clock import MonotonicClock


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader(limit=2**24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), os.fdopen(0, "rb"))
    head: dict[str, Any] = json.loads(await orders.readline())
    weather = Weather()
    proxy = Proxy(weather, MonotonicClock(), Random(head["seed"]))  # noqa: S311 - a storm's chance, not a secret
    for source, destination, descriptor, host, port in head["listeners"]:
        await proxy.listen((source, destination), socket.socket(fileno=descriptor), host, port)
    _answer()
    while line := await orders.readline():
        shapes: dict[Flow, Shape] = {(source, dest): Shape(**shape) for source, dest, shape in json.loads(line)}
        weather.change(shapes)
        await proxy.reset_struck()
        _answer()
    await proxy.close()


def _answer() -> None:
    sys.stdout.write("done\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_serve())
