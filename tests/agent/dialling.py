"""An agent's messages to another one, and what it asked of its adapter for them."""

from protocols.message import Message, Traffic
from tests.agent.lab import Lab
from tests.agent.specimen import Agent

B = "agent_2"


def request(agent: Agent) -> Message:
    """An ordinary message to ``agent_2``."""
    return agent.mesh.message(B, "commit", Traffic.TASK, {"task": "q"})


def ops(lab: Lab, peer: str = B) -> list[str]:
    """What ``agent_1`` asked of its adapter about ``peer``, in order."""
    return [call.op for call in lab.network.calls if call.source == "agent_1" and call.peer == peer]
