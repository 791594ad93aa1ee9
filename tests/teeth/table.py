"""What each broken agent must move, and what it must leave alone: declared here, before any run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from orchestrator import timeline
from orchestrator.scenario import Scenario
from tests.teeth import sabotage
from tests.teeth.sabotage import Saboteur

Direction = Literal["up", "down"]
Who = Literal["all", "one survivor"]


@dataclass(frozen=True)
class Judged:
    """One number that is judged, by its path in ``failstorm_metrics.json``."""

    name: str
    unit: str
    resolution: float
    """The least difference that is called one, in the unit; of bytes a share."""


JUDGED: tuple[Judged, ...] = (
    Judged("recovery_ms", "ms", 50),
    Judged("reroute_ms.first", "ms", 50),
    Judged("reconnect_ms.first", "ms", 50),
    Judged("steady_state_ms", "ms", 100),
    Judged("bytes_reconnect", "bytes", 0.05),
    Judged("liveness_cost_bytes_per_s", "bytes/s", 0.05),
    Judged("success_rate_drop", "ratio", 0.02),
    Judged("unavoidable_drop", "ratio", 0),
    Judged("duplicate_work_ratio", "ratio", 0.01),
    Judged("redundant", "ratio", 0.01),
    Judged("lost_tasks", "count", 0),
    Judged("answer_f1", "ratio", 0.02),
    Judged("detection_ms.p50", "ms", 50),
    Judged("agreement_ms", "ms", 100),
    Judged("false_suspicions.count", "count", 0),
    Judged("depth", "ratio", 0.05),
    Judged("degradation_area_s", "s", 0.1),
    Judged("retry_amplification.peak", "ratio", 0.1),
    Judged("mttr_ms", "ms", 100),
    Judged("latency_ms.pre.p50", "ms", 25),
    Judged("bytes_unclassified", "bytes", 0),
)
BY_NAME: Mapping[str, Judged] = MappingProxyType({judged.name: judged for judged in JUDGED})

_CALM = ("false_suspicions.count", "liveness_cost_bytes_per_s", "latency_ms.pre.p50", "bytes_unclassified")
"""What the time before the storm decides, and whatever hurts only afterwards cannot touch."""
_DETECTOR = ("detection_ms.p50", "agreement_ms")


@dataclass(frozen=True)
class Tooth:
    """One way of being broken, and what it does to the numbers."""

    name: str
    what: str
    moves: Mapping[str, Direction]
    keeps: Sequence[str]
    saboteur: type[Saboteur] = sabotage.Unbroken
    who: Who = "all"
    settings: Mapping[str, bool] = field(default_factory=dict)
    """Switches of the scenario that are the breakage, or part of it."""


TEETH: tuple[Tooth, ...] = (
    Tooth(
        "never-reconnects",
        "makes no connection any more from the first death on",
        moves={"reconnect_ms.first": "up", "success_rate_drop": "up", "steady_state_ms": "up"},
        keeps=(*_CALM, "detection_ms.p50", "recovery_ms", "reroute_ms.first", "unavoidable_drop"),
        saboteur=sabotage.NeverReconnects,
    ),
    Tooth(
        "never-republishes",
        "reconnects, but publishes neither requests nor tasks of the dead again",
        moves={"reroute_ms.first": "up", "mttr_ms": "up", "lost_tasks": "up", "success_rate_drop": "up"},
        keeps=(*_CALM, *_DETECTOR, "reconnect_ms.first", "unavoidable_drop"),
        settings={"recovery.republish": False, "recovery.takeover": False},
    ),
    Tooth(
        "republishes-twice",
        "publishes twice whatever it publishes again",
        moves={"duplicate_work_ratio": "up", "redundant": "up"},
        keeps=(*_CALM, *_DETECTOR, "recovery_ms", "success_rate_drop", "lost_tasks", "answer_f1", "unavoidable_drop"),
        saboteur=sabotage.RepublishesTwice,
    ),
    Tooth(
        "answers-wrong",
        "reasons out another answer from the first death on",
        moves={"success_rate_drop": "up", "answer_f1": "down", "depth": "up", "degradation_area_s": "up",
               "steady_state_ms": "up"},
        keeps=(*_CALM, *_DETECTOR, "recovery_ms", "lost_tasks", "duplicate_work_ratio", "bytes_reconnect"),
        saboteur=sabotage.AnswersWrong,
    ),
    Tooth(
        "declares-dead",
        "hears nothing of a live neighbour and declares it dead, again and again",
        moves={"false_suspicions.count": "up", "duplicate_work_ratio": "up", "liveness_cost_bytes_per_s": "up"},
        keeps=("lost_tasks", "answer_f1", "unavoidable_drop", "bytes_unclassified"),
        saboteur=sabotage.DeclaresDead,
        who="one survivor",
    ),
    Tooth(
        "zombie",
        "answers probes but does no work from the first death on",
        moves={"success_rate_drop": "up", "lost_tasks": "up", "depth": "up", "degradation_area_s": "up",
               "steady_state_ms": "up"},
        keeps=(*_CALM, *_DETECTOR, "recovery_ms", "unavoidable_drop"),
        saboteur=sabotage.Zombie,
        who="one survivor",
    ),
    Tooth(
        "loses-every-third",
        "acknowledges every message and loses every third one from the first death on",
        moves={"success_rate_drop": "up", "retry_amplification.peak": "up", "degradation_area_s": "up",
               "steady_state_ms": "up"},
        keeps=(*_CALM, "recovery_ms", "unavoidable_drop"),
        saboteur=sabotage.LosesEveryThird,
    ),
    Tooth(
        "lies-about-bytes",
        "counts half of its bytes",
        moves={"bytes_reconnect": "down", "liveness_cost_bytes_per_s": "down"},
        keeps=("false_suspicions.count", "latency_ms.pre.p50", "bytes_unclassified", *_DETECTOR, "recovery_ms",
               "success_rate_drop", "unavoidable_drop", "duplicate_work_ratio", "lost_tasks", "answer_f1"),
        saboteur=sabotage.LiesAboutBytes,
    ),
)  # fmt: skip


def one_survivor(scenario: Scenario) -> str:
    """The first survivor whose tool another survivor has as well: the mesh could do without its work."""
    plan = timeline.plan(scenario)
    left = [agent for agent in plan.agents if agent.node_id not in plan.victims]
    tools = [agent.tool for agent in left]
    return next((agent.node_id for agent in left if tools.count(agent.tool) > 1), left[0].node_id)
