"""A small OpenAI-compatible endpoint of our own, to be run as a process: an echo model with faults at the switch.

Its model is no language model: it reads the numbered statements back out of the prompt, chains those of the lexicon by
the lab's own rules, and echoes the subject of the first one of any other kind. As a judge it finds an answer the same
that has the last word of the key: ``python -m tests.models.endpoint FD``, a listening socket
"""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from agent.tools.contract import Triple
from agent.tools.reason import ReasonInput, conclude

_STATEMENT = re.compile(r"^(\d+)\. (.*)$", re.MULTILINE)
_KEY_AND_ANSWER = re.compile(r"^Key: (.*)\nAnswer: (.*)$", re.MULTILINE)
_QUESTION = re.compile(r"^Question: (.*)$", re.MULTILINE)


class Endpoint:
    """The application's state: which faults come next, and what was seen."""

    def __init__(self) -> None:
        self.faults: list[dict[str, Any]] = []
        self.always: dict[str, Any] | None = None
        self.requests = 0
        self.running = 0
        self.most_running = 0
        self.authorised = 0

    async def complete(self, request: Request) -> Response:
        """``POST /v1/chat/completions``."""
        body = await request.json()
        self.requests += 1
        self.authorised += request.headers.get("authorization", "").startswith("Bearer ")
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            fault = self.faults.pop(0) if self.faults else self.always
            return await _answer(body, fault or {"kind": "none"})
        finally:
            self.running -= 1

    async def switch(self, request: Request) -> Response:
        """``POST /faults``: the next ones in their order, and what comes always after them."""
        order = await request.json()
        self.faults, self.always = list(order.get("next", [])), order.get("always")
        self.requests = self.most_running = self.authorised = 0
        return JSONResponse({})

    async def seen(self, _: Request) -> Response:
        """``GET /seen``: counts since the last switch."""
        return JSONResponse(
            {"requests": self.requests, "most_running": self.most_running, "authorised": self.authorised}
        )


async def _answer(body: dict[str, Any], fault: dict[str, Any]) -> Response:
    match fault["kind"]:
        case "status":
            headers = {"Retry-After": fault["retry_after"]} if "retry_after" in fault else {}
            return JSONResponse({"error": {"message": "no"}}, fault["status"], headers)
        case "hang":
            await asyncio.sleep(fault.get("s", 3600))
        case "cut":
            return StreamingResponse(_cut(), headers={"Content-Length": "1000"}, media_type="application/json")
        case "garbled":
            return Response('{"choices": [', media_type="application/json")
        case "other":
            return JSONResponse(fault["body"])
        case "prose":
            return JSONResponse(completion(body, "I would rather not say."))
    return JSONResponse(completion(body, json.dumps(think(body["messages"][-1]["content"]))))


async def _cut() -> AsyncIterator[bytes]:
    yield b'{"choices": [{"mess'
    await asyncio.sleep(0.02)
    raise ConnectionAbortedError


def completion(body: dict[str, Any], content: str) -> dict[str, Any]:
    """What the interface of OpenAI wraps around an answer; tokens are words here."""
    prompt = sum(len(message["content"].split()) for message in body["messages"])
    said = len(content.split())
    return {
        "id": "echo",
        "object": "chat.completion",
        "created": 0,
        "model": body["model"],
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}],
        "usage": {"prompt_tokens": prompt, "completion_tokens": said, "total_tokens": prompt + said},
    }


def think(prompt: str) -> dict[str, Any]:
    """Answer and evidence, from the prompt alone."""
    judged = _KEY_AND_ANSWER.search(prompt)
    if judged is not None:
        return {"same": judged[1].split()[-1] in judged[2]}
    question = _QUESTION.findall(prompt)[-1]
    triples = []
    for number, statement in _STATEMENT.findall(prompt):
        parts = statement.split(" | ")
        if len(parts) == 3:
            triples.append(Triple(subject=parts[0], relation=parts[1], object=parts[2], fragment_id=number))
        else:
            return {"answer": statement.partition(":")[0], "evidence": [int(number)]}
    found = conclude(ReasonInput(question=question, triples=tuple(triples)))
    return {"answer": found.answer, "evidence": [int(triple.fragment_id) for triple in found.chain]}


def application() -> Starlette:
    """The endpoint."""
    endpoint = Endpoint()
    return Starlette(
        routes=[
            Route("/v1/chat/completions", endpoint.complete, methods=["POST"]),
            Route("/faults", endpoint.switch, methods=["POST"]),
            Route("/seen", endpoint.seen),
        ]
    )


if __name__ == "__main__":
    uvicorn.run(application(), fd=int(sys.argv[1]), log_level="critical", loop="asyncio", http="h11")
