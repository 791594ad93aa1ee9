"""Wires one agent together and runs it until it is told to stop."""

import asyncio
import os
import random
import socket
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from agent import admin
from agent.agreement import Agreement
from agent.deaths import Deaths
from agent.exchange import Exchange
from agent.fragments import FragmentStore
from agent.heartbeat import HeartbeatMonitor
from agent.journal import Journal, Observer
from agent.lease import Lease
from agent.lifelines import Lifelines
from agent.mailbag import Mailbag
from agent.membership import RESTART_STEP, Membership
from agent.mesh import MeshNetwork
from agent.models.reasoner import Reasoner, open_model
from agent.parts import Assembly
from agent.recovery import RecoveryHandler
from agent.replication import Plan, Replication
from agent.roles import Roles
from agent.settings import CONDUCTOR, AgentSettings, LeaseSettings
from agent.spawn import Spawn, into
from agent.tasks import TaskOwner
from agent.telemetry import Telemetry
from agent.tools import TOOLS, tool_named
from agent.tools.retrieval import preload
from agent.vitals import LoopLag, flush_bytes, flush_rejections, journal_bytes, journal_rejections
from agent.watch import LinkWatcher
from agent.worker import Worker
from agent.workspace import Broadcast, Workspace
from protocols import registry
from protocols.adapter import AdapterContext, Identity
from protocols.clock import Clock
from protocols.errors import ProtocolError
from protocols.message import Message
from protocols.serving import AsgiServer
from protocols.wire import ByteCounter


class Node:
    """One agent: adapter, mesh, detector, worker, tasks and recovery around one workspace."""

    def __init__(
        self,
        settings: AgentSettings,
        clock: Clock,
        counter: ByteCounter,
        new_id: Callable[[], str],
        unix_offset_s: float = 0.0,
        observers: tuple[Observer, ...] = (),
        model_key: str | None = None,
        stall_s: Callable[[], float] | None = None,
    ) -> None:
        """``stall_s``: the event loop's longest stall since the last call; raises ConfigError without its model."""
        me = settings.member(settings.node_id)
        identity = Identity(settings.node_id, settings.incarnation)
        self._settings = settings
        self._clock = clock
        self._counter = counter
        self._new_id = new_id
        self._workspace = Workspace(settings.workspace)
        self._telemetry = Telemetry(identity, me.tool, settings.peers, settings.phases, unix_offset_s)
        self._journal = Journal(
            self._workspace.journal,
            settings.node_id,
            settings.incarnation,
            clock,
            (self._telemetry.observe, *observers),
        )
        context = AdapterContext(
            identity,
            settings.route,
            clock,
            counter,
            self._workspace.folder,
            skills=(tool_named(me.tool).skill,),
            bind_host=settings.bind_host,
        )
        if settings.expects_real_text:
            preload()
        self._model = open_model(settings.model, settings.model_patience_s, model_key, clock)
        self._adapter = registry.load(settings.protocol)(context)
        self._identity = identity
        self._lag = LoopLag(clock, stall_s)
        self._lease = Lease(settings.lease or LeaseSettings(), clock)
        self._assembly = Assembly()
        self._broadcast: Broadcast | None = None
        self._plan: Plan | None = None
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """Let :meth:`run` come to its end."""
        self._stopped.set()

    async def run(self) -> None:
        """Serve until :meth:`stop`; an error in any part ends the agent, visibly."""
        try:
            async with asyncio.TaskGroup() as group:
                await self._live(group)
        except* _StoppedError:
            # Only now: who sees a connection end may rely on it that nothing more comes from here.
            await self._adapter.close()
            await self._model.close()
            flush_bytes(self._counter, self._journal)
            flush_rejections(self._adapter.rejections, self._journal)
            self._journal.append("agent_stop")
            self._journal.close()

    async def _live(self, group: asyncio.TaskGroup) -> None:
        settings = self._settings
        self._assemble(into(group))
        await self._adapter.start()
        application = admin.application(
            self._telemetry, self._status, self._check_links, self._start, self._lease.renew, self.stop
        )
        server = AsgiServer(application, socket.create_server((settings.bind_host, settings.admin_port), backlog=64))
        await server.start()
        me = settings.member(settings.node_id)
        self._journal.append(
            "agent_start", pid=os.getpid(), protocol=settings.protocol, tool=me.tool, host=me.host, port=me.port
        )
        for loop in (
            self._mesh.receive_forever(),
            self._heartbeat.beat_forever(),
            journal_bytes(self._counter, self._clock, self._journal),
            journal_rejections(self._adapter.rejections, self._clock, self._journal),
            self._lag.journal_forever(self._journal),
        ):
            group.create_task(loop)
        if settings.lease is not None:
            group.create_task(self._end_with(settings.lease))
        self._roles.review_adoption(TOOLS)
        await self._rejoin()
        await self._stopped.wait()
        await self._tasks.wind_up()
        await server.close()
        raise _StoppedError

    def _assemble(self, spawn: Spawn) -> None:
        settings, clock, journal = self._settings, self._clock, self._journal
        order = random.Random(f"{settings.seed}|{settings.node_id}|detector")  # noqa: S311 - an order, not a secret
        membership = Membership(settings.node_id, settings.incarnation, settings.peers, settings.detector, order)
        self._spawn = spawn
        mailbag = Mailbag(clock, self._workspace.note_message)
        self._mesh = MeshNetwork(self._identity, self._adapter, clock, journal, self._new_id, spawn, mailbag)
        rng = random.Random(f"{settings.seed}|{settings.node_id}|heartbeat")  # noqa: S311 - a phase, not a secret
        self._heartbeat = HeartbeatMonitor(
            membership, self._mesh, settings.detector, clock, journal, spawn, rng, self._lag
        )
        self._roles = Roles(settings, lambda: membership.alive, journal)
        exchange = Exchange(settings, self._mesh, self._roles, clock, journal, self._new_id, spawn)
        reasoner = Reasoner(settings.model, self._model, clock, journal, self._workspace.note_model)
        self._worker = Worker(settings, self._mesh, self._roles, exchange, clock, journal, spawn, reasoner)
        self._lifelines = Lifelines(self._adapter, clock, spawn)
        deaths = Deaths(self._mesh, self._lifelines, settings.detector.timeout_s)
        agreement = Agreement(settings, self._mesh, self._roles, deaths, clock, self._lag, spawn)
        self._heartbeat.disturbed = agreement.disturbed
        self._tasks = TaskOwner(
            settings,
            self._mesh,
            self._roles,
            exchange,
            agreement,
            deaths,
            self._workspace,
            clock,
            journal,
            spawn,
        )
        self._replication = Replication(settings, self._mesh, self._roles, self._worker.shelves, clock, journal, spawn)
        self._replication.plan = lambda: self._plan
        self._heartbeat.observed = self._replication.observed
        self._heartbeat.recovery = RecoveryHandler(
            settings,
            self._mesh,
            self._roles,
            exchange,
            self._tasks,
            self._replication,
            clock,
            journal,
            spawn,
            membership.is_alive,
        )
        LinkWatcher(settings.detector, self._adapter, self._mesh, self._heartbeat, clock, spawn)
        self._mesh.on("broadcast", self._on_broadcast)

    async def _on_broadcast(self, message: Message) -> None:
        if message.sender != CONDUCTOR:
            self._journal.append("nonsense", peer=message.sender, kind=message.kind)
            return
        try:
            broadcast = self._assembly.add(Broadcast.model_validate(message.body))
        except ValidationError:
            self._journal.append("nonsense", peer=message.sender, kind=message.kind)
            return
        if broadcast is None:
            return
        self._workspace.keep_broadcast(broadcast)
        self._take(broadcast)

    def _take(self, broadcast: Broadcast) -> None:
        store = FragmentStore(len(broadcast.placement))
        for shard, fragments in broadcast.shards.items():
            store.store(shard, fragments)
        self._worker.shelves.fill(store, broadcast.placement, [task.question for task in broadcast.schedule])
        self._broadcast = broadcast
        self._journal.append(
            "init", shards=list(store.shards), fragments=store.fragment_count, tasks=len(broadcast.schedule)
        )

    def _start(self, t0: float) -> bool:
        if self._broadcast is None:
            return False
        self._workspace.keep_start(t0)
        self._begin(self._broadcast, t0, since=t0)
        return True

    def _begin(self, broadcast: Broadcast, t0: float, since: float) -> None:
        self._plan = broadcast, t0
        self._journal.append("started", t0=t0)
        self._lifelines.hold(self._settings.peers)
        self._spawn(self._tasks.run_schedule(broadcast.schedule, t0, since))

    async def _rejoin(self) -> None:
        """After a restart: take shards and schedule from the own workspace and link to the neighbours again.

        Where the workspace has lost them, the peers have them.
        """
        earlier = self._workspace.earlier_life()
        if earlier is not None:
            self._resume(*earlier)
        elif self._settings.incarnation < RESTART_STEP:
            return
        for peer in self._settings.neighbours:
            try:
                await self._mesh.link(peer, "rejoin")
            except ProtocolError:
                self._mesh.broke(peer)
        if earlier is None and (recalled := await self._replication.recall()) is not None:
            self._workspace.keep_broadcast(recalled[0])
            self._workspace.keep_start(recalled[1])
            self._resume(*recalled)
        self._replication.review()

    def _resume(self, broadcast: Broadcast, t0: float) -> None:
        """Begin where an earlier life was cut off; what arrived before now is others' business.

        To be called before the first hello, if possible: from then on others leave this agent's tasks, and its
        heirlooms, to it.
        """
        self._take(broadcast)
        self._begin(broadcast, t0, since=self._clock.now())

    async def _check_links(self) -> list[tuple[str, str]]:
        return await self._mesh.check(self._settings.neighbours)

    async def _end_with(self, lease: LeaseSettings) -> None:
        await self._lease.run_out()
        self._journal.append("lease_lost", silent_s=lease.silent_s)
        self.stop()

    def _status(self) -> dict[str, Any]:
        return {
            "node_id": self._settings.node_id,
            "incarnation": self._settings.incarnation,
            "links": list(self._mesh.links),
            "stored": self._broadcast is not None,
        }


class _StoppedError(Exception):
    """Ends the task group, and with it every task of the agent."""
