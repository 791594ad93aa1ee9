"""The packed lines about bytes: what goes in comes out, in order, and takes little room."""

import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.events import ROWS
from orchestrator.events.agents import Bytes, Traffic
from orchestrator.events.compact import PackedBytes
from orchestrator.events.row import Row

_NODES = st.sampled_from(["agent_1", "agent_2", "agent_10"])
_COUNTS = st.integers(0, 2**40)
_ENTRIES = st.builds(
    Traffic,
    st.sampled_from(["client", "server"]),
    st.none() | _NODES,
    st.sampled_from(["task", "heartbeat"]),
    _COUNTS,
    _COUNTS,
)
_ROWS = st.builds(
    Bytes, st.integers(0, 5).map(float), _NODES, st.sampled_from([0, 1000]), st.lists(_ENTRIES, max_size=3).map(tuple)
)


def _packed(rows: list[Bytes]) -> PackedBytes:
    table = PackedBytes()
    for row in rows:
        table.append(row)
    return table


@given(st.lists(_ROWS, max_size=12))
def test_rows_come_out_as_they_went_in(rows: list[Bytes]) -> None:
    """All of them, by iteration, index and slice, as often as asked for."""
    table = _packed(rows)
    assert list(table) == list(table) == rows
    assert [table[place] for place in range(-len(rows), 0)] == rows
    assert list(table[1:3]) == rows[1:3]
    assert list(reversed(table)) == rows[::-1]


@given(st.lists(_ROWS, max_size=12))
def test_placed_rows_are_ordered_by_time_then_node(rows: list[Bytes]) -> None:
    """As any other table of the evidence: times from the origin, equal ones as they came, and only what is kept."""
    kept = [
        Bytes(round(row.t - 2.0, 6), row.node, row.inc, row.rows) for row in rows if row.t <= 4 or row.node == "agent_1"
    ]
    placed = _packed(rows).placed(2.0, lambda t, node: t <= 2 or node == "agent_1")
    assert list(placed) == sorted(kept, key=lambda row: (row.t, row.node))


def test_placing_leaves_nothing_behind() -> None:
    """The columns are handed over, not copied."""
    table = _packed([Bytes(1.0, "agent_1", 0, (Traffic("client", "agent_2", "task", 1, 2),))])
    assert len(table.placed(0.0, lambda _t, _node: True)) == 1
    assert len(table) == 0


def _grown(build: Callable[[list[Bytes]], object]) -> int:
    """Bytes of memory that a thousand new lines take."""
    tracemalloc.start()
    try:
        made = (
            Bytes(i / 10, f"agent_{i % 8}", 0, tuple(Traffic("client", f"a{j}", "task", i, 1000 + i) for j in range(5)))
            for i in range(1000)
        )
        before = tracemalloc.get_traced_memory()[0]
        held = build(made)  # type: ignore[arg-type] # one at a time, as they are read
        assert held is not None
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def test_a_packed_line_takes_a_quarter_of_its_row() -> None:
    """Five entries a line, as in a real storm."""
    assert _grown(_packed) < _grown(list) / 4


@pytest.mark.parametrize("kind", ROWS.values())
def test_no_row_has_room_for_what_it_does_not_need(kind: type[Row]) -> None:
    """Neither a dictionary of its own nor names kept twice: a long journal has millions of rows."""
    assert "__slots__" in vars(kind)
