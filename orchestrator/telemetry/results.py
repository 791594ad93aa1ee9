"""The numbers of finished runs, as series to compare protocols by."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from agent.instruments import Labels
from orchestrator.metrics import registry

_NEWEST = 100
_METRICS_FILE = "failstorm_metrics.json"


def rows(content: Mapping[str, Any]) -> dict[Labels, float]:
    """One run's numbers by the labels of ``failstorm_result``; raises LookupError or TypeError for foreign content."""
    verdict = content["verdict"]["status"]
    about = (content["protocol"]["name"], content["run_id"], content["seed"], content["runtime"], verdict)
    labels = tuple(str(item) for item in about)
    # Runs of different lengths are never pooled: the comparing dashboard joins on this.
    length = {("windows.duration_s", *labels): float(content["windows"]["duration_s"])}
    return length | {
        (name, *labels): value for metric in registry() for name, value in _numbers(metric, content.get(metric))
    }


def earlier(results_dir: Path, without: str) -> dict[Labels, float]:
    """The newest runs of a results folder, as far as they can be read, but for the run ``without``."""
    found: dict[Labels, float] = {}
    # Run ids begin with the time, so the newest come last; `latest` is a link to one of them.
    runs = sorted(path for path in results_dir.glob(f"*/{_METRICS_FILE}") if not path.parent.is_symlink())
    for path in [path for path in runs if path.parent.name != without][-_NEWEST:]:
        try:
            found |= rows(json.loads(path.read_bytes()))
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            # Another version's results, or a file of the user's own: nothing to compare with.
            continue
    return found


def _numbers(name: str, value: object) -> Iterator[tuple[str, float]]:
    """The number itself, or the numbers one level inside, each by its dotted name."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield name, float(value)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if isinstance(item, int | float) and not isinstance(item, bool):
                yield f"{name}.{key}", float(item)
