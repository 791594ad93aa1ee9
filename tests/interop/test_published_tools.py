"""What a node publishes of its tools, fetched by each SDK's own client, is enough to ask for a step."""

import json
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from a2a.client import A2ACardResolver
from a2a.extensions.common import find_extension_by_uri
from acp_sdk.client import Client
from anp import ANPClient
from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from agent.fragments import Fragment
from agent.tools import REGISTRY
from protocols.a2a.adapter import A2AAdapter
from protocols.a2a.codec import TOOLS_EXTENSION
from protocols.acp.adapter import AcpAdapter
from protocols.acp.server import TOOLS as ACP_TOOLS
from protocols.adapter import AdapterContext, BaseProtocolAdapter, Endpoint, Identity
from protocols.anp.adapter import AnpAdapter
from protocols.anp.hosts import url
from protocols.anp.pages import TOOLS as ANP_TOOLS
from protocols.clock import MonotonicClock
from protocols.names import naming
from protocols.wire import ByteCounter
from tests.ports import reserved_port
from tests.protocols.anp_lab import NODES, lab_in

from .acp_ends import HOST, run

SKILLS = tuple(tool.skill for tool in REGISTRY.values())
QUESTION = "On which river lies the birthplace of the designer of the Aurora Bridge?"
FRAGMENTS = {
    title: Fragment(fragment_id=title, title=title, text=text)
    for title, text in (
        ("Aurora Bridge", "The bridge was designed by Mira Holt."),
        ("Mira Holt", "Holt was born in Karsund."),
        ("Karsund", "The Nive River runs through the city."),
    )
}

Fetch = Callable[[AdapterContext, str], Coroutine[Any, Any, Any]]


async def lookup(title: str) -> Fragment | None:
    """The whole document in one place."""
    return FRAGMENTS.get(title)


async def of_a2a(_: AdapterContext, address: str) -> Any:
    """By the SDK's resolver of cards."""
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        card = await A2ACardResolver(client, address).get_agent_card()
    assert [(skill.name, skill.description) for skill in card.skills] == [(one.name, one.description) for one in SKILLS]
    extension = find_extension_by_uri(card, TOOLS_EXTENSION)
    assert extension is not None
    return MessageToDict(extension.params)["tools"]


async def of_acp(context: AdapterContext, address: str) -> Any:
    """By the SDK's client."""
    async with Client(base_url=address, timeout=20) as client:
        manifest = await client.agent(name=context.identity.node_id.replace("_", "-"))
    known = [(one.name, one.description) for one in manifest.metadata.capabilities or ()]
    assert known == [(one.name, one.description) for one in SKILLS]
    assert manifest.metadata.annotations is not None
    return (manifest.metadata.annotations.model_extra or {})[ACP_TOOLS]


@pytest.fixture
def port() -> Iterator[int]:
    """Of the node that publishes."""
    with reserved_port() as number:
        yield number


@pytest.mark.parametrize(("adapter_class", "fetch"), [(A2AAdapter, of_a2a), (AcpAdapter, of_acp)])
def test_tools_are_published_in_card_and_manifest(
    adapter_class: type[BaseProtocolAdapter], fetch: Fetch, port: int
) -> None:
    """A2A's extension and ACP's annotation list the tools, and the schemas are those of the real steps."""

    async def scenario() -> None:
        context = AdapterContext(
            Identity("agent_2", 3),
            lambda _: Endpoint(HOST, port),
            MonotonicClock(),
            ByteCounter(),
            Path(),
            skills=SKILLS,
        )
        node = adapter_class(context)
        await node.start()
        try:
            await assert_enough(await fetch(context, f"http://{HOST}:{port}"))
        finally:
            await node.close()

    run(scenario)


def test_tools_are_published_in_the_agent_description(tmp_path: Path) -> None:
    """ANP's ad.json lists them among its information; the interface stays that of the protocol's own methods."""
    with lab_in(tmp_path) as lab:

        async def scenario() -> None:
            first = await lab.node(NODES[0])
            await lab.start(AnpAdapter(replace(lab.context(NODES[1]), skills=SKILLS)))
            files = [str(lab.workspace(NODES[0]) / "anp" / name) for name in ("did.json", "did.key")]
            with naming(first._names):
                found = await ANPClient(*files).fetch(url(NODES[1], "/agent/ad.json"))
            assert found["success"], found
            informations = found["data"]["Infomations"]
            await assert_enough(next(one["content"]["tools"] for one in informations if one["type"] == ANP_TOOLS))

        lab.run(scenario())


async def assert_enough(listed: list[dict[str, Any]]) -> None:
    """The list is MCP's; each tool's real requests and results satisfy its schemas, and another's do not."""
    assert listed == json.loads(json.dumps([skill.listed() for skill in SKILLS]))
    state: dict[str, Any] = {"question": QUESTION}
    for told, tool in zip(listed, REGISTRY.values(), strict=True):
        assert told.keys() == {"name", "description", "inputSchema", "outputSchema"}
        takes, gives = Draft202012Validator(told["inputSchema"]), Draft202012Validator(told["outputSchema"])
        request = tool.next_input(state)
        result = await tool.execute(request, lookup)
        takes.validate(request)
        gives.validate(result)
        for nonsense in ({}, {**request, "question": 7}, {**request, "more": 1}):
            assert not takes.is_valid(nonsense), nonsense
        assert not gives.is_valid(request)
        state = tool.advance(state, result)
    assert state["answer"] == "Nive River"
