"""Reads documents of many formats: a module here that defines ``LOADER`` is a format. Nothing is downloaded."""

import importlib
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from orchestrator.workload.document import GaiaDocument
from orchestrator.workload.loaders.contract import Loader, peek
from orchestrator.workload.loaders.gaia_document import LOADER as GAIA_DOCUMENT
from orchestrator.workload.loaders.records import unreadable
from protocols.errors import ConfigError


def _discover() -> Mapping[str, Loader]:
    modules = (importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__))
    loaders = [module.LOADER for module in modules if isinstance(getattr(module, "LOADER", None), Loader)]
    return MappingProxyType({loader.name: loader for loader in sorted(loaders, key=lambda loader: loader.name)})


LOADERS: Mapping[str, Loader] = _discover()
"""Every loader by the name of its format."""


def loader_for(path: Path) -> Loader:
    """The loader that claims this file by its name or its first record.

    Raises:
        ConfigError: the file cannot be read, or is of no known format.
    """
    try:
        glance = peek(path)
    except OSError as error:
        raise unreadable(path, error) from error
    claimed = next((loader for loader in LOADERS.values() if loader.claims(glance)), None)
    if claimed is not None:
        return claimed
    if path.suffix == ".jsonl":  # the reader of our own format says best what is wrong with a line
        return GAIA_DOCUMENT
    raise ConfigError(
        f"{path}: expected a document of one of the formats {', '.join(LOADERS)}, got a first record with the keys "
        f"{', '.join(sorted(glance.keys)) or 'of none of them'}; name another file or set document: generated"
    )


def load_document(path: Path) -> GaiaDocument:
    """Read a document of any known format and check every line of it.

    Raises:
        ConfigError: the file cannot be read, or a line is wrong; it names file, line and field.
    """
    return loader_for(path).load(path)
