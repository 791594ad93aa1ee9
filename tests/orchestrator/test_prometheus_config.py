"""The Prometheus configuration is valid and scrapes what the run's file of targets names."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

FOLDER = Path(__file__).parents[2] / "prometheus"


def test_it_scrapes_once_a_second_from_a_file_of_targets() -> None:
    """file_sd, so that killed targets stay; labels of the exposition win, since results carry their own run."""
    content = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))
    (job,) = content["scrape_configs"]
    assert (content["global"]["scrape_interval"], content["global"]["scrape_timeout"]) == ("1s", "1s")
    assert job["honor_labels"] is True
    (files,) = job["file_sd_configs"]
    assert files["files"] == ["targets/*.json"]
    assert str((FOLDER / "targets").readlink()) == "../results/latest/prometheus"


def test_promtool_accepts_the_configuration() -> None:
    """The server's own judgement."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    result = subprocess.run(
        [promtool, "check", "config", str(FOLDER / "prometheus.yml")], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "SUCCESS" in result.stdout
