"""The agent's admin port: status and metrics to read, the orchestrator's orders around the run, and its lease.

Nothing here tells an agent who died or makes it recover.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, HTTPException, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, ConfigDict

from agent.telemetry import Telemetry


class Start(BaseModel):
    """The start instant, monotonic seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    t0: float


def application(
    telemetry: Telemetry,
    status: Callable[[], dict[str, Any]],
    check_links: Callable[[], Awaitable[list[tuple[str, str]]]],
    start: Callable[[float], bool],
    renew: Callable[[], None],
    stop: Callable[[], None],
) -> FastAPI:
    """``GET /status``, ``GET /metrics``, ``POST /links`` (make and check all links), ``POST /start``.

    ``POST /lease`` says that the orchestrator lives, ``POST /stop`` that the run is over; it may cut its own answer.
    """
    app = FastAPI(openapi_url=None)

    @app.get("/status")
    async def read_status() -> dict[str, Any]:
        return status()

    @app.get("/metrics")
    async def read_metrics() -> Response:
        return Response(telemetry.exposition(), media_type=CONTENT_TYPE_LATEST)

    @app.post("/links")
    async def make_links() -> dict[str, Any]:
        return {"failed": await check_links()}

    @app.post("/start")
    async def take_start(order: Start) -> dict[str, Any]:
        if not start(order.t0):
            raise HTTPException(409, "expected the document before the start, it has not been stored; broadcast first")
        return {}

    @app.post("/lease")
    async def renew_lease() -> dict[str, Any]:
        renew()
        return {}

    @app.post("/stop")
    async def take_stop() -> dict[str, Any]:
        stop()
        return {}

    return app
