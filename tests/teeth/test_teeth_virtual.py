"""Every tooth in virtual time: it moves what was declared for it, and leaves alone what was declared so."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.teeth import cli
from tests.teeth.judging import Row, failures, judge
from tests.teeth.real_storm import bitten, scenario, unbroken
from tests.teeth.table import BY_NAME, TEETH, Tooth
from tests.teeth.virtual_storm import play

SEED = 1
STORM = {**cli.STORM, "scenario.step_work_ms": 150}
"""One run of each is enough here while requests are frequent: who first asks a dead agent, and when, is chance."""
Results = Mapping[str, Any]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[Results]:
    """Two unbroken runs of one seed, which differ in the network's delays alone."""
    folder = tmp_path_factory.mktemp("unbroken")
    found = []
    for number in (1, 2):
        run = unbroken(SEED, number, STORM)
        found.append(play(scenario(SEED, run.settings), folder / run.name, number))
    return found


def rows_of(tooth: Tooth, whole: list[Results], folder: Path) -> list[Row]:
    """One storm under the tooth, judged."""
    run = bitten(tooth, SEED, STORM)
    results = play(scenario(SEED, run.settings), folder, 3, tooth.saboteur, run.broken)
    return list(judge(tooth, {SEED: whole}, {SEED: results}))


@pytest.mark.parametrize("tooth", TEETH, ids=lambda tooth: tooth.name)
def test_a_tooth_moves_what_it_must_and_nothing_that_it_must_not(
    tooth: Tooth, whole: list[Results], tmp_path: Path
) -> None:
    """Each declared metric leaves the A/A interval on its side; each that was declared untouched stays inside."""
    assert failures(rows_of(tooth, whole, tmp_path)) == []


def test_an_unbroken_agent_has_no_tooth(whole: list[Results], tmp_path: Path) -> None:
    """A third unbroken run stays inside of the A/A interval in every number: judged as a broken one, it would fail."""
    results = play(scenario(SEED, STORM), tmp_path, 4)
    everything = Tooth("none", "breaks nothing", moves={}, keeps=tuple(BY_NAME))
    assert failures(list(judge(everything, {SEED: whole}, {SEED: results}))) == []
    for tooth in TEETH:
        rows = list(judge(tooth, {SEED: whole}, {SEED: results}))
        assert {row.measure for row in rows if not row.holds} == set(tooth.moves)


def test_what_is_declared_is_judged() -> None:
    """Names are unique, every claim is about a judged number, and no number is declared both moved and kept."""
    assert len({tooth.name for tooth in TEETH}) == len(TEETH) == 8
    for tooth in TEETH:
        assert tooth.moves
        assert {*tooth.moves, *tooth.keeps} <= set(BY_NAME)
        assert not set(tooth.moves) & set(tooth.keeps)
