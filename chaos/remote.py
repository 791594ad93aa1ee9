"""Chaos in another container: sends each order to the chaos service and records what it answers."""

import contextlib
from dataclasses import dataclass
from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from chaos.faults import Record
from chaos.messages import AgentState, AgentStates, OrderMessage, Outcome
from chaos.schedule import Order
from chaos.storm import marked
from protocols.clock import Clock
from protocols.errors import FaultError, LabError

ORDER_TIMEOUT_S = 60.0
"""Longer than everything that the service itself waits for."""
ASK_TIMEOUT_S = 15.0
_CONNECT_TIMEOUT_S = 2.0
_POLL_S = 0.1

Answer = TypeVar("Answer", bound=BaseModel)


@dataclass(frozen=True)
class RemoteChaos:
    """One run's chaos service at ``url``; ``record`` gets its events, with the service's own times."""

    http: httpx.AsyncClient
    url: str
    token: str
    record: Record
    clock: Clock

    async def wait_ready(self, timeout_s: float) -> None:
        """Return when the service answers and takes the token; raises LabError."""
        deadline = self.clock.now() + timeout_s
        while True:
            try:
                await self.http.get(f"{self.url}/health", timeout=_CONNECT_TIMEOUT_S)
                break
            except httpx.TransportError as error:
                if self.clock.now() >= deadline:
                    raise LabError(
                        f"expected chaos to serve {self.url} within {timeout_s:g} s, it does not; see its log"
                    ) from error
                await self.clock.sleep(_POLL_S)
        await self.agents()

    async def act(self, order: Order) -> None:
        """Have ``order`` carried out now: the ``act`` of ``chaos.storm.carry_out``.

        Raises FaultError when it is refused, LabError when chaos or its engine does not answer.
        """
        message = OrderMessage(
            action=order.action, fault=order.fault, victims=order.victims, parameters=order.parameters
        )
        outcome = await self._ask("POST", "/orders", message, Outcome, ORDER_TIMEOUT_S)
        record = marked(self.record, order)
        for event in outcome.events:
            record(event.ev, at=event.at, **event.fields)

    async def renew(self) -> None:
        """Tell chaos that whoever orders is still there; an answer that does not come is nobody's concern."""
        with contextlib.suppress(httpx.TransportError):
            await self.http.post(
                f"{self.url}/lease", headers={"Authorization": f"Bearer {self.token}"}, timeout=_CONNECT_TIMEOUT_S
            )

    async def agents(self) -> dict[str, AgentState]:
        """What the engine says about every agent of the run; raises LabError."""
        return (await self._ask("GET", "/agents", None, AgentStates, ASK_TIMEOUT_S)).agents

    async def _ask(
        self, method: str, path: str, message: BaseModel | None, expected: type[Answer], timeout_s: float
    ) -> Answer:
        try:
            answer = await self.http.request(
                method,
                f"{self.url}{path}",
                content=None if message is None else message.model_dump_json(),
                headers={"Authorization": f"Bearer {self.token}"},
                timeout=httpx.Timeout(timeout_s, connect=_CONNECT_TIMEOUT_S),
            )
        except httpx.TransportError as error:
            raise LabError(
                f"expected chaos to answer {method} {path}, got {type(error).__name__}; see its log"
            ) from error
        if answer.status_code == httpx.codes.CONFLICT:
            raise FaultError(_detail(answer))
        if answer.status_code != httpx.codes.OK:
            raise LabError(f"expected chaos to take {method} {path}, it said {answer.status_code}: {_detail(answer)}")
        try:
            return expected.model_validate_json(answer.content)
        except ValidationError as error:
            raise LabError(f"expected chaos to answer {method} {path} in its own words, got something else") from error


class _Refusal(BaseModel):
    detail: str


def _detail(answer: httpx.Response) -> str:
    try:
        return _Refusal.model_validate_json(answer.content).detail
    except ValidationError:
        return "without a reason"
