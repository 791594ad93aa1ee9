"""ANP both ways with unmodified SDK code: its clients ask a node of ours, our adapter asks its agent."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from anp import ANPClient
from anp.authentication import (
    DIDWbaAuthHeader,
    DidWbaVerifierConfig,
    create_did_wba_document,
    resolve_did_wba_document,
)
from anp.openanp import AgentConfig, RemoteAgent, anp_agent, interface
from anp.openanp.client import RpcError
from anp.openanp.middleware import create_auth_middleware
from anp.proof import verify_rfc9421_origin_proof
from anp.proof.rfc9421_origin import Rfc9421OriginProofVerificationOptions
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from fastapi import FastAPI

from protocols.adapter import Identity
from protocols.anp.adapter import AnpAdapter
from protocols.anp.direct import capabilities_params, send_params
from protocols.anp.hosts import did_of, host_of, url
from protocols.clock import civil_now
from protocols.errors import IdentityError, PeerRejectedError
from protocols.names import naming
from tests.protocols.anp_lab import HOST, NODES, AnpLab, lab_in, message

_FIRST, _SECOND, _THIRD = NODES


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[AnpLab]:
    """Three prepared nodes."""
    with lab_in(tmp_path) as made:
        yield made


def _files(lab: AnpLab, node: str) -> tuple[str, str]:
    folder = lab.workspace(node) / "anp"
    return str(folder / "did.json"), str(folder / "did.key")


def test_resolver_of_the_sdk_finds_our_node(lab: AnpLab) -> None:
    """The function that the SDK's verifier uses, without any option of ours."""

    async def scenario() -> None:
        first, second = await lab.node(_FIRST), await lab.node(_SECOND)
        with naming(first._names):
            found = await resolve_did_wba_document(did_of(_SECOND), verify_proof=True)
        assert found == second._identity.document

    lab.run(scenario())


def test_remote_agent_of_the_sdk_talks_to_our_node(lab: AnpLab) -> None:
    """Discovery, OpenRPC, signature and calls are those of ``RemoteAgent``; our node takes its message."""

    async def scenario() -> None:
        first, second = await lab.node(_FIRST), await lab.node(_SECOND)
        with naming(first._names):
            remote = await RemoteAgent.discover(url(_SECOND, "/agent/ad.json"), DIDWbaAuthHeader(*_files(lab, _FIRST)))
            assert (remote.name, remote.method_names) == (_SECOND, ("anp.get_capabilities", "direct.send"))
            found = await remote.call("anp.get_capabilities", **capabilities_params(civil_now()))
            assert found["service_did"] == did_of(_SECOND)
            receipt = await remote.call("direct.send", **send_params(first._identity, _SECOND, message(), civil_now()))
            assert receipt["accepted"] is True
            tampered = send_params(first._identity, _SECOND, message(), civil_now())
            tampered["body"]["payload"]["body"] = {"text": "another"}
            with pytest.raises(RpcError, match="2005"):
                await remote.call("direct.send", **tampered)
        assert await second.receive_message() == message()
        assert second.rejections["tampered"] == 1

    lab.run(scenario())


def test_client_of_the_sdk_signs_once_and_then_uses_our_token(lab: AnpLab) -> None:
    """``ANPClient`` takes the token from Authentication-Info; a restarted node challenges it, and it signs again."""

    async def scenario() -> None:
        first, second = await lab.node(_FIRST), await lab.node(_SECOND)
        client = ANPClient(*_files(lab, _FIRST))

        async def call() -> Any:
            return await client.call_jsonrpc(
                url(_SECOND, "/agent/rpc"), "anp.get_capabilities", capabilities_params(civil_now())
            )

        with naming(first._names):
            assert (await call())["success"]
            token = client.auth_client.tokens[host_of(_SECOND)]
            assert (await call())["success"]
            assert client.auth_client.tokens[host_of(_SECOND)] == token
            await second.close()
            await lab.node(_SECOND, incarnation=1000)
            assert (await call())["success"]
            assert client.auth_client.tokens[host_of(_SECOND)] != token
            unknown = await client.call_jsonrpc(url(_SECOND, "/agent/rpc"), "no.such.method", {})
        assert (unknown["success"], unknown["error"]["code"]) == (False, -32601)

    lab.run(scenario())


class _StockAgent:
    """An agent as the SDK's documentation builds it: ``@anp_agent`` behind the authentication middleware."""

    def __init__(self, lab: AnpLab, name: str, *, direct: bool = True, lies: Mapping[str, str] | None = None) -> None:
        self.taken: list[dict[str, Any]] = []
        self._lies = dict(lies or {})
        self._lab = lab
        self._name = name
        host = host_of(name)
        self._document, _ = create_did_wba_document(host, agent_description_url=f"https://{host}/bots/ad.json")
        self._app = FastAPI()
        self._app.include_router(self._agent(direct=direct).router())
        self._app.get("/.well-known/did.json")(self._did)
        self._app.middleware("http")(
            create_auth_middleware(_issuer(), ["/.well-known/did.json", "*/ad.json", "*/interface.json"])
        )

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """On the port of ``name``, with its certificate."""
        private = self._lab.workspace(self._name) / "anp"
        config = uvicorn.Config(
            self._app,
            HOST,
            self._lab.port(self._name),
            log_config=None,
            ws="none",
            ssl_certfile=private / "tls.pem",
            ssl_keyfile=private / "tls.key",
        )
        server = uvicorn.Server(config)
        # The agent resolves its callers' DIDs by the SDK's own means; they live in the lab.
        with naming(AnpAdapter(self._lab.context(_FIRST))._names):
            task = asyncio.create_task(server.serve())
        try:
            while not server.started:  # noqa: ASYNC110 - uvicorn tells by a flag
                await asyncio.sleep(0.005)
            yield
        finally:
            server.should_exit = True
            await task

    async def _did(self) -> dict[str, Any]:
        return dict(self._document)

    def _agent(self, *, direct: bool) -> Any:
        stock, did = self, self._document["id"]
        config = {key: value for key, value in self._lies.items() if key in ("name", "did")}
        service_did = self._lies.get("service_did", did)

        @anp_agent(AgentConfig(**{"name": self._name, "did": did, "prefix": "/bots"} | config))
        class Agent:
            @interface(name="anp.get_capabilities" if direct else "hello")  # type: ignore[untyped-decorator]
            async def capabilities(self, meta: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
                """What it can do."""
                del meta, body
                return {"service_did": service_did, "supported_profiles": ["anp.core.binding.v1", "anp.direct.base.v1"]}

            @interface(name="direct.send")  # type: ignore[untyped-decorator]
            async def send(self, meta: dict[str, Any], auth: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
                """Take a message."""
                sender = meta["sender_did"]
                verify_rfc9421_origin_proof(
                    auth["origin_proof"],
                    "direct.send",
                    meta,
                    body,
                    did_document=await resolve_did_wba_document(sender),
                    options=Rfc9421OriginProofVerificationOptions(expected_signer_did=sender),
                )
                stock.taken.append(body["payload"])
                return {"accepted": True, "message_id": meta["message_id"]}

        return Agent


def _issuer() -> DidWbaVerifierConfig:
    key = ec.generate_private_key(ec.SECP256R1())
    return DidWbaVerifierConfig(
        jwt_private_key=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        jwt_public_key=key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
        jwt_algorithm="ES256",
    )


def test_our_adapter_talks_to_a_stock_agent(lab: AnpLab) -> None:
    """Connect, probe and messages work with an agent of the SDK at other paths; it says no incarnation, so 0."""

    async def scenario() -> None:
        first, stock = await lab.node(_FIRST), _StockAgent(lab, _SECOND)
        async with stock.serving():
            assert await first.connect(_SECOND) == Identity(_SECOND, 0)
            await first.probe(_SECOND)
            await first.send_message(_SECOND, message(body={"text": "grüße"}))
            await first.disconnect(_SECOND)
        assert stock.taken == [message(body={"text": "grüße"}).model_dump(mode="json", exclude_defaults=True)]

    lab.run(scenario())


def test_agent_without_direct_messages_is_refused_by_connect(lab: AnpLab) -> None:
    """Not every ANP agent speaks the profile that carries our messages."""

    async def scenario() -> None:
        first, stock = await lab.node(_FIRST), _StockAgent(lab, _SECOND, direct=False)
        async with stock.serving():
            with pytest.raises(PeerRejectedError, match=r"expected direct\.send and anp\.get_capabilities"):
                await first.connect(_SECOND)
            await first.disconnect(_SECOND)

    lab.run(scenario())


@pytest.mark.parametrize("lie", [{"name": _THIRD}, {"did": did_of(_THIRD)}, {"service_did": did_of(_THIRD)}])
def test_agent_that_describes_itself_as_another_is_refused(lab: AnpLab, lie: dict[str, str]) -> None:
    """Host, certificate and DID document are right, but description or capabilities are those of somebody else."""

    async def scenario() -> None:
        first, stock = await lab.node(_FIRST), _StockAgent(lab, _SECOND, lies=lie)
        async with stock.serving():
            with pytest.raises(IdentityError, match=r"agent.3"):
                await first.connect(_SECOND)
            await first.disconnect(_SECOND)

    lab.run(scenario())
