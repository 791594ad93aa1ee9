"""ANP: identities, keys and the handshake, beyond what every protocol must do."""

import json
import ssl
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from anp.authentication import resolve_did_document
from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from protocols.adapter import Identity
from protocols.anp.adapter import AnpAdapter
from protocols.anp.hosts import did_of, host_of, node_at, node_of, url
from protocols.errors import ConfigError, IdentityError, LabError, PeerRejectedError
from protocols.message import Traffic
from protocols.names import naming
from protocols.wire import Row, classify

from .anp_lab import NODES, AnpLab, bearer, encoded, lab_in, message, post, signed

_FIRST, _SECOND, _THIRD = NODES


class _Impostor(AnpAdapter):
    """Serves with the certificate of another node."""

    @classmethod
    def serving_tls(cls, workspace: Path) -> ssl.SSLContext:
        return super().serving_tls(workspace.with_name(_THIRD))


def test_names_and_dids_translate_both_ways() -> None:
    """A node's DID is known from its name, and back; other hosts are not of the lab."""
    assert host_of("agent_12") == "agent-12.failstorm.test"
    assert did_of("agent_12") == "did:wba:agent-12.failstorm.test"
    assert node_of(did_of("agent_12")) == node_at(host_of("agent_12")) == "agent_12"
    for foreign in (
        "did:wba:example.org",
        "did:web:agent-1.failstorm.test",
        "did:wba:agent_1.failstorm.test",
        "agent_1",
    ):
        assert node_of(foreign) is None
    assert node_of(did_of("a") + ":agents:e1_x") is None


@pytest.mark.parametrize("name", ["Agent", "agent.1", "agent-1", "_agent", "", "a" * 64])
def test_name_that_makes_no_host_is_refused_before_the_run(tmp_path: Path, name: str) -> None:
    """The user hears of it before anything starts, and nothing was written."""
    with pytest.raises(ConfigError, match="rename it"):
        AnpAdapter.prepare(tmp_path, {"agent_1": tmp_path / "1", name: tmp_path / "2"})
    assert not list(tmp_path.iterdir())


def test_certificates_are_for_one_host_each_and_of_one_authority(lab: AnpLab) -> None:
    """Each workspace has a certificate for its own node; the authority's key is nowhere."""
    authority = (lab.folder / "ca" / "ca.pem").read_bytes()
    issuer = x509.load_pem_x509_certificate(authority)
    for node in NODES:
        folder = lab.workspace(node) / "anp"
        assert (folder / "ca.pem").read_bytes() == authority
        certificate = x509.load_pem_x509_certificate((folder / "tls.pem").read_bytes())
        certificate.verify_directly_issued_by(issuer)
        names = certificate.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
        assert isinstance(names, x509.SubjectAlternativeName)
        assert names.get_values_for_type(x509.DNSName) == [host_of(node)]
        assert certificate.not_valid_before_utc < datetime.now(UTC) < certificate.not_valid_after_utc
    keys = sorted(path.relative_to(lab.folder) for path in lab.folder.rglob("*.key"))
    assert keys == [Path("workspaces") / node / "anp" / "tls.key" for node in NODES]


def test_private_keys_stay_in_the_workspace_for_their_owner_only(lab: AnpLab) -> None:
    """Keys have mode 0600 in a folder of mode 0700, also when prepared again over lax files."""
    lax = lab.workspace(_FIRST) / "anp" / "tls.key"
    lax.chmod(0o644)
    AnpAdapter.prepare(lab.folder, {name: lab.workspace(name) for name in NODES})
    AnpAdapter(lab.context(_FIRST))
    folder = lab.workspace(_FIRST) / "anp"
    for key in ("tls.key", "did.key"):
        assert stat.S_IMODE((folder / key).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    secret = (folder / "did.key").read_bytes().splitlines()[1]
    readable = [path for path in lab.folder.rglob("*") if path.is_file() and secret in path.read_bytes()]
    assert readable == [folder / "did.key"]


def test_identity_is_made_once_and_kept_over_restarts(lab: AnpLab) -> None:
    """A restarted node is who it was."""
    first, second = AnpAdapter(lab.context(_FIRST)), AnpAdapter(lab.context(_FIRST, 1000))
    assert first._identity.document == second._identity.document
    assert first._identity.key.private_bytes_raw() == second._identity.key.private_bytes_raw()
    assert first._identity.did == did_of(_FIRST)


def test_node_without_certificate_says_what_to_call(tmp_path: Path) -> None:
    """The lab forgot to prepare."""
    with lab_in(tmp_path) as lab:
        (lab.workspace(_FIRST) / "anp" / "tls.pem").unlink()
        with pytest.raises(LabError, match=r"call AnpAdapter\.prepare"):
            AnpAdapter(lab.context(_FIRST))


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1]", b'{"id": 1, "authentication": []}'])
def test_damaged_identity_is_an_error_of_the_lab(lab: AnpLab, damage: bytes) -> None:
    """A node does not make itself a new identity behind its peers' backs."""
    AnpAdapter(lab.context(_FIRST))
    (lab.workspace(_FIRST) / "anp" / "did.json").write_bytes(damage)
    with pytest.raises(LabError, match=r"identity|DID document"):
        AnpAdapter(lab.context(_FIRST))


def test_workspace_of_another_node_is_refused(lab: AnpLab) -> None:
    """Nobody becomes somebody else by looking into another folder."""
    AnpAdapter(lab.context(_FIRST))
    with pytest.raises(LabError, match=f"DID document of {_SECOND}"):
        AnpAdapter(lab.context(_SECOND, workspace=_FIRST))


def test_connect_names_the_incarnation(lab: AnpLab) -> None:
    """Which life of a node answers is part of its agent description."""

    async def scenario() -> None:
        first = await lab.node(_FIRST)
        second = await lab.node(_SECOND, incarnation=1)
        assert await first.connect(_SECOND) == Identity(_SECOND, 1)
        await second.close()
        await lab.node(_SECOND, incarnation=1000)
        assert await first.connect(_SECOND) == Identity(_SECOND, 1000)

    lab.run(scenario())


def test_document_is_served_by_the_node_itself_over_tls(lab: AnpLab) -> None:
    """The SDK's resolver finds it under the DID's own host, with a proof that verifies."""

    async def scenario() -> None:
        first, second = await lab.node(_FIRST), await lab.node(_SECOND)
        with naming(first._names):
            found = await resolve_did_document(did_of(_SECOND), verify_proof=True)
        assert found == second._identity.document
        assert [entry["type"] for entry in found["service"]] == ["AgentDescription", "ANPMessageService"]

    lab.run(scenario())


def test_process_with_the_address_but_not_the_certificate_is_refused(lab: AnpLab) -> None:
    """Whoever took over a dead node's port fails the TLS handshake, by every call."""

    async def scenario() -> None:
        first, impostor = await lab.node(_FIRST), _Impostor(lab.context(_SECOND))
        await lab.start(impostor)
        with pytest.raises(IdentityError, match="certificate"):
            await first.connect(_SECOND)
        with pytest.raises(IdentityError, match="certificate"):
            await first.probe(_SECOND)
        with pytest.raises(PeerRejectedError, match="certificate"):
            await first.send_message(_SECOND, message())

    lab.run(scenario())


def test_document_of_another_identity_is_refused(lab: AnpLab) -> None:
    """A right certificate with the DID document of somebody else is no identity."""

    async def scenario() -> None:
        first, mixed_up = await lab.node(_FIRST), AnpAdapter(lab.context(_SECOND))
        mixed_up._identity.document.update(id=did_of(_THIRD))
        await lab.start(mixed_up)
        with pytest.raises(IdentityError, match="got that of"):
            await first.connect(_SECOND)

    lab.run(scenario())


def test_document_changed_after_its_proof_is_refused(lab: AnpLab) -> None:
    """The document's own proof covers all of it, service endpoints included."""

    async def scenario() -> None:
        first, changed = await lab.node(_FIRST), AnpAdapter(lab.context(_SECOND))
        changed._identity.document["service"][0]["serviceEndpoint"] = url(_THIRD, "/agent/ad.json")
        await lab.start(changed)
        with pytest.raises(IdentityError, match="does not verify"):
            await first.connect(_SECOND)

    lab.run(scenario())


def test_handshake_signs_and_then_carries_a_token(lab: AnpLab) -> None:
    """The signed call costs the callee a look at the caller's document; calls with the token cost it nothing."""

    def dialled(rows: list[Row]) -> set[tuple[str | None, str]]:
        return {(row[1], row[2]) for row in rows if row[0] == "client"}

    async def scenario() -> None:
        first, second = [await lab.node(name) for name in NODES[:2]]
        with classify(Traffic.HANDSHAKE, _SECOND):
            await first.connect(_SECOND)
        assert dialled(second.context.counter.drain()) == {(_FIRST, "handshake")}
        with classify(Traffic.TASK, _SECOND):
            await first.send_message(_SECOND, message())
        assert dialled(second.context.counter.drain()) == {(_FIRST, "handshake")}
        with classify(Traffic.TASK, _SECOND):
            await first.send_message(_SECOND, message(message_id="m2"))
            await first.probe(_SECOND)
        assert dialled(second.context.counter.drain()) == set()
        assert not any(second.rejections.values())

    lab.run(scenario())


def test_token_of_an_earlier_life_is_renewed_by_the_challenge(lab: AnpLab) -> None:
    """A restarted node knows no old tokens; its challenge is answered by a signature, within the same call."""

    async def scenario() -> None:
        first, second = await lab.pair()
        stale = bearer(first)
        await second.close()
        reborn = await lab.node(_SECOND, incarnation=1000)
        await first.disconnect(_SECOND)
        await first.send_message(_SECOND, message())
        assert await reborn.receive_message() == message()
        assert bearer(first) != stale
        assert {reason: count for reason, count in reborn.rejections.items() if count} == {"unauthenticated": 1}

    lab.run(scenario())


def test_probe_before_any_handshake_makes_one(lab: AnpLab) -> None:
    """Without a token the cheapest authentic call is a signed one; it brings the token."""

    async def scenario() -> None:
        first, _ = await lab.node(_FIRST), await lab.node(_SECOND)
        await first.probe(_SECOND)
        assert bearer(first)

    lab.run(scenario())


def test_receipt_is_the_answer_of_the_specification(lab: AnpLab) -> None:
    """P3, 7.1.3: accepted, both ids, the target and a time."""

    async def scenario() -> None:
        first, _ = await lab.pair()
        reply = await post(first, encoded(signed(first)), bearer(first))
        assert reply.status == 200
        result = reply.json["result"]
        assert datetime.fromisoformat(result.pop("accepted_at")).tzinfo is not None
        assert result == {"accepted": True, "message_id": "m1", "operation_id": "m1", "target_did": did_of(_SECOND)}

    lab.run(scenario())


def test_message_that_cannot_be_put_in_canonical_order_is_refused_by_its_sender(lab: AnpLab) -> None:
    """RFC 8785 knows doubles only; what is beyond them cannot be signed."""

    async def scenario() -> None:
        first, second = await lab.pair()
        with pytest.raises(PeerRejectedError, match="RFC 8785"):
            await first.send_message(_SECOND, message(body={"number": 10**400}))
        await first.send_message(_SECOND, message(body={"number": 2**80}))
        assert (await second.receive_message()).body == {"number": 2**80}

    lab.run(scenario())


def test_description_and_interface_are_those_of_the_specification(lab: AnpLab) -> None:
    """What a directory would read: JSON documents that name the DID, the methods and where to call them."""

    async def scenario() -> None:
        first, _ = await lab.pair()
        with naming(first._names):
            description = await first._client.fetch(_SECOND, url(_SECOND, "/agent/ad.json"))
            interface = await first._client.fetch(_SECOND, description["interfaces"][0]["url"])
        assert (description["protocolType"], description["identifier"]) == ("ANP", did_of(_SECOND))
        assert [method["name"] for method in interface["methods"]] == ["anp.get_capabilities", "direct.send"]
        assert interface["servers"][0]["url"] == url(_SECOND, "/agent/rpc")
        assert json.dumps(interface)

    lab.run(scenario())
