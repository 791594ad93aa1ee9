"""Finding an engine and its images, and what is said where there is none; played by a small stand-in for docker."""

from pathlib import Path

import pytest

from orchestrator.cli import main
from orchestrator.compose import images
from orchestrator.compose.engine import Engine, EngineError, find_engine

CHECKOUT = Path(__file__).parents[2]
CONFIGURATION = (
    '{"services": {"prepare": {"build": {"args": {"BASE_IMAGE": "the/base"}}},'
    ' "prometheus": {"image": "the/prometheus"}, "grafana": {"image": "the/grafana", "scale": 1}}}'
)
GOOD = """case "$*" in
"compose version --short") echo 2.26.1 ;;
"version --format "*) echo 26.1.5 ;;
"compose config --format json") cat "$(dirname "$0")/configuration" ;;
"image inspect "*the/there*) echo sha256:1 ;;
*) echo "docker: $* is beyond me" >&2; exit 1 ;;
esac"""


def client(folder: Path, script: str, configuration: str = CONFIGURATION) -> Path:
    """A docker command in ``folder`` that does what the script says."""
    folder.mkdir(exist_ok=True)
    path = folder / "docker"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    (folder / "configuration").write_text(configuration)
    return path


def paths(*folders: Path) -> dict[str, str]:
    """An environment with these folders to look for commands in, before the system's own."""
    return {"PATH": ":".join([*map(str, folders), "/bin"])}


def lonely(*folders: Path) -> dict[str, str]:
    """An environment in which these folders are all there is."""
    return {"PATH": ":".join(map(str, folders))}


def test_the_first_client_with_compose_is_taken(tmp_path: Path) -> None:
    """A docker without the plugin may come first in PATH, and a folder that does not exist anywhere."""
    client(tmp_path / "bare", "echo \"docker: 'compose' is not a docker command.\" >&2; exit 1")
    good = client(tmp_path / "good", GOOD)
    found = find_engine(paths(tmp_path / "nowhere", tmp_path / "bare", tmp_path / "good"))
    assert (found.client, found.version) == (str(good), "26.1.5")


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 2.20.3", "compose is 2.20.3, too old; 2.24.4 or newer is needed"),
        (
            'case "$1" in compose) echo 2.26.1 ;; *) echo "Cannot connect to the Docker daemon" >&2; exit 1 ;; esac',
            "no Docker engine answers (expected `docker version --format {{.Server.Version}}` to work, got: Cannot",
        ),
    ],
)
def test_an_engine_that_will_not_do_is_explained(tmp_path: Path, script: str, said: str) -> None:
    """The reason is the engine's own last word, and what would help follows."""
    client(tmp_path / "bin", script)
    with pytest.raises(EngineError) as caught:
        find_engine(lonely(tmp_path / "bin"))
    assert said in str(caught.value)
    assert str(caught.value).endswith("on Debian: sudo make engine")


def test_a_client_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    """A frozen engine is an answer as well, in bounded time."""
    engine = Engine(str(client(tmp_path / "bin", "exec sleep 30")), "1", paths())
    with pytest.raises(EngineError, match=r"`docker ps` to end within 0\.2 s, it did not; is the engine well"):
        engine.run("ps", timeout_s=0.2)


def test_settings_reach_the_client(tmp_path: Path) -> None:
    """Compose takes them from its environment."""
    engine = Engine(str(client(tmp_path / "bin", 'echo "$FAILSTORM_RUN_ID"')), "1", paths())
    assert engine.with_settings({"FAILSTORM_RUN_ID": "r1"}).run("compose") == "r1\n"
    assert engine.run("compose") == "\n"


def settle(tmp_path: Path, base: str, grafana: str) -> tuple[dict[str, str], list[str]]:
    """Settle images of these names; one with "there" in it is on the engine, no registry has any."""
    configuration = CONFIGURATION.replace("the/base", base).replace("the/grafana", grafana)
    configuration = configuration.replace("the/prometheus", "the/there-prometheus")
    engine = Engine(str(client(tmp_path / "bin", GOOD, configuration)), "26.1.5", paths())
    said: list[str] = []
    return images.settle(engine, said.append), said


def test_a_missing_base_is_named_with_what_helps(tmp_path: Path) -> None:
    """Without it no agent can be built."""
    with pytest.raises(
        EngineError, match="the image the/base is not there and no registry has it; on Debian: sudo make"
    ):
        settle(tmp_path, "the/base", "the/there-grafana")


def test_the_lab_runs_without_grafana(tmp_path: Path) -> None:
    """Its image is wished for; where it cannot be had, compose is told to do without, and the user in one line."""
    settings, said = settle(tmp_path, "the/there-base", "the/grafana")
    assert settings == {"GRAFANA_COUNT": "0", "GRAFANA_PULL": "never"}
    assert said[-1] == "no registry has the/grafana: the lab runs without Grafana (set GRAFANA_IMAGE)"
    assert settle(tmp_path, "the/there-base", "the/there-grafana") == ({}, [])


def test_docker_without_an_engine_is_one_line_and_exit_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who asks for containers gets containers or the reason."""
    flags = ["run", "--runtime", "docker", "--config", str(CHECKOUT / "config.yaml"), "--results-dir", str(tmp_path)]
    assert main(flags, lonely(tmp_path)) == 3
    assert capsys.readouterr().err == "fail-storm: there is no docker command; on Debian: sudo make engine\n"


def test_a_wrong_configuration_comes_before_the_engine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 whatever the machine has."""
    flags = ["run", "--runtime", "docker", "--config", str(CHECKOUT / "config.yaml"), "--duration", "never"]
    assert main(flags, lonely(tmp_path)) == 2
    assert "--duration" in capsys.readouterr().err
