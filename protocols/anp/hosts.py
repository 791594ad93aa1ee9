"""One host name and one DID per node, and back.

did:wba wants a domain name protected by TLS and forbids addresses. Each node owns a host of its own, so its identity
is the bare-domain form of the method, ``did:wba:agent-1.failstorm.test`` (ANP-03, 2.2): no port and no path, thus
nothing that a proxy or another address changes, and a peer's DID is known from its name alone.
"""

import re

from protocols.errors import ConfigError

DOMAIN = "failstorm.test"
"""RFC 6761 keeps .test out of the real DNS."""
AD_PATH, INTERFACE_PATH, RPC_PATH, DID_PATH = (
    "/agent/ad.json",
    "/agent/interface.json",
    "/agent/rpc",
    "/.well-known/did.json",
)
PREFIX = "/agent"

_METHOD = "did:wba:"
_NODE = re.compile(r"[a-z0-9](?:[a-z0-9_]{0,61}[a-z0-9])?")


def host_of(node: str) -> str:
    """The host name of ``node``; raises ConfigError for a name that no DNS label can carry."""
    if not _NODE.fullmatch(node):
        raise ConfigError(
            f"expected node names of a-z, 0-9 and _ (ANP makes host names of them), got {node!r}; rename it"
        )
    return f"{node.replace('_', '-')}.{DOMAIN}"


def node_at(host: str) -> str | None:
    """The node that owns ``host``; None for a host outside of the lab."""
    label, _, domain = host.partition(".")
    node = label.replace("-", "_")
    return node if domain == DOMAIN and _NODE.fullmatch(node) and "_" not in label else None


def did_of(node: str) -> str:
    """The DID of ``node``; raises ConfigError as :func:`host_of` does."""
    return _METHOD + host_of(node)


def node_of(did: str) -> str | None:
    """The node that ``did`` identifies; None for an identity outside of the lab."""
    return node_at(did.removeprefix(_METHOD)) if did.startswith(_METHOD) else None


def url(node: str, path: str) -> str:
    """The address of ``path`` at ``node``."""
    return f"https://{host_of(node)}{path}"
