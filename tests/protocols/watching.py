"""A watch under way, for tests."""

import asyncio

from protocols.adapter import BaseProtocolAdapter, Broken


class Watch:
    """``adapter`` watches ``peer`` from now on."""

    def __init__(self, adapter: BaseProtocolAdapter, peer: str) -> None:
        self.told: list[Broken] = []
        self.task = asyncio.create_task(adapter.watch(peer, self.told.append))

    async def evidence(self) -> Broken:
        """What it has told when it is over, once."""
        await self.task
        (broken,) = self.told
        return broken
