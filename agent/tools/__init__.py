"""The tools of the pipeline, found by their files: a module here that defines ``TOOL`` is a tool.

A task begins as ``{"question": ...}``. For every name in ``TOOLS`` the owner cuts the request from the task's state
(``REGISTRY[name].next_input``), has a peer ``execute`` it, and merges the result into the state (``advance``). After
the last tool the state holds ``answer`` and ``chain``, the triples behind it.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import JsonValue

from agent.tools.contract import Lookup, StepRejectedError, Tool


def _discover() -> Mapping[str, Tool[Any, Any]]:
    modules = (importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__))
    tools = [module.TOOL for module in modules if isinstance(getattr(module, "TOOL", None), Tool)]
    return MappingProxyType({tool.name: tool for tool in sorted(tools, key=lambda tool: (tool.stage, tool.name))})


REGISTRY: Mapping[str, Tool[Any, Any]] = _discover()
"""Every tool by its name, in pipeline order."""

TOOLS: tuple[str, ...] = tuple(REGISTRY)
"""The names of all tools, in pipeline order."""


def tool_named(name: str) -> Tool[Any, Any]:
    """Return the tool of that name.

    Raises:
        StepRejectedError: there is none.
    """
    if name not in REGISTRY:
        message = f"expected one of the tools {', '.join(TOOLS)}, got {name!r}"
        raise StepRejectedError(message)
    return REGISTRY[name]


async def run_pipeline(question: str, lookup: Lookup) -> dict[str, JsonValue]:
    """Run all tools in this process, one after the other; return the final state of the task.

    Raises:
        FragmentUnavailableError: a needed fragment is out of reach.
    """
    state: dict[str, JsonValue] = {"question": question}
    for tool in REGISTRY.values():
        state = tool.advance(state, await tool.execute(tool.next_input(state), lookup))
    return state
