"""What a comparison will run, in which order: settled once, written first, and never changed afterwards."""

from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from orchestrator.compare.arguments import Mode
from orchestrator.run_dir import write_atomically
from orchestrator.seeds import stream
from protocols.errors import ConfigError

PLAN_FILE = "plan.json"
_OF_THE_RUNTIME = ("output", "network")
"""Sections of a scenario that say where a run keeps its files and ports; they are not what is compared."""

Runtime = Literal["local", "docker"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Slot(_Part):
    """One run of the plan. ``arm`` is the protocol's name, with a number where a protocol is compared with itself."""

    block: int
    arm: str
    protocol: str
    mode: Mode
    seed: int

    @property
    def name(self) -> str:
        """Short, unique in its plan, fit for a file name."""
        return f"{self.arm}-{self.mode}-seed{self.seed}"


class Plan(_Part):
    """A whole comparison; ``slots`` are in the order in which they run."""

    comparison_id: str
    arms: tuple[str, ...]
    modes: tuple[Mode, ...]
    seeds: tuple[int, ...]
    reference: str
    """The arm that the others are tested against."""
    runtime: Runtime
    base: dict[str, Any]
    """The resolved scenario of every run, but for protocol, seed and detector mode."""
    slots: tuple[Slot, ...]

    def scenario(self, slot: Slot) -> dict[str, Any]:
        """What the results of ``slot`` must say under ``scenario``, without the sections of the runtime."""
        return essence(
            self.base
            | {
                "scenario": {**self.base["scenario"], "protocol": slot.protocol, "seed": slot.seed},
                "detector": {**self.base["detector"], "mode": slot.mode},
            }
        )

    def differences(self, other: "Plan") -> list[str]:
        """The names of what differs, the identifier and the sections of the runtime left aside."""
        mine, others = self.model_dump(mode="json"), other.model_dump(mode="json")
        found = [key for key in ("arms", "modes", "seeds", "reference", "runtime") if mine[key] != others[key]]
        return [*found, *scenario_differences(essence(self.base), essence(other.base))]


def essence(scenario: dict[str, Any]) -> dict[str, Any]:
    """A scenario without the sections of the runtime."""
    return {key: value for key, value in scenario.items() if key not in _OF_THE_RUNTIME}


def scenario_differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """The dotted keys in which two scenarios differ, in order."""
    found = []
    for key in sorted(one.keys() | other.keys()):
        mine, others = one.get(key), other.get(key)
        if isinstance(mine, dict) and isinstance(others, dict):
            found += [f"{key}.{inner}" for inner in scenario_differences(mine, others)]
        elif mine != others:
            found.append(key)
    return found


def make(
    comparison_id: str,
    protocols: Sequence[str],
    modes: Sequence[Mode],
    seeds: Sequence[int],
    runtime: Runtime,
    base: dict[str, Any],
    reference: str | None = None,
) -> Plan:
    """Settle a comparison: a block for each seed, in it every arm in every mode once, in an order of chance.

    The order follows from the first seed, so the same wishes give the same plan. A protocol that is named again is
    another arm of its own, compared with itself. ``reference`` is json, if that takes part, else the first arm. Raises
    ConfigError for fewer than two arms, and for a reference that does not take part.
    """
    arms = _arms(protocols)
    if len(arms) < 2:  # noqa: PLR2004
        raise ConfigError(f"--protocols: expected two or more to compare, got {' '.join(protocols) or 'none'}")
    protocol_of = dict(arms)
    if reference is None:
        reference = "json" if "json" in protocol_of else arms[0][0]
    if reference not in protocol_of:
        known = ", ".join(protocol_of)
        raise ConfigError(f"--reference: expected one of {known}, got {reference!r}; name it in --protocols too")
    slots: list[Slot] = []
    for block, seed in enumerate(seeds, 1):
        together = [
            Slot(block=block, arm=arm, protocol=protocol, mode=mode, seed=seed)
            for arm, protocol in arms
            for mode in modes
        ]
        stream(seeds[0], f"compare/{block}").shuffle(together)
        slots += together
    return Plan(
        comparison_id=comparison_id,
        arms=tuple(arm for arm, _ in arms),
        modes=tuple(modes),
        seeds=tuple(seeds),
        reference=reference,
        runtime=runtime,
        base=deepcopy(base),
        slots=tuple(slots),
    )


def _arms(protocols: Sequence[str]) -> list[tuple[str, str]]:
    """(arm, protocol): json, a2a, json → json, a2a, json-2."""
    seen: Counter[str] = Counter()
    arms = []
    for protocol in protocols:
        seen[protocol] += 1
        arms.append((protocol if seen[protocol] == 1 else f"{protocol}-{seen[protocol]}", protocol))
    return arms


def save(plan: Plan, root: Path) -> None:
    """Write the plan into the folder of the comparison, whole or not at all; raises LabError."""
    write_atomically(root / PLAN_FILE, plan.model_dump_json(indent=1) + "\n")


def load(root: Path) -> Plan:
    """Read the plan of a comparison; raises ConfigError when there is none, or it is another version's."""
    path = root / PLAN_FILE
    try:
        return Plan.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"expected the folder of a comparison with its {PLAN_FILE}, got {root}: {error.strerror}; see results/"
        ) from error
    except ValidationError as error:
        raise ConfigError(
            f"{path}: expected a plan of this version, got {error.error_count()} mistakes; start a new comparison"
        ) from error
