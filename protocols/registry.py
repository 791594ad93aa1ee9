"""Finds protocol adapters by name: our own, and those that installed packages register.

Third-party adapters register under the entry-point group ``failstorm.protocols``.
"""

from importlib import import_module
from importlib.metadata import entry_points, version

from protocols.adapter import BaseProtocolAdapter
from protocols.errors import ConfigError

ENTRY_POINT_GROUP = "failstorm.protocols"

# Module and class are named, not imported: only the SDK of the protocol in use is ever loaded.
_OWN = {"json": "protocols.json_http:JsonHttpAdapter"}


def _locations() -> dict[str, str]:
    found = {point.name: point.value for point in entry_points(group=ENTRY_POINT_GROUP)}
    return found | _OWN


def names() -> tuple[str, ...]:
    """The protocols that can be chosen, in alphabetical order."""
    return tuple(sorted(_locations()))


def load(name: str) -> type[BaseProtocolAdapter]:
    """The adapter class called ``name``; raises ConfigError for an unknown or broken one."""
    locations = _locations()
    if name not in locations:
        raise ConfigError(f"expected a protocol out of {', '.join(sorted(locations))}, got {name!r}")
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
