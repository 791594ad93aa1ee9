"""Lays out the folder of a run before the first agent starts: what each finds in its workspace."""

from collections.abc import Sequence

from agent.settings import CONDUCTOR, AgentSettings
from orchestrator.run_dir import RunDir
from protocols import registry
from protocols.errors import LabError


def lay_out(run_dir: RunDir, agents: Sequence[AgentSettings]) -> None:
    """Write each agent's settings, and let the protocol make what its nodes need: certificates, for instance.

    Raises LabError when a file cannot be written, ConfigError when the protocol cannot carry the nodes' names.
    """
    folders = {agent.node_id: run_dir.workspace(agent.node_id).resolve() for agent in agents}
    try:
        for agent in agents:
            folder = folders[agent.node_id]
            folder.mkdir(exist_ok=True)
            (folder / "settings.json").write_text(agent.model_dump_json(indent=1), encoding="utf-8")
        home = run_dir.path.resolve()
        registry.load(agents[0].protocol).prepare(home, folders | {CONDUCTOR: home})
    except OSError as error:
        raise LabError(
            f"expected to lay out {run_dir.path}, got: {error.strerror}; make room or fix its rights"
        ) from error
