"""What a node tells others about its tools, in the form in which the Model Context Protocol lists them."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue


@dataclass(frozen=True)
class Skill:
    """One tool: ``input_schema`` and ``output_schema`` are JSON Schema (2020-12) of an object."""

    name: str
    description: str
    input_schema: Mapping[str, JsonValue]
    output_schema: Mapping[str, JsonValue]

    def listed(self) -> dict[str, JsonValue]:
        """An entry of MCP's ``tools/list`` (2025-06-18)."""
        return {
            "name": self.name,
            "description": self.description,
            "inputSchema": dict(self.input_schema),
            "outputSchema": dict(self.output_schema),
        }
