"""compose.yaml keeps its promises, and the generated override adds exactly what a run needs beyond it."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator import settings_load, timeline
from orchestrator.compose import override
from orchestrator.timeline import Timeline
from protocols.errors import ConfigError

CHECKOUT = Path(__file__).parents[2]
COMPOSE = (CHECKOUT / "compose.yaml").read_text(encoding="utf-8")
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE)["services"]
AGENTS = {name: service for name, service in SERVICES.items() if name.startswith("agent-")}
OURS = {*AGENTS, "prepare", "orchestrator", "chaos"}


class _Loader(yaml.SafeLoader):
    """Reads compose's own tags: a reset service is None, an override is what it holds."""


_Loader.add_constructor("!reset", lambda *_: None)
_Loader.add_constructor("!override", lambda _, node: [part.value for part in node.value])


def plan(**wishes: object) -> Timeline:
    """The plan of a run with these keys of the scenario, and of the network after ``network_``."""
    network = {key.removeprefix("network_"): value for key, value in wishes.items() if key.startswith("network_")}
    storm = {key: value for key, value in wishes.items() if not key.startswith("network_")}
    layer = settings_load.Layer("test", {"scenario": storm, "network": network})
    return timeline.plan(settings_load.build([layer], {}))


def merged(planned: Timeline) -> dict[str, dict[str, Any]]:
    """The services that compose would see; lists of the override replace those of compose.yaml."""
    text = override.generate(COMPOSE, planned)
    over = yaml.load(text, _Loader)["services"] if text else {}  # noqa: S506 - a safe loader with two tags
    services = {
        name: service | (over.get(name) or {}) for name, service in SERVICES.items() if over.get(name, {}) is not None
    }
    return services | {name: service for name, service in over.items() if name not in SERVICES}


def published(service: dict[str, Any]) -> list[str]:
    """The ports of a service as they stand there."""
    return list(service.get("ports", []))


def test_eight_agents_on_the_usual_ports_need_no_override() -> None:
    """compose.yaml is the lab of the defaults; its ports are those of the plan."""
    planned = plan()
    assert override.generate(COMPOSE, planned) is None
    assert len(AGENTS) == 8
    for agent in planned.agents:
        ports = [f"127.0.0.1:{port}:{port}" for port in (agent.port, agent.admin_port)]
        assert published(SERVICES[agent.node_id.replace("_", "-")]) == ports


def test_all_agents_are_alike() -> None:
    """They differ by number only: name, ports, workspace, label."""
    model = str(AGENTS["agent-1"])
    for number in range(2, 9):
        own = str(AGENTS[f"agent-{number}"])
        for pattern in ("agent-{}", "agent_{}", "900{}", "1000{}"):
            own = own.replace(pattern.format(number), pattern.format(1))
        assert own == model


@pytest.mark.parametrize("count", [1, 3, 7, 9, 12, 32])
def test_the_override_makes_the_agents_of_the_plan(count: int) -> None:
    """As many agents as wanted, each with its own port, admin port, workspace and label, and no other."""
    planned = plan(agent_count=count)
    services = merged(planned)
    agents = {name for name in services if name.startswith("agent-")}
    assert agents == {f"agent-{number}" for number in range(1, count + 1)}
    for agent in planned.agents:
        service = services[agent.node_id.replace("_", "-")]
        assert service["hostname"] == agent.node_id.replace("_", "-")
        assert service["labels"]["failstorm.node"] == agent.node_id
        assert service["volumes"][0].endswith(f"/workspaces/{agent.node_id}:/workspace")
        assert published(service) == [f"127.0.0.1:{port}:{port}" for port in (agent.port, agent.admin_port)]
        alike = {key: value for key, value in service.items() if key not in ("hostname", "labels", "volumes", "ports")}
        assert alike.items() <= SERVICES["agent-1"].items()
    assert services["prepare"]["environment"]["FAILSTORM_AGENTS"] == str(count)


def test_other_ports_reach_everybody_who_must_know_them() -> None:
    """Agents, orchestrator, chaos (which asks restarted agents) and prepare follow the bases of the scenario."""
    planned = plan(network_base_port=21_000, network_admin_base_port=22_000)
    services = merged(planned)
    assert published(services["agent-8"]) == ["127.0.0.1:21008:21008", "127.0.0.1:22008:22008"]
    assert published(services["orchestrator"]) == ["127.0.0.1:21000:21000", "127.0.0.1:22000:22000"]
    assert "--admin-base-port=22000" in services["chaos"]["command"]
    environment = services["prepare"]["environment"]
    assert (environment["FAILSTORM_BASE_PORT"], environment["FAILSTORM_ADMIN_BASE_PORT"]) == ("21000", "22000")


def test_only_loopback_is_published() -> None:
    """No service, also none of the override's, listens to the world."""
    for services in (SERVICES, merged(plan(agent_count=20))):
        for service in services.values():
            assert all(port.startswith("127.0.0.1:") for port in published(service))


def test_chaos_and_its_guardian_alone_have_the_engines_socket() -> None:
    """Whoever has the socket owns the machine."""
    assert [name for name, service in SERVICES.items() if "docker.sock" in str(service)] == ["chaos", "guardian"]


def test_agents_see_their_own_workspace_and_no_privilege() -> None:
    """One mount, a read-only root, no capabilities, no way to more, bounded memory and processes, no restart."""
    for name, service in AGENTS.items():
        assert len(service["volumes"]) == 1
        assert f"/workspaces/{name.replace('-', '_')}:/workspace" in service["volumes"][0]
        assert (service["read_only"], service["init"], service["restart"]) == (True, True, "no")
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["networks"] == ["mesh"]
        assert {"mem_limit", "pids_limit", "user"} <= service.keys()
        assert "cap_add" not in service


def test_the_name_of_a_dead_agent_is_never_asked_of_the_outside() -> None:
    """The engine forwards unknown names to the host's name server, for seconds where that is silent, unless told so."""
    for name in OURS - {"prepare"}:
        assert (SERVICES[name]["dns_search"], SERVICES[name]["dns_opt"]) == (".", ["ndots:1"])


def test_every_container_says_whose_it_is() -> None:
    """Chaos goes by these labels."""
    for name, service in SERVICES.items():
        assert service["labels"]["failstorm.run"] == "${FAILSTORM_RUN_ID:-compose}"
        expected = "agent" if name in AGENTS else name
        assert service["labels"]["failstorm.role"] == expected


def test_no_dockerfile_asks_a_registry_for_its_syntax() -> None:
    """A syntax line makes the builder pull an image even where the base is there."""
    for path in (CHECKOUT / "Dockerfile.agent", CHECKOUT / "docker" / "Dockerfile.prometheus"):
        assert not re.search(r"^#\s*syntax\s*=", path.read_text(), re.MULTILINE)


def test_an_override_of_the_users_own_is_left_alone(tmp_path: Path) -> None:
    """It is refused in one line where one must be written, and otherwise simply stays."""
    path = tmp_path / override.FILE
    path.write_text("services: {}\n")
    text = override.generate(COMPOSE, plan(agent_count=9))
    for step in (override.check, override.replace):
        with pytest.raises(ConfigError, match="one that is not generated; move it away"):
            step(tmp_path, text)
    override.replace(tmp_path, None)
    assert path.read_text() == "services: {}\n"


def test_a_generated_override_is_replaced_and_removed(tmp_path: Path) -> None:
    """The next run's override takes its place, and a run that needs none removes it."""
    for count in (9, 12):
        text = override.generate(COMPOSE, plan(agent_count=count))
        override.replace(tmp_path, text)
        assert (tmp_path / override.FILE).read_text() == text
    override.replace(tmp_path, None)
    assert list(tmp_path.iterdir()) == []
