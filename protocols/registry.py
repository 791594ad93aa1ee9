"""Finds protocol adapters by name: our own, and those that installed packages register.

Third-party adapters register under the entry-point group ``failstorm.protocols``.
"""

from importlib import import_module
from importlib.metadata import entry_points, version
from sys import version_info

from protocols.adapter import BaseProtocolAdapter
from protocols.errors import ConfigError

ENTRY_POINT_GROUP = "failstorm.protocols"

# Module and class are named, not imported: only the SDK of the protocol in use is ever loaded.
_OWN = {
    "a2a": "protocols.a2a.adapter:A2AAdapter",
    "a2a-rest": "protocols.a2a.adapter:A2ARestAdapter",
    "acp": "protocols.acp.adapter:AcpAdapter",
    "agora": "protocols.agora.adapter:AgoraAdapter",
    "anp": "protocols.anp.adapter:AnpAdapter",
    "json": "protocols.json_http:JsonHttpAdapter",
}

# Packages that cannot be installed on a newer Python, as their Requires-Python says.
_PYTHON_BELOW = {"agora": ("agora-protocol", (3, 13))}


def _locations() -> dict[str, str]:
    found = {point.name: point.value for point in entry_points(group=ENTRY_POINT_GROUP)}
    return found | _OWN


def names() -> tuple[str, ...]:
    """The protocols that can be chosen here, in alphabetical order."""
    return tuple(sorted(name for name in _locations() if obstacle(name) is None))


def obstacle(name: str) -> str | None:
    """Why the protocol called ``name`` cannot be chosen here, although it is known; None when it can."""
    if name not in _PYTHON_BELOW:
        return None
    distribution, (major, minor) = _PYTHON_BELOW[name]
    if version_info < (major, minor):
        return None
    return f"{distribution} needs Python < {major}.{minor}, this is {version_info[0]}.{version_info[1]}"


def load(name: str) -> type[BaseProtocolAdapter]:
    """The adapter class called ``name``; raises ConfigError for an unknown, unavailable or broken one."""
    locations = _locations()
    if name not in locations:
        raise ConfigError(f"expected a protocol out of {', '.join(names())}, got {name!r}")
    reason = obstacle(name)
    if reason is not None:
        raise ConfigError(f"expected a protocol out of {', '.join(names())}, got {name!r}: {reason}")
    module_name, _, class_name = locations[name].partition(":")
    try:
        found = getattr(import_module(module_name), class_name, None)
    except ImportError as error:
        raise ConfigError(f"expected to import {module_name}, got: {error}; install what {name} needs") from error
    if not (isinstance(found, type) and issubclass(found, BaseProtocolAdapter)):
        raise ConfigError(f"expected {locations[name]} to be a BaseProtocolAdapter, got {found!r}; fix its entry point")
    return found


def sdk(name: str) -> tuple[str, str]:
    """Distribution and version of the package that speaks the protocol called ``name``."""
    distribution = load(name).distribution
    return distribution, version(distribution)
