"""Says the numbers of a comparison in a few words, alike in the table and on the page."""

from collections.abc import Mapping
from typing import Any

_WHOLE_FROM_MS = 100
NOTHING = "\N{EN DASH}"
_DIGITS = {"ms": 1, "s": 2, "bytes": 0, "bytes/s": 0, "ratio": 3, "count": 1}


def number(value: float, unit: str) -> str:
    """Without its unit, which the head of the column has."""
    digits = _DIGITS[unit]
    if unit == "ms" and abs(value) >= _WHOLE_FROM_MS:
        digits = 0
    return f"{value:,.{digits}f}"


def cell(found: Mapping[str, Any]) -> str:
    """Median, interval, n, and what is not in them: ``126 (102 to 150), n 10, 1 censored``."""
    parts = [_middle(found)] if found["middle"] else [NOTHING]
    parts.append(f"n {found['n']}")
    parts += [
        f"{found[f'n_{what}']} {what}" for what in ("censored", "starved", "missing", "excluded") if found[f"n_{what}"]
    ]
    return ", ".join(parts)


def _middle(found: Mapping[str, Any]) -> str:
    middle, unit = found["middle"], found["unit"]
    beyond = f"> {number(found['censored_at'], unit)}" if found["censored_at"] is not None else ""
    median, low, high = (
        beyond if middle[key] is None else number(middle[key], unit) for key in ("median", "low", "high")
    )
    return f"{median} ({low} to {high})" if middle["has_interval"] else median


def p_value(p: float | None) -> str:
    """``0.031``, ``< 0.001``; a dash where nothing could be tested."""
    if p is None:
        return NOTHING
    return "< 0.001" if p < 0.001 else f"{p:.3f}"  # noqa: PLR2004


def difference(pair: Mapping[str, Any]) -> str:
    """The median paired difference and its interval."""
    found = pair["difference"]
    if found is None:
        return NOTHING if not pair["n"] else "not a number: censored"
    middle, low, high = (
        number(found[key], pair["unit"]) if found[key] is not None else "" for key in ("median", "low", "high")
    )
    sign = "+" if found["median"] > 0 else ""
    return f"{sign}{middle} ({low} to {high})" if found["has_interval"] else f"{sign}{middle}"


def circumstances(comparison: Mapping[str, Any], mode: str) -> str:
    """What every table must name: detector, runtime, host, size, load, length, seeds."""
    host, storm = comparison["host"], comparison["scenario"]["scenario"]
    seeds = comparison["seeds"]
    listed = f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else f"{seeds[0]}"
    killed = max((len(names) for names in comparison["victims"].values()), default=0)
    memory = host["memory_bytes"] / 2**30
    facts = [
        f"detector {mode}",
        f"runtime {comparison['runtime']}",
        f"host {host['system']}, {host['cpu_count']} CPUs, {memory:.0f} GiB, Python {host['python']}",
        f"{storm['agent_count']} agents, {killed} killed",
        f"{storm['task_rate']:g} tasks/s",
        f"{storm['duration']:g} s a run",
        f"seeds {listed}",
    ]
    return " · ".join(facts)


def cautions(comparison: Mapping[str, Any]) -> list[str]:
    """What the reader must know before using a number."""
    found = []
    if comparison["scaled"]:
        found.append("scaled: the runs are shorter than 120 s; these numbers are for no published table")
    starved = sum("starved" in run["tags"] for run in comparison["runs"])
    if starved:
        found.append(
            f"{starved} of {comparison['finished']} runs are starved: the host was too busy during their baseline, "
            f"their times are in no table and no test"
        )
    idle = sum("idle_at_kill" in run["tags"] for run in comparison["runs"])
    if idle:
        found.append(f"{idle} of {comparison['finished']} runs had no request under way on a victim at the kill")
    if comparison["missing"]:
        found.append(f"{len(comparison['missing'])} of {comparison['planned']} planned runs are missing")
    excluded = sum(run["excluded"] is not None for run in comparison["runs"])
    if excluded:
        found.append(f"{excluded} of {comparison['finished']} runs are not valid and count for nothing")
    updated = [f"{name} {', '.join(met)}" for name, met in comparison["versions"].items() if len(met) > 1]
    if updated:
        found.append(f"libraries changed in between: {'; '.join(updated)}")
    if comparison["same_tasks_checked"] < comparison["finished"]:
        lacking = comparison["finished"] - comparison["same_tasks_checked"]
        found.append(
            f"{lacking} of {comparison['finished']} runs have no journal left to prove that their tasks are the same"
        )
    return found
