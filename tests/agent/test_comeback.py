"""Who comes back from a cut or a freeze: it finds everybody at once, accuses nobody, and does nothing a second time."""

import asyncio
import gc
import random
from collections.abc import Iterable

import pytest

from agent.decisions import Decision, News, Probe, Tell
from agent.membership import RESTART_STEP, Membership
from agent.settings import DetectorSettings
from protocols.errors import LabError
from protocols.message import Message, Traffic
from tests.agent.owning import MakeLab, all_events, owned, running, start, suspect

PEERS = ("b", "c", "d", "e", "f")


def probed(decisions: Iterable[Decision]) -> list[str]:
    """Whom these decisions probe."""
    return [decision.peer for decision in decisions if isinstance(decision, Probe)]


def cut_off() -> Membership:
    """Has held everybody but ``b`` for dead for a beat."""
    view = Membership("a", 0, PEERS, DetectorSettings(), random.Random(1))
    view.told([News(peer, 0, alive=False) for peer in PEERS[1:]], 0)
    view.due_probes(["b"], 1)  # asks b, and c to find it back
    return view


def test_who_was_missed_asks_at_once_for_all_whom_it_misses() -> None:
    """A cut that ends for one ends for others too: nobody is left to be found back beat after beat."""
    view = cut_off()
    assert probed(view.told([News("a", 0, alive=False)], 1, "c")) == ["c", "d", "e", "f"]
    assert probed(view.told([News("a", 1, alive=False)], 1, "d")) == []  # once a beat
    view.due_probes(["b"], 2)
    assert probed(view.told([News("a", 2, alive=False)], 2, "d")) == ["c", "d", "e", "f"]


def test_who_finds_one_back_asks_at_once_for_the_others() -> None:
    """Whichever side of the cut is the first to look."""
    view = cut_off()
    assert view.heard("c", 1, 1)[0] == Tell(News("c", 0, alive=False), "c")
    assert probed(view.heard("c", 1, 1)) == []
    assert probed(cut_off().heard("c", 1, 1)) == ["d", "e", "f"]


def test_who_is_held_for_dead_accuses_nobody() -> None:
    """What it said in a cut arrives when that heals; of itself and of the living it may speak."""
    view = cut_off()
    assert view.told([News("b", 0, alive=False)], 2, "c") == []
    assert view.is_alive("b")
    view.told([News("c", 1, alive=True), News("d", 1, alive=True)], 2, "c")
    assert (view.is_alive("c"), view.is_alive("d")) == (True, True)
    view.told([News("b", 0, alive=False)], 2, "c")  # said before c cleared its name, and late
    assert view.is_alive("b")
    view.told([News("b", 0, alive=False, told_in=1)], 2, "c")
    assert not view.is_alive("b")


def test_who_clears_its_name_in_a_message_is_heard_in_it() -> None:
    """A hello begins with its sender's own life; and under SWIM a doubt is an accusation too."""
    view = cut_off()
    hello = [News("c", 1, alive=True), News("b", 0, alive=False, told_in=1)]
    view.told(hello, 2, "c")
    assert (view.is_alive("c"), view.is_alive("b")) == (True, False)
    doubting = Membership("a", 0, PEERS, DetectorSettings(kind="swim"), random.Random(1))
    doubting.told([News("c", 0, alive=False)], 0)
    assert doubting.told([News("b", 0, alive=True, doubted_by="c")], 1, "c") == []
    assert doubting.told([News("b", 0, alive=True, doubted_by="d")], 1, "d") != []


def test_nobody_is_accused_who_was_not_asked_again() -> None:
    """Three back of five, so it is no longer cut off; what it believed then is no news until it has asked."""
    view = cut_off()
    asked = view.told([News("a", 0, alive=False)], 1, "c")
    view.told([News(peer, 1, alive=True) for peer in ("d", "f")], 1)
    assert [news.peer for news in view.view() if not news.alive] == []
    (about_e,) = (decision for decision in asked if isinstance(decision, Probe) and decision.peer == "e")
    assert view.missed(about_e, 1.5, 0.5, refused=False) == []  # asked before the return
    assert [news.peer for news in view.view() if not news.alive] == []
    # Who was met meanwhile has not heard of this death, so it is told now, if anybody does answer.
    assert view.missed(about_e, 1.5, 1.0, refused=False) == []
    view.heard("c", 1.5, 1.4)
    assert view.missed(about_e, 1.5, 1.0, refused=False) == [Tell(News("e", 0, alive=False, told_in=1))]
    assert [news.peer for news in view.view() if not news.alive] == ["e"]
    assert view.missed(about_e, 2.5, 2.0, refused=False) == []


def test_what_was_said_before_a_refutation_counts_where_nobody_had_believed_the_accusation() -> None:
    """Mail overtakes mail: c has refuted what never got here, and says nothing of this death a second time."""
    view = Membership("a", 0, PEERS, DetectorSettings(), random.Random(1))
    view.told([News("c", 1, alive=True)], 1, "c")
    view.told([News("b", 0, alive=False)], 2, "c")
    assert not view.is_alive("b")


def test_who_was_accused_tells_again_whom_it_misses() -> None:
    """Who held it for dead meanwhile has not believed it; but first it asks again."""
    view = cut_off()
    view.heard("b", 1.5, 1.5)
    (probe,) = (one for one in view.due_probes([], 2) if isinstance(one, Probe))
    view.told([News("a", 0, alive=False)], 2.1, "b")
    assert view.missed(probe, 2.2, 2.0, refused=False) == []
    view.told([News("a", 1, alive=False)], 2.3, "b")  # twice in a beat
    assert view.missed(probe, 2.4, 2.2, refused=False) == []
    assert view.missed(probe, 2.4, 2.3, refused=False) == [Tell(News(probe.peer, 0, alive=False, told_in=2))]


def test_who_hears_somebody_again_asks_all_who_owe_an_answer() -> None:
    """What it missed in the cut runs out after it, unless they answer first."""
    view = Membership("a", 0, PEERS, DetectorSettings(), random.Random(1))
    view.heard("b", 0, 0)
    view.due_probes(PEERS[:3], 1)
    view.missed(Probe("c"), 1.5, 1, refused=False)
    assert view.heard("b", 1.0, 1) == []
    (probe,) = view.heard("b", 2.3, 2.3)
    assert probe == Probe("c", extra=True)
    assert view.heard("b", 4.3, 4.3) == []  # once a beat
    assert view.missed(probe, 2.8, 2.3, refused=False) == []  # beyond the schedule, so it is no second miss
    assert view.is_alive("c")


async def test_who_comes_back_leaves_what_was_settled_without_it(make_lab: MakeLab) -> None:
    """Cut off, it began all the tasks of the others; the others tell it at once what they have committed meanwhile."""
    tasks = {f"q{number}": number / 6 for number in range(42)}
    async with make_lab(agent_count=8, topology="mesh", task_deadline_s=0.8) as lab:
        agents = await running(lab, tasks)
        lab.beat(*agents)
        await asyncio.sleep(1.5)
        lab.network.cut(lab.names[:1], lab.names[1:])
        lab.network.cut(lab.names[1:], lab.names[:1])
        await asyncio.sleep(5)
        lab.network.cuts.clear()
        healed_at = lab.clock.now()
        settled = {event["task"] for event in all_events(agents[1:], "answer")}
        begun = {event["task"] for event in agents[0].events("task_start") if event["takeover"]} & settled
        assert len(begun) > 5
        await asyncio.sleep(8)
        late = {event["task"] for event in agents[0].events("request") if event["t"] > healed_at + 1.5}
        assert late & begun == set()
        assert agents[0].owner._running == {}


async def test_what_is_settled_is_told_again_to_who_does_not_take_it(make_lab: MakeLab) -> None:
    """A few times; and only what the peer can have missed."""
    async with make_lab(agent_count=8, step_work_ms=1) as lab:
        agents = await running(lab)
        a = agents[0]
        early, missed = owned(a, "agent_1", "agent_3"), owned(a, "agent_1", "agent_4")
        start(lab, agents, {early: 0.0, missed: 10.0})
        await asyncio.sleep(9)
        suspect([a], "agent_2")
        lab.network.rejects["agent_2", "commit"] = None
        await asyncio.sleep(2)
        lab.network.calls.clear()
        a.hear(News("agent_2", 1, alive=True))
        await asyncio.sleep(0.2)
        lab.network.rejects.clear()
        await asyncio.sleep(3)
        told = [one for one in lab.network.sent("commit") if (one.sender, one.recipient) == ("agent_1", "agent_2")]
        assert [(notice.body, notice.traffic) for notice in told] == [
            ({"settled": [missed]}, traffic) for traffic in (Traffic.TASK, Traffic.RETRY, Traffic.RETRY)
        ]
        assert not agents[1].owner._agreement.is_open(missed)


async def test_when_who_knew_dies_the_next_in_line_is_told(make_lab: MakeLab) -> None:
    """Owner and electors may die one after the other: somebody knows all the same."""
    async with make_lab(agent_count=8, step_work_ms=1) as lab:
        agents = await running(lab)
        a = agents[0]
        line = a.roles.owners(task := owned(a, "agent_1", "agent_2", "agent_3"))
        long_ago = owned(a, "agent_1", "agent_2", "agent_4")
        start(lab, agents, {long_ago: 0.0, task: 10.0})
        await asyncio.sleep(11)
        lab.network.calls.clear()
        for victim in line[1:3]:
            suspect([a], victim)
            await asyncio.sleep(1)
        told = [(notice.recipient, notice.body) for notice in lab.network.sent("commit")]
        assert told == [(line[3], {"settled": [task]}), (line[4], {"settled": [task]})]


@pytest.mark.parametrize("missed", [True, False])
async def test_who_comes_back_without_a_memory_is_no_heir(make_lab: MakeLab, *, missed: bool) -> None:
    """Nobody asks a new life about an older task; whether the death was noticed or not, the next in line is told."""
    async with make_lab(agent_count=8, step_work_ms=1) as lab:
        agents = await running(lab)
        a = agents[0]
        line = a.roles.owners(task := owned(a, "agent_1", "agent_2", "agent_3"))
        start(lab, agents, {task: 0.0})
        await asyncio.sleep(1)
        lab.network.calls.clear()
        for place in (1, 2):
            if missed:
                suspect([a], line[place])
            a.hear(News(line[place], RESTART_STEP, alive=True))
            await asyncio.sleep(1)
        told = [(notice.recipient, notice.body) for notice in lab.network.sent("commit")]
        assert told == [(line[3], {"settled": [task]}), (line[4], {"settled": [task]})]


async def test_a_full_disk_in_the_middle_of_telling_is_said_once(
    make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of two letters runs into it; what asyncio would log of the second costs the agent its last word."""
    async with make_lab(agent_count=8) as lab:
        a = lab.observer()
        logged: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: logged.append(context))

        async def send(message: Message) -> None:
            await asyncio.sleep(0.1)
            raise LabError(f"no space left for what goes to {message.recipient}")

        monkeypatch.setattr(a.mesh, "send", send)
        a.owner._notices._settle(task := owned(a, "agent_1"), ())
        with pytest.raises(ExceptionGroup):
            await a.owner._notices._tell(lambda: {peer: [task] for peer in ("agent_2", "agent_3")})
        await asyncio.sleep(1)
        gc.collect()
        assert logged == []


@pytest.mark.parametrize("is_younger", [True, False])
async def test_two_new_lives_do_not_take_each_other_for_too_young(make_lab: MakeLab, *, is_younger: bool) -> None:
    """Both electors were restarted; one hears late of the other and asks it all the same; too young it says so."""
    async with make_lab(agent_count=8) as lab:
        a, b = lab.agent("agent_1", RESTART_STEP), lab.agent("agent_2", RESTART_STEP)
        task = owned(a, "agent_1", "agent_2")
        third = a.roles.owners(task)[2]
        now = lab.clock.now()
        for agent, since in ((a, now + 1), (b, now + 9 if is_younger else now + 0.5)):
            lab.store(agent, arrivals_s={task: 2.0})
            broadcast = agent.node._broadcast
            assert broadcast is not None
            lab.spawn(agent.owner.run_schedule(broadcast.schedule, now, since=since))
        await asyncio.sleep(2.5)
        suspect([a, b], third)  # killed, and so no elector
        lab.network.kill(third)
        a.hear(News("agent_2", RESTART_STEP, alive=True))
        told = await a.owner._agreement.win(task, inherited=True)
        assert told == (() if is_younger else ("agent_2",))


async def test_who_knows_tells_the_next_in_line_when_the_one_who_committed_dies(make_lab: MakeLab) -> None:
    """Not only its own commitments: the owner dies first, then one after the other who knew of it from the owner."""
    async with make_lab(agent_count=8, step_work_ms=1) as lab:
        everybody = await running(lab)
        agents = {agent.settings.node_id: agent for agent in everybody}
        line = agents["agent_1"].roles.owners(task := owned(agents["agent_1"], "agent_1"))
        start(lab, agents.values(), {task: 0.0})
        await asyncio.sleep(1)
        for victim in line[:5]:
            lab.kill(agents.pop(victim))
            suspect(agents.values(), victim)
            await asyncio.sleep(1)
        assert [event["node"] for event in all_events(everybody, "task_start")] == [line[0]]


@pytest.mark.parametrize("age_s", [0.0, 5.0])
async def test_a_new_life_takes_no_receipt_for_a_promise(make_lab: MakeLab, age_s: float) -> None:
    """Until all have heard of it another may stand in for the last life; whoever has lived from t0 on need not ask."""
    async with make_lab(agent_count=8) as lab:
        a = lab.observer()
        now = lab.clock.now()
        await a.owner.run_schedule((), now - age_s, since=now)
        winning = asyncio.ensure_future(a.owner._agreement.win(owned(a, "agent_1", "agent_2"), inherited=False))
        await asyncio.sleep(0.1)
        winning.cancel()
        (proposal,) = lab.network.sent("commit")
        assert ("answer" in proposal.body) is (age_s > 0)


async def test_a_commitment_that_another_reports_ends_what_was_begun(make_lab: MakeLab) -> None:
    """But not what this agent has committed itself, and nonsense ends nothing."""
    async with make_lab(agent_count=8, step_work_ms=300) as lab:
        agents = await running(lab)
        a, b = agents[:2]
        mine, theirs = owned(a, "agent_1", "agent_3"), owned(a, "agent_1", "agent_2")
        start(lab, agents, {mine: 0.0, theirs: 3.0})
        await asyncio.sleep(3.2)
        assert list(a.owner._running) == [theirs]
        await b.mesh.send(b.mesh.message("agent_1", "commit", Traffic.TASK, {"settled": [mine, theirs, 7]}))
        await b.mesh.send(b.mesh.message("agent_1", "commit", Traffic.TASK, {"settled": "all"}))
        await asyncio.sleep(0.1)
        assert a.owner._running == {}
        assert a.owner._agreement._promised == {mine: "agent_1", theirs: "agent_2", "7": "agent_2"}
        await asyncio.sleep(3)
        assert [event["task"] for event in a.events("answer")] == [mine]
