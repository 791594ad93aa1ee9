"""Chaos over HTTP, for a lab in containers: takes orders from whoever has the token, and says what came of them."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from pydantic import JsonValue, ValidationError

from chaos.guard import Ward
from chaos.messages import AgentState, AgentStates, OrderMessage, Outcome, RecordedEvent
from chaos.schedule import Order
from chaos.storm import acting_on
from chaos.targets import Target
from chaos.telemetry import Telemetry
from protocols.clock import Clock
from protocols.errors import FaultError, LabError

MAX_BODY_BYTES = 128 * 1024
BODY_TIMEOUT_S = 5.0

AskAgents = Callable[[], Awaitable[dict[str, AgentState]]]
Say = Callable[[str], None]
"""Takes one line for the log."""


class Desk:
    """Carries out one order at a time."""

    def __init__(self, target: Target, clock: Clock, telemetry: Telemetry, say: Say, ward: Ward | None = None) -> None:
        """``ward`` heals what was ordered here when whoever orders falls silent."""
        self.ward = ward
        self._target = target
        self._clock = clock
        self._telemetry = telemetry
        self.say = say
        self._busy = asyncio.Lock()

    async def carry_out(self, message: OrderMessage) -> Outcome:
        """Do it now; raises FaultError for a refused order, LabError when the engine cannot be asked."""
        events: list[RecordedEvent] = []

        def record(ev: str, *, at: float | None = None, **fields: JsonValue) -> None:
            event = RecordedEvent(ev=ev, at=self._clock.now() if at is None else at, fields=fields)
            events.append(event)
            self._telemetry.observe(event.ev, event.at, event.fields)

        order = Order(self._clock.now(), message.fault, message.action, message.victims, message.parameters)
        what = f"{message.action} {message.fault} {' '.join(message.victims) or 'nobody'}"
        if self.ward is not None and message.action == "inject":
            self.ward.hurt()
        try:
            async with self._busy:
                await acting_on(self._target, record)(order)
        except (FaultError, LabError) as error:
            outcome = "refused" if isinstance(error, FaultError) else "failed"
            self._telemetry.count(message.action, outcome)
            self.say(f"{what}: {outcome}: {error}")
            raise
        reasons = [str(event.fields["reason"]) for event in events if event.ev == "fault_failed"]
        self._telemetry.count(message.action, "failed" if reasons else "done")
        self.say(f"{what}: {'; '.join(reasons) or 'done'}")
        return Outcome(events=tuple(events))


def application(run_id: str, desk: Desk, agents: AskAgents, token: str, registry: CollectorRegistry) -> FastAPI:
    """``/orders``, ``/lease`` and ``/agents`` with the token; ``/health`` and ``/metrics`` for everybody."""
    app = FastAPI(openapi_url=None)

    with_token = _gatekeeper(run_id, desk, token)

    @app.post("/orders", dependencies=[Depends(with_token)])
    async def take_order(message: Annotated[OrderMessage, Depends(_order)]) -> Outcome:
        try:
            return await desk.carry_out(message)
        except FaultError as error:
            raise HTTPException(409, str(error)) from error
        except LabError as error:
            raise HTTPException(503, str(error)) from error

    @app.post("/lease", dependencies=[Depends(with_token)], status_code=204)
    async def renew() -> None:
        """Whoever orders is still there."""

    @app.get("/agents", dependencies=[Depends(with_token)])
    async def tell_agents() -> AgentStates:
        try:
            return AgentStates(agents=await agents())
        except (FaultError, LabError) as error:
            raise HTTPException(503, str(error)) from error

    @app.get("/health")
    async def tell_health() -> dict[str, str]:
        return {"run": run_id}

    @app.get("/metrics")
    async def tell_metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return app


def _gatekeeper(run_id: str, desk: Desk, token: str) -> Callable[[Request], Awaitable[None]]:
    """Lets those in who have the token, and takes them for a sign of life of the orchestrator."""

    async def with_token(request: Request) -> None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        # In constant time: how long the comparison takes says nothing about the token.
        if not hmac.compare_digest(given.encode(), token.encode()) or scheme.lower() != "bearer":
            desk.say(f"{request.method} {request.url.path!r} without the token of run {run_id}: refused")
            raise HTTPException(
                401,
                f"expected the token of run {run_id}: orders come from its orchestrator",
                {"WWW-Authenticate": "Bearer"},
            )
        if desk.ward is not None:
            desk.ward.heard()

    return with_token


async def _order(request: Request) -> OrderMessage:
    """The order in the body, read within bounds.

    FastAPI itself would read and parse a body of any size before anybody asks for the token.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for part in request.stream():
                body += part
                if len(body) > MAX_BODY_BYTES:
                    raise HTTPException(413, f"expected an order of {MAX_BODY_BYTES} bytes at most, got more")
    except TimeoutError:
        raise HTTPException(408, f"expected the whole order within {BODY_TIMEOUT_S:g} s") from None
    try:
        return OrderMessage.model_validate_json(bytes(body))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "body"
        raise HTTPException(422, f"expected an order, got a mistake at {place}: {first['msg']}") from error
