"""A Prometheus on loopback that saw a made-up storm exactly as its journal has it, and may be told to misbehave."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

from orchestrator.evidence import Evidence
from orchestrator.telemetry.checks import Scraped
from orchestrator.telemetry.tally import Tally
from protocols.serving import AsgiServer

OFFSET_S = 1_000_000.0
_TOO_LONG_S = 60.0
Answer = tuple[int, bytes]
Reply = Callable[[str, Mapping[str, str]], Any]
"""(API path, parameters) → the ``data`` of the answer, or an :data:`Answer` as it goes over the wire."""


def scraped_of(tally: Tally, evidence: Evidence, interval_s: float = 1.0) -> Scraped:
    """What a flawless Prometheus has of a run; agents are scraped at whole seconds, to the last."""
    end = evidence.storm_at + evidence.end_s
    nodes = [member.node_id for member in evidence.agents]
    ends = {node: float(int(min(tally.killed.get(node, end), end))) for node in nodes}
    instants = [float(second) for second in range(int(evidence.t0) - 1, int(end) + 2)]
    seen: dict[str, dict[tuple[str, ...], float]] = {"bytes": {}, "tasks": {}}
    for (what, label), curves in tally.curves.items():
        for (node, life), curve in curves.items():
            seen[what][node, life, label] = curve.value(ends[node])
    graded = {"correct": 0.0, "wrong": 0.0, "expired": 0.0}
    for task in evidence.tasks:
        graded["correct" if task.success else "wrong" if task.commits else "expired"] += task.decided
    alive = [(at + OFFSET_S, float(sum(tally.is_up(node, at) for node in nodes))) for at in instants]
    return Scraped(
        interval_s=interval_s,
        unix_offset_s=OFFSET_S,
        last_scrape={(node, "0"): ends[node] + OFFSET_S for node in nodes},
        scrape_s=dict.fromkeys(nodes, 0.01),
        bytes=seen["bytes"],
        tasks=seen["tasks"],
        graded=graded,
        killed={node: at + OFFSET_S for node, at in tally.killed.items()},
        up={node: [(at + OFFSET_S, float(tally.is_up(node, at))) for at in instants] for node in nodes},
        alive=alive,
    )


def truthful(scraped: Scraped, run: str) -> Reply:
    """Answers every question of the export out of ``scraped``."""
    targets = {"activeTargets": [{"labels": {"run": run}, "scrapeInterval": "1s", "health": "up"}]}
    lives = [({"node": node, "life": life}, [(at, 1.0)]) for (node, life), at in scraped.last_scrape.items()]
    # What a query is about → its answer; the first that fits.
    answers: dict[str, Any] = {
        "__name__": _vector(_last_values(run)),
        "agent_info": _matrix(lives),
        "graded": _vector([({"outcome": outcome}, value) for outcome, value in scraped.graded.items()]),
        "scrape_duration": _vector([({"node": node}, value) for node, value in scraped.scrape_s.items()]),
        "kill_timestamp": _vector([({"victim": node}, value) for node, value in scraped.killed.items()]),
        "bytes_total": _counters(scraped.bytes, "traffic"),
        "tasks_total": _counters(scraped.tasks, "outcome"),
        "agents_alive": _matrix([({}, scraped.alive)]),
        "up{": _matrix([({"node": node}, samples) for node, samples in scraped.up.items()]),
    }

    def reply(path: str, parameters: Mapping[str, str]) -> Any:
        if path == "targets":
            return targets
        query = parameters["query"]
        if path == "query_range":
            ends = [(float(parameters["start"]), 1.0), (float(parameters["end"]), 2.0)]
            return _matrix([({"traffic" if "traffic" in query else "bound": "task"}, ends)])
        return next(answer for about, answer in answers.items() if about in query)

    return reply


def _last_values(run: str) -> list[tuple[dict[str, str], float]]:
    about = {"run": run, "instance": "any"}
    return [
        ({"__name__": "failstorm_agents", "job": "orchestrator", **about}, 8.0),
        ({"__name__": "failstorm_success_ratio", "job": "orchestrator", **about}, float("nan")),
        ({"__name__": "failstorm_bytes_total", "job": "agent", "node": "agent_1", "traffic": "task", **about}, 5.0),
        ({"__name__": "failstorm_bytes_total", "job": "agent", "node": "agent_2", "traffic": "task", **about}, 6.0),
        ({"__name__": "failstorm_retries_total", "job": "agent", "node": "agent_2", **about}, 2.0),
        ({"__name__": "failstorm_retries_total", "job": "orchestrator", **about}, 3.0),
        ({"__name__": "failstorm_idle_total", "job": "agent", **about}, 0.0),
    ]


def _vector(rows: Sequence[tuple[Mapping[str, str], float]]) -> dict[str, Any]:
    return {"resultType": "vector", "result": [{"metric": dict(labels), "value": [1, str(v)]} for labels, v in rows]}


def _matrix(rows: Sequence[tuple[Mapping[str, str], Sequence[tuple[float, float]]]]) -> dict[str, Any]:
    result = [{"metric": dict(labels), "values": [[t, str(v)] for t, v in values]} for labels, values in rows]
    return {"resultType": "matrix", "result": result}


def _counters(rows: Mapping[tuple[str, ...], float], label: str) -> dict[str, Any]:
    return _vector([({"node": node, "life": life, label: of}, value) for (node, life, of), value in rows.items()])


def miscounting(scraped: Scraped, share: float) -> Scraped:
    """The same, but the agents' byte counters saw only this share."""
    return replace(scraped, bytes={key: value * share for key, value in scraped.bytes.items()})


@asynccontextmanager
async def serving(reply: Reply, slow: str | None = None) -> AsyncIterator[str]:
    """Serve the API; yields the address. The path ``slow`` is answered too late for anybody."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        path = scope["path"].removeprefix("/api/v1/")
        if path == slow:
            await asyncio.sleep(_TOO_LONG_S)
        data = reply(path, dict(parse_qsl(scope["query_string"].decode())))
        status, body = data if isinstance(data, tuple) else (200, _success(data))
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    listener = socket.create_server(("127.0.0.1", 0))
    server = AsgiServer(app, listener)
    await server.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        await server.close()


def _success(data: Any) -> bytes:
    return json.dumps({"status": "success", "data": data}).encode()
