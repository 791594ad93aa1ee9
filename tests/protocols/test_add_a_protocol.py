"""The guide to adding a protocol is run as it stands: installed, conformance, storm."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
_GUIDE = CHECKOUT / "docs" / "add-a-protocol.md"


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """An environment in which the guide's adapter is an installed package with an entry point."""
    guide = _GUIDE.read_text(encoding="utf-8")
    code, entry_point = (
        re.findall(rf"^```{language}\n(.*?)^```$", guide, re.DOTALL | re.MULTILINE)[0]
        for language in ("python", "toml")
    )
    site = tmp_path / "site"
    package = site / "lines_protocol-1.0.dist-info"
    package.mkdir(parents=True)
    (site / "lines_protocol.py").write_text(code, encoding="utf-8")
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: lines-protocol\nVersion: 1.0\n")
    name, target = entry_point.splitlines()[1].replace('"', "").split(" = ")
    (package / "entry_points.txt").write_text(f"[failstorm.protocols]\n{name} = {target}\n")
    return os.environ | {"PYTHONPATH": f"{CHECKOUT}{os.pathsep}{site}", "PYTEST_ADDOPTS": ""}


def _run(command: list[str], folder: Path, environment: dict[str, str], timeout_s: float) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(200)
def test_the_guides_adapter_passes_conformance(installed: dict[str, str]) -> None:
    """Every conformance test that does not ask for an optional capability passes with the guide's own code."""
    command = ["pytest", "-q", "-p", "no:cacheprovider", "-k", "lines", "tests/conformance/test_conformance.py"]
    output = _run(command, CHECKOUT, installed, 180)
    assert re.search(r"^\d{2,} passed", output, re.MULTILINE), output


@pytest.mark.storm
@pytest.mark.timeout(200)
def test_the_guides_adapter_survives_a_storm(installed: dict[str, str], tmp_path: Path) -> None:
    """A storm over the guide's own protocol is valid."""
    flags = ["--protocol", "lines", "--duration", "16"]
    ports = ["--set", "network.base_port=19000", "--set", "network.admin_base_port=19100"]
    config = ["--runtime", "local", "--config", str(CHECKOUT / "config.yaml")]
    output = _run(["orchestrator", "run", *config, *flags, *ports], tmp_path, installed, 150)
    assert "VALID   lines" in output, output
