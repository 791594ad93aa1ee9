"""The detector in action: it beats evenly, finds the dead in time, spreads the news, and clears the falsely accused."""

import asyncio
import dataclasses
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from agent.membership import RESTART_STEP, News
from protocols.adapter import Endpoint
from protocols.errors import PeerUnreachableError
from protocols.message import Traffic
from tests.agent.lab import Agent, Lab
from tests.agent.virtual_time import LoopClock

MakeLab = Callable[..., Lab]
B = "agent_2"
DEAD_B = News(B, 0, alive=False)


class StallingClock(LoopClock):
    """Once, a sleep takes longer than asked: the process was frozen."""

    def __init__(self) -> None:
        self.stall_s = 0.0

    async def sleep(self, duration_s: float) -> None:
        """Sleep, and the stall on top."""
        stall_s, self.stall_s = self.stall_s, 0.0
        await super().sleep(duration_s + stall_s)


async def linked(lab: Lab) -> list[Agent]:
    """All agents, linked and beating."""
    agents = lab.all_agents()
    await lab.link(*agents)
    lab.beat(*agents)
    return agents


def observer(lab: Lab) -> Agent:
    """``agent_1``; all the others are played by the test."""
    for name in lab.names[1:]:
        lab.adapter(name)
    return lab.agent("agent_1")


def views(agents: list[Agent]) -> list[tuple[str, ...]]:
    """Whom each of them suspects."""
    return [agent.membership.suspects for agent in agents]


def changes(agent: Agent, *names: str) -> list[tuple[str, str, int, str]]:
    """Its journal of suspicions and returns."""
    events = agent.events(*(names or ("suspect", "alive")))
    return [(event["ev"], event["peer"], event["peer_inc"], event["mechanism"]) for event in events]


async def test_it_beats_once_an_interval_from_a_phase_of_its_own(make_lab: MakeLab) -> None:
    """Evenly and without drift, however long the answers take; agents do not beat in step."""
    async with make_lab() as lab:
        lab.network.one_way_s = 0.11
        agents = await linked(lab)
        began = lab.clock.now()
        await asyncio.sleep(20)
        phases = []
        for agent in agents:
            name = agent.settings.node_id
            beats = [call.at_s for call in lab.network.of("probe", name, agent.settings.neighbours[0])]
            assert len(beats) == 20
            assert [later - first for first, later in pairwise(beats)] == pytest.approx([1.0] * 19)
            phases.append(round(beats[0] - began, 6))
        assert all(0 <= phase <= 1 for phase in phases)
        assert len(set(phases)) == len(phases)
        assert [agent.events("suspect") for agent in agents] == [[]] * 4


async def test_after_a_stall_beats_are_skipped_not_fired_in_a_burst(make_lab: MakeLab) -> None:
    """A process that was frozen for ten seconds goes on with its next beat."""
    async with make_lab() as lab:
        lab.clock = clock = StallingClock()
        a = observer(lab)
        await a.mesh.link(B, "start")
        clock.stall_s = 10.25
        lab.beat(a)
        began = clock.now()
        await asyncio.sleep(14)
        late, *others = (call.at_s - began for call in lab.network.of("probe"))
        assert 10.25 < late < 11.25
        assert [beat - others[0] for beat in others] == pytest.approx([0.0, 1.0, 2.0])
        assert late < others[0] < late + 1


@pytest.mark.parametrize("interval_s", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("misses", [1, 2, 3])
async def test_a_frozen_peer_is_found_within_the_documented_bound(
    make_lab: MakeLab, interval_s: float, misses: int
) -> None:
    """No later than misses·interval + timeout after it froze, no earlier than its misses allow; all learn of it."""
    detector = {"mode": "probe", "interval_s": interval_s, "timeout_s": 0.25, "misses": misses}
    async with make_lab(detector=detector) as lab:
        agents = await linked(lab)
        await asyncio.sleep(5.123)
        for task in agents[1].tasks:
            task.cancel()
        lab.network.freeze(B)
        frozen_at = lab.clock.now()
        await asyncio.sleep(misses * interval_s + 2)
        survivors = [agents[0], *agents[2:]]
        assert views(survivors) == [(B,)] * 3
        took_s = [agent.events("suspect")[0]["t"] - frozen_at for agent in survivors]
        assert max(took_s) <= misses * interval_s + 0.25 + 0.001
        assert min(took_s) >= (misses - 1) * interval_s + 0.25 - 0.001
        mechanisms = {event["mechanism"] for agent in survivors for event in agent.events("suspect")}
        assert "probe" in mechanisms
        assert mechanisms <= {"probe", "gossip"}


async def test_a_failed_request_to_a_dead_peer_is_confirmed_at_once(make_lab: MakeLab) -> None:
    """Mode ``common``: one immediate probe, and the suspicion names the request that called for it."""
    async with make_lab() as lab:
        a = observer(lab)
        lab.network.kill(B)
        with pytest.raises(PeerUnreachableError):
            await a.mesh.send(a.mesh.message(B, "commit", Traffic.TASK, {}))
        await asyncio.sleep(0.01)
        assert changes(a) == [("suspect", B, 0, "request")]
        assert len(lab.network.of("probe")) == 1


async def test_in_mode_probe_a_failed_request_is_no_evidence(make_lab: MakeLab) -> None:
    """Only the beat finds the dead."""
    async with make_lab(detector={"mode": "probe"}) as lab:
        a = observer(lab)
        lab.network.kill(B)
        with pytest.raises(PeerUnreachableError):
            await a.mesh.send(a.mesh.message(B, "commit", Traffic.TASK, {}))
        await asyncio.sleep(5)
        assert changes(a) == []
        assert lab.network.of("probe") == []


async def test_a_starved_observer_blames_itself_first(make_lab: MakeLab) -> None:
    """A silence while its own loop was late proves nothing: the probe is excused; a refused connection still counts."""
    async with make_lab(detector={"misses": 1}) as lab:
        a = observer(lab)
        lab.network.freeze(B)
        a.heartbeat.doubt(B, "request")
        await asyncio.sleep(0.4)
        a.node._lag._recent.append((lab.clock.now(), 0.2))
        await asyncio.sleep(0.2)
        assert changes(a) == []
        assert [(event["peer"], event["lag_ms"]) for event in a.events("excused")] == [(B, 200.0)]
        a.heartbeat.doubt(B, "request")
        await asyncio.sleep(1)
        assert changes(a) == [("suspect", B, 0, "request")]


@pytest.mark.parametrize("topology", ["ring", "star", "mesh"])
async def test_a_suspicion_reaches_every_survivor(make_lab: MakeLab, topology: str) -> None:
    """Over the links of the survivors, within milliseconds, each journaling it once."""
    async with make_lab(agent_count=9, topology=topology) as lab:
        agents = await linked(lab)
        victim, survivors = agents[4], [*agents[:4], *agents[5:]]
        lab.kill(victim)
        survivors[0].heartbeat._carry_out(survivors[0].membership.told([News("agent_5", 0, alive=False)]))
        await asyncio.sleep(0.1)
        assert [changes(agent) for agent in survivors] == [[("suspect", "agent_5", 0, "gossip")]] * 8


async def test_news_that_got_lost_on_the_way_to_a_living_link_are_sent_again(make_lab: MakeLab) -> None:
    """Nobody else may ever tell it; news that came up meanwhile travel along."""
    async with make_lab() as lab:
        a = observer(lab)
        b = lab.network.adapters[B]
        await a.mesh.link(B, "start")
        b.inbox.get_nowait()
        lab.network.rejects[B, "membership"] = None
        a.heartbeat._carry_out(a.membership.told([News("agent_3", 0, alive=False)]))
        await asyncio.sleep(0.5)
        a.heartbeat._carry_out(a.membership.told([News("agent_4", 0, alive=False)]))
        lab.network.rejects.clear()
        await asyncio.sleep(1)
        message = b.inbox.get_nowait()
        assert message.traffic is Traffic.MEMBERSHIP
        assert [item["peer"] for item in _news(message.body)] == ["agent_3", "agent_4"]
        assert b.inbox.empty()


async def test_news_for_a_link_that_takes_none_are_given_up(make_lab: MakeLab) -> None:
    """Bounded attempts; and none at all for a peer that is held for dead by then."""
    async with make_lab() as lab:
        a = observer(lab)
        await a.mesh.link(B, "start")
        lab.network.rejects[B, "membership"] = None
        a.heartbeat._carry_out(a.membership.told([News("agent_3", 0, alive=False)]))
        await asyncio.sleep(20)
        assert len(lab.network.sent("membership")) == 3
        assert a.heartbeat._outbox == {}
        assert a.heartbeat._sending == {}
        lab.network.kill(B)
        a.heartbeat._carry_out(a.membership.told([News("agent_4", 0, alive=False)]))
        await asyncio.sleep(20)
        assert len(lab.network.sent("membership")) == 4


def _news(body: dict[str, Any]) -> list[dict[str, Any]]:
    items = body["news"]
    assert isinstance(items, list)
    return items


async def test_a_falsely_accused_agent_clears_its_name_everywhere(make_lab: MakeLab) -> None:
    """It refutes under its next incarnation, all restore it, and its links come back."""
    async with make_lab(agent_count=6, topology="ring") as lab:
        agents = await linked(lab)
        agents[4].heartbeat._carry_out(agents[4].membership.told([DEAD_B]))
        await asyncio.sleep(5)
        assert [event["incarnation"] for event in agents[1].events("refute")] == [1]
        assert views(agents) == [()] * 6
        for agent in (agents[0], *agents[2:]):
            assert changes(agent, "alive") == [("alive", B, 1, "gossip")]
        assert [sorted(agent.mesh.links) for agent in agents] == [sorted(agent.settings.neighbours) for agent in agents]


async def test_a_refutation_that_got_lost_is_repeated_to_whoever_accuses_again(make_lab: MakeLab) -> None:
    """The accuser probes its suspect in turn, tells it, and is answered: no false suspicion stands for ever."""
    async with make_lab() as lab:
        agents = [lab.agent("agent_1"), lab.agent(B)]
        for name in lab.names[2:]:
            lab.adapter(name)
        a, b = agents
        lab.beat(a)
        lab.network.rejects["agent_1", "membership"] = None
        a.heartbeat._carry_out(a.membership.told([DEAD_B]))
        await asyncio.sleep(10)
        assert b.membership.incarnation == 1
        assert views([a]) == [(B,)]
        lab.network.rejects.clear()
        await asyncio.sleep(2)
        assert views([a]) == [()]
        assert b.membership.incarnation == 1


async def test_two_agents_that_link_know_the_same_afterwards(make_lab: MakeLab) -> None:
    """A hello carries what its sender believes and is answered by what its receiver believes."""
    async with make_lab(agent_count=6) as lab:
        a, b = observer(lab), lab.agent(B)
        a.membership.told([News("agent_3", 0, alive=False), News("agent_5", 7, alive=True)])
        b.membership.told([News("agent_4", 0, alive=False)])
        await a.mesh.link(B, "repair")
        await asyncio.sleep(0.1)
        assert views([a, b]) == [("agent_3", "agent_4")] * 2
        assert b.membership.told([News("agent_5", 6, alive=False)]) == []


async def test_a_restarted_agent_is_restored_by_its_hello_and_told_what_it_missed(make_lab: MakeLab) -> None:
    """One link is enough for everybody to know that it is back, and for it to know who is not."""
    async with make_lab(agent_count=5, topology="ring") as lab:
        agents = await linked(lab)
        lab.kill(agents[1])
        lab.kill(agents[3])
        await asyncio.sleep(4)
        survivors = [agents[0], agents[2], agents[4]]
        assert views(survivors) == [(B, "agent_4")] * 3
        del lab.network.dead[B]
        reborn = lab.agent(B, RESTART_STEP)
        await reborn.mesh.link("agent_1", "rejoin")
        await asyncio.sleep(1)
        assert views([*survivors, reborn]) == [("agent_4",)] * 4
        for agent in survivors:
            assert changes(agent, "alive") == [("alive", B, RESTART_STEP, "gossip")]


@pytest.mark.parametrize("kind", ["hello", "membership"])
@pytest.mark.parametrize("body", [{}, {"news": 3}, {"news": [{"peer": "x"}]}, {"news": [{"peer": 1, "alive": []}]}])
async def test_nonsense_is_journaled_and_changes_nothing(make_lab: MakeLab, kind: Any, body: dict[str, Any]) -> None:
    """Garbage from a peer is its own fault; the view stays as it was."""
    async with make_lab() as lab:
        a = observer(lab)
        a.adapter.inbox.put_nowait(lab.message(B, "agent_1", kind, body))
        await asyncio.sleep(0.1)
        assert [(event["peer"], event["kind"]) for event in a.events("nonsense")] == [(B, kind)]
        assert changes(a) == []


@pytest.mark.parametrize(("killed", "mechanism"), [(True, "watch"), (False, None)])
async def test_the_protocols_own_evidence_is_confirmed_by_a_probe(
    make_lab: MakeLab, mechanism: str | None, *, killed: bool
) -> None:
    """Mode ``native``: a broken stream calls for one probe, which tells a death from a hiccup."""
    async with make_lab(detector={"mode": "native"}) as lab:
        a = observer(lab)
        a.adapter.evidence[B] = stream = asyncio.get_running_loop().create_future()
        await a.mesh.link(B, "start")
        await asyncio.sleep(5)
        assert lab.network.of("probe") == []
        if killed:
            lab.network.kill(B)
        stream.set_exception(PeerUnreachableError(B, "the stream broke"))
        await asyncio.sleep(0.5)
        assert [change[3] for change in changes(a)] == ([mechanism] if mechanism else [])
        assert len(lab.network.of("probe")) == 1


async def test_a_protocol_without_streams_is_watched_by_probes_alone(make_lab: MakeLab) -> None:
    """Mode ``native`` for a protocol that keeps nothing open: no evidence, no busy loop, no error."""
    async with make_lab(detector={"mode": "native"}) as lab:
        a = observer(lab)
        await a.mesh.link(B, "start")
        await asyncio.sleep(5)
        assert lab.network.of("probe") == []


async def test_the_labs_own_idle_connection_shows_a_death(make_lab: MakeLab) -> None:
    """Mode ``tcp``: the end of the connection calls for a probe; as long as it stands, nothing is sent on it."""
    received: list[bytes] = []
    connections: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        received.append(await reader.read())

    async with make_lab(detector={"mode": "tcp"}, recovery={"reconnect": False}) as lab:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        a = observer(lab)
        a.adapter.context = dataclasses.replace(a.adapter.context, resolve=lambda _name: Endpoint("127.0.0.1", port))
        await a.mesh.link(B, "start")
        await asyncio.sleep(5)
        assert len(connections) == 1
        assert lab.network.of("probe") == []
        lab.network.kill(B)
        connections[0].close()
        await connections[0].wait_closed()
        await asyncio.sleep(0.1)
        assert changes(a) == [("suspect", B, 0, "tcp")]
        server.close()
        await server.wait_closed()
        assert received == [b""]
