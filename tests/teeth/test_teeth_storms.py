"""Storms of real agents, unbroken and broken: the same teeth bite outside of virtual time, over real sockets."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.e2e.lab import free
from tests.teeth.cli import STORM
from tests.teeth.judging import failures, judge
from tests.teeth.real_storm import Place, bitten, play, unbroken
from tests.teeth.table import TEETH

pytestmark = [pytest.mark.storm, pytest.mark.timeout(240)]

SEED = 1
# What virtual time has not: connections, and bytes at sockets.
BITING = tuple(tooth for tooth in TEETH if tooth.name in ("never-reconnects", "lies-about-bytes"))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Mapping[str, Any]]:
    """The results of four storms of 16 s, one at a time: a second one would move what must stay."""
    # Other tests run beside it: times that must stay are not judged, as on any starved host; counts and bytes are.
    ports = next(base for base in range(16_000, 20_000, 400) if all(map(free, range(base, base + 400))))
    runs = [*(unbroken(SEED, number, STORM) for number in (1, 2)), *(bitten(tooth, SEED, STORM) for tooth in BITING)]
    played = play(runs, Place(tmp_path_factory.mktemp("storms"), ports), 1)
    return {name: {**results, "starved": True} for name, results in played.items()}


@pytest.mark.parametrize("tooth", BITING, ids=lambda tooth: tooth.name)
def test_a_tooth_bites_in_a_real_storm(tooth: Any, found: Mapping[str, Mapping[str, Any]]) -> None:
    """Each declared metric leaves the interval of the unbroken storm on its side; what must stay, stays."""
    whole = [found[unbroken(SEED, number, STORM).name] for number in (1, 2)]
    rows = judge(tooth, {SEED: whole}, {SEED: found[bitten(tooth, SEED, STORM).name]})
    assert failures(list(rows)) == []


def test_the_broken_agents_were_real_and_named(found: Mapping[str, Mapping[str, Any]]) -> None:
    """The results say which protocol was spoken."""
    for tooth in BITING:
        assert found[bitten(tooth, SEED, STORM).name]["protocol"]["name"] == tooth.saboteur.name
