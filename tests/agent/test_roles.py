"""The division of labour: every survivor with the same view computes the same, and nobody stands in without need."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.journal import Journal
from agent.ranking import rank
from agent.roles import LOOKUP, Roles
from agent.tools import TOOLS
from protocols.clock import MonotonicClock
from tests.agent.lab import Lab

NAMES = tuple(f"agent_{number}" for number in range(1, 11))


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journal]:
    """Somewhere to write adoptions to."""
    journal = Journal(tmp_path_factory.mktemp("roles") / "journal.jsonl", "agent_1", 0, MonotonicClock())
    yield journal
    journal.close()


def roles_of(
    me: str, alive: Sequence[str], journal: Journal, *, seed: int = 1, adopt: bool = True, count: int = len(NAMES)
) -> Roles:
    """The roles as ``me`` sees them when it holds ``alive`` for alive."""
    lab = Lab(Path(), agent_count=count, recovery={"adopt": adopt})
    settings = lab.settings(me).model_copy(update={"seed": seed})
    return Roles(settings, lambda: [name for name in alive if name != me], journal)


def native_tool(name: str) -> str:
    """What the dealer gave this agent."""
    return TOOLS[NAMES.index(name) % len(TOOLS)]


SURVIVORS = st.lists(st.sampled_from(NAMES), min_size=1, unique=True)


@given(survivors=SURVIVORS, seed=st.integers(0, 99), adopt=st.booleans())
def test_survivors_with_one_view_agree_on_everything(
    journal: Journal, survivors: list[str], seed: int, *, adopt: bool
) -> None:
    """Owners, holders and adopters are the same whoever computes them; who can do a tool is who holds it."""
    everyone = {name: roles_of(name, survivors, journal, seed=seed, adopt=adopt) for name in survivors}
    witness = everyone[survivors[0]]
    assert {roles.alive() for roles in everyone.values()} == {tuple(name for name in NAMES if name in survivors)}
    assert len({roles.owners("q-7") for roles in everyone.values()}) == 1
    for tool in TOOLS:
        assert len({roles.holders(tool) for roles in everyone.values()}) == 1
        assert [name for name in NAMES if name in survivors and everyone[name].can(tool)] == list(witness.holders(tool))


@given(survivors=SURVIVORS, seed=st.integers(0, 99))
def test_a_tool_is_adopted_by_one_survivor_and_only_when_nobody_has_it(
    journal: Journal, survivors: list[str], seed: int
) -> None:
    """Native holders are all that hold; without any there is exactly one stand-in, alive."""
    roles = roles_of(survivors[0], survivors, journal, seed=seed)
    for tool in TOOLS:
        native = [name for name in NAMES if name in survivors and native_tool(name) == tool]
        if native:
            assert list(roles.holders(tool)) == native
        else:
            (stand_in,) = roles.holders(tool)
            assert stand_in in survivors


def test_with_adoption_off_a_lost_tool_stays_lost(journal: Journal) -> None:
    """``adopt: false``: nobody holds it, nobody can, while the own tool and lookups go on."""
    roles = roles_of("agent_1", ["agent_1", "agent_2"], journal, adopt=False)
    assert roles.holders("reason") == ()
    assert [tool for tool in TOOLS if roles.can(tool)] == ["search"]
    assert roles.can(LOOKUP)
    assert not roles.can("juggle")


def test_one_agent_alone_does_everything(journal: Journal) -> None:
    """A mesh of one adopts all it was not dealt, from the start."""
    roles = roles_of("agent_1", ["agent_1"], journal, count=1)
    assert all(roles.can(tool) for tool in TOOLS)


def test_adoption_is_journaled_once_and_taken_back_when_a_holder_returns(tmp_path: Path) -> None:
    """``adopt`` when the last holder is gone, ``unadopt`` when one is back, nothing in between."""
    path = tmp_path / "journal.jsonl"
    journal = Journal(path, "agent_1", 0, MonotonicClock())
    alive = ["agent_1", "agent_2", "agent_3"]
    roles = roles_of("agent_1", alive, journal, count=4)
    stand_in = roles.holders("reason")[0]
    roles = roles_of(stand_in, alive, journal, count=4)
    for _ in range(2):
        roles.review_adoption(TOOLS)
    alive.append("agent_4")
    for _ in range(2):
        roles.review_adoption(TOOLS)
    journal.close()
    assert [line.split('"ev":')[1] for line in path.read_text().splitlines()] == [
        '"adopt","tool":"reason"}',
        '"unadopt","tool":"reason"}',
    ]


@given(candidates=st.lists(st.sampled_from(NAMES), unique=True), links=st.lists(st.sampled_from(NAMES), unique=True))
def test_preference_is_self_then_warm_links_then_the_rest(
    journal: Journal, candidates: list[str], links: list[str]
) -> None:
    """All candidates and only they, the nearer first; equal ones in an order that depends on the step alone."""
    roles = roles_of("agent_1", NAMES, journal)
    ordered = roles.order("q-1/search", candidates, links)
    assert sorted(ordered) == sorted(candidates)
    distances = [0 if name == "agent_1" else 1 if name in links else 2 for name in ordered]
    assert distances == sorted(distances)
    assert ordered == roles.order("q-1/search", candidates[::-1], links[::-1])


def test_steps_spread_over_equal_candidates(journal: Journal) -> None:
    """The seed of a preference is the step, so no candidate is everybody's first."""
    roles = roles_of("agent_1", NAMES, journal)
    first = [roles.order(f"q-{number}/search", NAMES[1:], [])[0] for number in range(200)]
    assert set(first) == set(NAMES[1:])
    assert max(first.count(name) for name in NAMES[1:]) < 60


@given(names=st.lists(st.sampled_from(NAMES), unique=True), gone=st.sampled_from(NAMES), key=st.text(max_size=8))
def test_a_ranking_does_not_change_for_those_who_stay(names: list[str], gone: str, key: str) -> None:
    """Rendezvous hashing: any input order gives the same list, and one name less moves nobody else."""
    ranked = rank(key, names)
    assert ranked == rank(key, sorted(names))
    assert rank(key, [name for name in names if name != gone]) == tuple(name for name in ranked if name != gone)
