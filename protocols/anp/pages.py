"""What a node shows to everybody: DID document, agent description and interface, by the SDK's own router."""

from typing import Any

from anp.openanp import AgentConfig, Information, RPCMethodInfo, create_agent_router
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from protocols.adapter import Identity
from protocols.anp.direct import CAPABILITIES, SEND
from protocols.anp.hosts import AD_PATH, DID_PATH, INTERFACE_PATH, PREFIX, host_of
from protocols.anp.identity import AnpIdentity
from protocols.skills import Skill

PATHS = (DID_PATH, AD_PATH, INTERFACE_PATH)

TOOLS = "Tools"
"""The type of the information in ad.json that lists a node's tools."""

_INFORMATIONS = "Infomations"  # as the SDK spells it
_OBJECT = {"type": "object"}


class Pages:
    """An ASGI application. A page says the same for all of a life, so each is made once, when it is first asked for."""

    def __init__(self, me: Identity, identity: AnpIdentity, skills: tuple[Skill, ...]) -> None:
        self._me = me
        self._skills = skills
        self._host = host_of(me.node_id).encode()
        self._router = self._application(identity)
        self._made: dict[str, list[Any]] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send the page as it was made, or let the SDK's router make it."""
        path = scope["path"]
        # The SDK writes the host that it was asked by into its pages.
        plain = path in PATHS and scope["method"] == "GET" and dict(scope["headers"]).get(b"host") == self._host
        if not plain:
            await self._router(scope, receive, send)
            return
        if path not in self._made:
            events: list[Any] = []

            async def record(event: Any) -> None:
                events.append(event)

            await self._router(scope, receive, record)
            self._made[path] = events
        for event in self._made[path]:
            await send(event)

    def customize_ad(self, document: dict[str, Any], _base_url: str) -> dict[str, Any]:
        """The SDK's hook into ad.json: which life of the agent this is, and its tools as an MCP list.

        They are no methods of the interface: a tool is asked for by a direct message, as over every other protocol.
        """
        told = {**document, "incarnation": self._me.incarnation}
        if self._skills:
            listed = {"tools": [skill.listed() for skill in self._skills]}
            tools = Information(TOOLS, "Tools to be asked for by direct.send", mode="content", content=listed)
            told[_INFORMATIONS] = [tools.to_dict()]
        return told

    def _application(self, identity: AnpIdentity) -> FastAPI:
        app = FastAPI(openapi_url=None)
        description = "A Fail-Storm agent" + (
            f" for {', '.join(skill.name for skill in self._skills)}" if self._skills else ""
        )
        config = AgentConfig(self._me.node_id, identity.did, description, PREFIX)
        methods = [
            RPCMethodInfo(CAPABILITIES, "What this agent supports (P1)", _params("meta", "body"), _OBJECT),
            RPCMethodInfo(SEND, "Take a signed direct message (P3)", _params("meta", "auth", "body"), _OBJECT),
        ]
        app.include_router(create_agent_router(config, methods, self))

        @app.get(DID_PATH)
        async def did() -> JSONResponse:
            return JSONResponse(identity.document)

        return app


def _params(*names: str) -> dict[str, Any]:
    return {"type": "object", "properties": dict.fromkeys(names, _OBJECT), "required": list(names)}
