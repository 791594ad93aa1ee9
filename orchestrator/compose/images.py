"""The images of the lab: which are there, and which a registry gives."""

from collections.abc import Callable
from typing import Any

from orchestrator.compose.engine import Engine, EngineError

_PULL_TIMEOUT_S = 600.0
WITHOUT_GRAFANA = {"GRAFANA_COUNT": "0", "GRAFANA_PULL": "never"}
"""Settings for a lab without Grafana."""


def settle(engine: Engine, say: Callable[[str], None]) -> dict[str, str]:
    """Have every image that the lab needs on the engine; returns the settings for compose that follow from it.

    The lab's own image is built later; what counts here is its base. Raises EngineError naming an image that is neither
    there nor to be had; without Grafana's the lab goes on.
    """
    services = engine.configuration()["services"]
    base = services["prepare"]["build"]["args"]["BASE_IMAGE"]
    for image in (base, services["prometheus"]["image"]):
        if not _obtain(engine, image, say):
            raise EngineError(f"the image {image} is not there and no registry has it; on Debian: sudo make images")
    if not is_wanted(services["grafana"]):
        return dict(WITHOUT_GRAFANA)
    if not _obtain(engine, services["grafana"]["image"], say):
        say(f"no registry has {services['grafana']['image']}: the lab runs without Grafana (set GRAFANA_IMAGE)")
        return dict(WITHOUT_GRAFANA)
    return {}


def is_wanted(service: dict[str, Any]) -> bool:
    """Whether compose will start a container of this service."""
    return int(service.get("scale", service.get("deploy", {}).get("replicas", 1))) > 0


def _obtain(engine: Engine, image: str, say: Callable[[str], None]) -> bool:
    try:
        engine.run("image", "inspect", "--format", "{{.Id}}", image)
    except EngineError:
        say(f"pulling {image}")
        try:
            engine.run("pull", "--quiet", image, timeout_s=_PULL_TIMEOUT_S)
        except EngineError:
            return False
    return True
