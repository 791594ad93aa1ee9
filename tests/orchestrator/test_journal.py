"""Reading, merging and following journals."""

import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.journal import JournalTail, load, merge
from protocols.errors import LabError


def line(t: float, node: str = "agent_1", **fields: object) -> str:
    """One journal line."""
    return json.dumps({"t": t, "node": node, "inc": 0, "ev": "test", **fields}) + "\n"


def write(run_dir: Path, node: str, *lines: str) -> Path:
    """Write a node's journal where a run leaves it."""
    path = run_dir / "conductor.jsonl" if node == "orchestrator" else run_dir / "workspaces" / node / "journal.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines))
    return path


def test_load_skips_and_counts_torn_lines(tmp_path: Path) -> None:
    """A torn end, nonsense, and lines without time, node or name are no events; they are counted, blanks are not."""
    bad = ['{"t": 1.5, "no', "[1]\n", '{"node":"a","ev":"x"}\n', line(float("nan")), '{"t":true,"node":"a","ev":"x"}\n']
    path = write(tmp_path, "agent_1", line(1.0), "\n", *bad[1:], line(2.0), bad[0])
    reader = load(path)
    assert [event["t"] for event in reader] == [1.0, 2.0]
    assert reader.torn == len(bad)


def test_load_counts_anew_each_time(tmp_path: Path) -> None:
    """A reader can be iterated again and gives the same."""
    reader = load(write(tmp_path, "agent_1", line(1.0), "torn"))
    assert (len(list(reader)), reader.torn) == (len(list(reader)), reader.torn) == (1, 1)


def test_load_of_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    """A path that is no journal is a LabError that names it."""
    with pytest.raises(LabError, match="nowhere"):
        list(load(tmp_path / "nowhere.jsonl"))


def test_merge_orders_by_time_and_keeps_files_in_order(tmp_path: Path) -> None:
    """Lines of all files come by t; at equal t the conductor is first, and lines of one file keep their order."""
    write(tmp_path, "agent_1", line(1.0, x=1), line(2.0, x=2), line(2.0, x=3))
    write(tmp_path, "agent_2", line(0.5, x=4), line(2.0, x=5))
    write(tmp_path, "orchestrator", line(2.0, "orchestrator", x=6), line(3.0, "orchestrator", x=7))
    path = merge(tmp_path)
    assert path == tmp_path / "journal.jsonl"
    assert [event["x"] for event in load(path) if "x" in event] == [4, 1, 6, 2, 3, 5, 7]


def test_merge_sorts_a_file_that_is_slightly_out_of_order(tmp_path: Path) -> None:
    """A line that was written after a later one, as a kill call is, still comes in its place."""
    write(tmp_path, "orchestrator", line(5.0, "orchestrator"), line(4.9, "orchestrator"), line(5.1, "orchestrator"))
    assert [event["t"] for event in load(merge(tmp_path))][:3] == [4.9, 5.0, 5.1]


def test_merge_remembers_how_many_lines_were_torn(tmp_path: Path) -> None:
    """Torn lines are left out, so that any JSON tool reads the result, but their number stays in it."""
    write(tmp_path, "agent_1", line(1.0), '{"t":')
    write(tmp_path, "agent_2", line(2.0), "x\n", "y")
    path = merge(tmp_path)
    last = [json.loads(text) for text in path.read_text().splitlines()][-1]
    assert (last["ev"], last["t"], last["files"], last["torn"]) == ("merged", 2.0, 2, 3)
    reader = load(path)
    assert [event["ev"] for event in reader] == ["test", "test", "merged"]
    assert reader.torn == 3


def test_merge_is_repeatable(tmp_path: Path) -> None:
    """Merging again gives the same file and leaves no other behind."""
    write(tmp_path, "agent_1", line(1.0))
    first = merge(tmp_path).read_bytes()
    assert merge(tmp_path).read_bytes() == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["journal.jsonl", "workspaces"]


def test_merge_without_any_journal_is_an_error(tmp_path: Path) -> None:
    """A folder that is no run's is named as such."""
    with pytest.raises(LabError, match=r"conductor\.jsonl"):
        merge(tmp_path)


def test_merge_needs_flat_memory(tmp_path: Path) -> None:
    """The peak while merging is a small part of what is merged."""
    padding = "x" * 400
    for node in range(4):
        write(tmp_path, f"agent_{node}", *(line(float(t), f"agent_{node}", padding=padding) for t in range(10_000)))
    size = sum(path.stat().st_size for path in tmp_path.glob("workspaces/*/*"))
    tracemalloc.start()
    merge(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < size / 2


@given(files=st.lists(st.lists(st.integers(0, 50), max_size=30), min_size=1, max_size=4))
def test_merge_loses_and_invents_nothing(files: list[list[int]], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever the files hold, the merged journal holds each line once, ordered by time."""
    run_dir = tmp_path_factory.mktemp("run")
    for number, times in enumerate(files):
        write(run_dir, f"agent_{number}", *(line(float(t), f"agent_{number}") for t in times))
    merged = [event["t"] for event in load(merge(run_dir)) if event["ev"] == "test"]
    assert merged == sorted(float(t) for times in files for t in times)


def test_tail_gives_each_event_once_and_in_order(tmp_path: Path) -> None:
    """Each call gives what is new in all files, by t; files may appear later, and half a line waits for its end."""
    tail = JournalTail(tmp_path)
    assert tail.read_new() == []
    conductor = write(tmp_path, "orchestrator", line(1.0, "orchestrator"))
    first = write(tmp_path, "agent_1", line(0.5), line(1.5)[:10])
    assert [event["t"] for event in tail.read_new()] == [0.5, 1.0]
    with first.open("a") as file:
        file.write(line(1.5)[10:])
    with conductor.open("a") as file:
        file.write(line(1.2, "orchestrator"))
    write(tmp_path, "agent_2", line(1.1, "agent_2"))
    assert [event["t"] for event in tail.read_new()] == [1.1, 1.2, 1.5]
    assert tail.read_new() == []


def test_tail_counts_torn_lines(tmp_path: Path) -> None:
    """A complete line that is no event is counted once, and what follows is read."""
    write(tmp_path, "agent_1", "torn\n", line(2.0))
    tail = JournalTail(tmp_path)
    assert [event["t"] for event in tail.read_new()] == [2.0]
    assert (tail.read_new(), tail.torn) == ([], 1)
