"""Every fault beside the kill: what it does to a target, what it records, and what it refuses."""

import asyncio

import pytest

from chaos import faults
from chaos.parameters import Parameters
from chaos.targets import LACKS, lacks
from protocols.errors import FaultError

from .fake_target import FakeTarget

GIVEN = Parameters(latency_ms=100, jitter_ms=10, loss=0.5, kbit_per_s=8, corrupt=0.25, cpus=0.5, spare_mib=4)
OTHERS = [name for name in faults.names() if name != "kill"]


def parameters_of(name: str) -> Parameters:
    """As many of ``GIVEN`` as the fault takes."""
    return Parameters(**{key: GIVEN.given[key] for key in faults.load(name).takes})


@pytest.mark.parametrize("name", OTHERS)
def test_a_fault_is_recorded_before_the_first_victim_is_hit_and_when_it_is_proven(name: str) -> None:
    """All calls come first, then each victim is hit and its proof recorded; healing leaves a call and an end each."""
    fault, target = faults.load(name), FakeTarget()
    asyncio.run(fault.inject(target, ("a", "b"), target.record, parameters_of(name)))
    called = {"fault": name, "effect": fault.effect}
    assert target.log[:2] == [("fault_call", {"victim": victim, **called}) for victim in "ab"]
    events = [event for event, _ in target.log]
    assert events.count("fault_done") == 2
    hit = next(event for event in events if event not in {"fault_call", "fault_done"})
    assert events.index(hit) == 2
    target.log.clear()
    asyncio.run(fault.heal(target, ("a", "b"), target.record))
    events = [event for event, _ in target.log]
    assert (events[:2], events.count("heal_done"), len(events)) == (["heal_call"] * 2, 2, 6)
    assert all(fields.get("fault", name) == name for _, fields in target.log)


def test_one_victim_that_resists_is_a_failed_fault_and_the_others_are_hit() -> None:
    """What did not land is in the journal with its reason."""
    target = FakeTarget(immortal="b")
    asyncio.run(faults.load("pause").inject(target, ("a", "b"), target.record))
    asyncio.run(faults.load("pause").heal(target, ("a", "b"), target.record))
    assert [fields for event, fields in target.log if event == "fault_failed"] == [
        {"victim": "b", "reason": "b resists"}
    ] * 2
    assert [fields["victim"] for event, fields in target.log if event == "fault_done"] == ["a"]


@pytest.mark.parametrize("target", [FakeTarget(reason="it is a picture"), FakeTarget(refusal="all agents")])
def test_a_refused_order_hurts_nobody(target: FakeTarget) -> None:
    """What the target cannot do or refuses is an error before anything is recorded."""
    with pytest.raises(FaultError):
        asyncio.run(faults.load("cut").inject(target, ("a",), target.record))
    assert target.log == []


def test_links_are_bent_as_the_parameters_say() -> None:
    """Each fault reaches the proxy in its own units, and a partition spares its fellows."""
    target = FakeTarget()
    for name in ("latency", "loss", "bandwidth", "corrupt", "deafen", "sever", "partition"):
        asyncio.run(faults.load(name).inject(target, (name, "z"), target.record, parameters_of(name)))
    shapes = {name: bend.shape for name, bend in target.bends.items()}
    assert (shapes["latency"].latency_s, shapes["latency"].jitter_s) == (0.1, 0.01)
    assert (shapes["loss"].loss, shapes["bandwidth"].bytes_per_s, shapes["corrupt"].corrupt) == (0.5, 1000, 0.25)
    assert target.bends["deafen"].flows("deafen", ("deafen", "x")) == (("x", "deafen"),)
    assert target.bends["sever"].flows("sever", ("sever", "x", "z")) == (("z", "sever"), ("sever", "z"))
    assert target.bends["partition"].flows("partition", ("partition", "x", "z")) == (
        ("x", "partition"),
        ("partition", "x"),
    )


def test_parameters_that_do_not_fit_are_named() -> None:
    """A fault says what it takes; what it needs cannot be left out."""
    assert faults.misfit(faults.load("latency"), Parameters(latency_ms=1)) is None
    assert "needs latency_ms" in str(faults.misfit(faults.load("latency"), Parameters()))
    assert "takes no parameters, got loss" in str(faults.misfit(faults.load("kill"), Parameters(loss=0.1)))


def test_what_a_runtime_cannot_do_has_a_reason_beforehand() -> None:
    """Known without a target: no memory limit on processes, no bent links between containers."""
    assert set(LACKS) == {"local", "docker"}
    assert "RUNTIME=docker" in str(lacks("local", "memory", "memory"))
    assert "RUNTIME at local" in str(lacks("docker", "loss", "links"))
    assert lacks("docker", "cut", "cut") is None
    assert lacks("local", "squeeze", "squeeze") is None
