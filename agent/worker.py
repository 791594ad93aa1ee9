"""Does steps for others and for itself: one tool, a bounded number at a time, each request once."""

import asyncio
import math
import random
from collections import OrderedDict

from pydantic import JsonValue

from agent.errand import PATIENCE_IN_DEADLINES, JsonObject, Step
from agent.exchange import Exchange
from agent.fragments import FragmentUnavailableError
from agent.journal import Journal
from agent.library import Shelves, StepLibrary
from agent.mesh import MeshNetwork
from agent.models.contract import ModelFailedError
from agent.models.reasoner import Reasoner
from agent.roles import LOOKUP, Roles
from agent.settings import AgentSettings
from agent.spawn import Spawn
from agent.tools import tool_named
from agent.tools.contract import StepRejectedError
from protocols.clock import Clock
from protocols.errors import ProtocolError
from protocols.message import Message, Traffic

_REMEMBERED_RESULTS = 2000
_RESULT_ATTEMPTS = 4
_RESULT_BACKOFF_S = 0.1
_SERVICE_JITTER = 0.1


class Worker:
    """Executes steps; the ``shelves`` are filled with the broadcast."""

    def __init__(
        self,
        settings: AgentSettings,
        mesh: MeshNetwork,
        roles: Roles,
        exchange: Exchange,
        clock: Clock,
        journal: Journal,
        spawn: Spawn,
        reasoner: Reasoner,
    ) -> None:
        self.shelves = Shelves(roles, exchange, clock, settings.task_deadline_s)
        self._reasoner = reasoner
        self._settings = settings
        self._mesh = mesh
        self._roles = roles
        self._exchange = exchange
        self._clock = clock
        self._journal = journal
        self._spawn = spawn
        self._slots = asyncio.Semaphore(settings.concurrent_steps)
        # None while the step is under way; the result afterwards, for a caller that asks again.
        self._results: OrderedDict[str, JsonObject | None] = OrderedDict()
        exchange.execute_locally = self.execute
        exchange.within_reach = self.shelves.within_reach
        mesh.on("request", self._on_request)

    async def execute(self, step: Step, request_id: str) -> JsonObject:
        """Do ``step`` here and now; a refusal or failure is a result with ``ok`` false."""
        if not self._roles.can(step.tool):
            return {"ok": False, "error": "refused"}
        if step.tool == LOOKUP:
            return self._look_up_here(step, request_id)
        async with self._slots:
            if self._clock.now() >= step.give_up_at:  # it waited too long for its turn: nobody wants it any more
                return {"ok": False, "error": "late"}
            self._journal.append("step_start", task=step.task_id, step=step.step_id, req=request_id, tool=step.tool)
            await self._clock.sleep(self._service_time_s(step.step_id))
        result = await self._run_tool(step)  # without a slot: it may wait for the lookups
        self._journal.append("step_done", task=step.task_id, step=step.step_id, req=request_id, ok=result["ok"] is True)
        return result

    def _look_up_here(self, step: Step, request_id: str) -> JsonObject:
        output = self.shelves.answer(step.input)
        if output is None:
            return {"ok": False, "error": "refused"}
        names: JsonObject = {"task": step.task_id, "step": step.step_id, "req": request_id}
        self._journal.append("step_start", **names, tool=LOOKUP)
        self._journal.append("step_done", **names, ok=True)
        return {"ok": True, "output": output}

    async def _run_tool(self, step: Step) -> JsonObject:
        library = StepLibrary(self.shelves, self._reasoner, step)
        try:
            return {"ok": True, "output": await tool_named(step.tool).execute(step.input, library)}
        except FragmentUnavailableError as error:
            return {"ok": False, "error": "unavailable", "title": error.title}
        except ModelFailedError as error:
            return {"ok": False, "error": "model", "detail": error.fault}
        except StepRejectedError as error:
            return {"ok": False, "error": "rejected", "detail": str(error)}

    def _service_time_s(self, step_id: str) -> float:
        """The declared thinking time of one step, with a jitter that depends on nothing but the seed and the step."""
        rng = random.Random(f"{self._settings.seed}|{step_id}")  # noqa: S311 - a service time, not a secret
        return self._settings.step_work_ms / 1000 * rng.uniform(1 - _SERVICE_JITTER, 1 + _SERVICE_JITTER)

    async def _on_request(self, message: Message) -> None:
        if message.message_id in self._results:
            known = self._results[message.message_id]
            if known is not None:
                self._spawn(self._answer(message, known))
            return
        self._results[message.message_id] = None
        if len(self._results) > _REMEMBERED_RESULTS:
            self._results.popitem(last=False)
        self._spawn(self._serve(message))

    async def _serve(self, message: Message) -> None:
        body = message.body
        task, step_id, tool, payload = (body.get(key) for key in ("task", "step", "tool", "input"))
        if isinstance(task, str) and isinstance(step_id, str) and isinstance(tool, str) and isinstance(payload, dict):
            step = Step(task, step_id, tool, payload, self._give_up_at(body.get("patience_s")), tuple)
            result = await self.execute(step, message.message_id)
        else:
            result = {"ok": False, "error": "rejected", "detail": "expected task, step, tool and input"}
        if result.get("error") in ("refused", "unavailable", "model", "late"):
            # Views may agree in a moment, a holder may come back, it may be wanted for longer: the next attempt under
            # this id is a fresh one.
            self._results.pop(message.message_id, None)
        elif message.message_id in self._results:
            self._results[message.message_id] = result
        await self._answer(message, result)

    def _give_up_at(self, patience_s: JsonValue) -> float:
        """For so long the sender wants it, as far as it says so; clocks need not agree on anything but the rate."""
        deadline_s = self._settings.task_deadline_s
        if not isinstance(patience_s, int | float) or not math.isfinite(patience_s):
            patience_s = deadline_s
        return self._clock.now() + min(max(patience_s, 0.0), PATIENCE_IN_DEADLINES * deadline_s)

    async def _answer(self, request: Message, result: JsonObject) -> None:
        reply = self._mesh.message(request.sender, "result", Traffic.TASK, result, in_reply_to=request.message_id)
        for attempt in range(_RESULT_ATTEMPTS):
            try:
                await self._mesh.send(reply)
            except ProtocolError:
                if request.sender not in self._roles.alive():
                    return  # nobody is left to read it; whoever takes over asks again
                await self._clock.sleep(_RESULT_BACKOFF_S * 2**attempt)
            else:
                return
