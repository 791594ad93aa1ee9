"""What an agent leaves behind: whole lines at any moment, an error where one is lost, and a state to come back to."""

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from agent.fragments import Fragment
from agent.journal import Journal
from agent.workspace import Broadcast, Question, Workspace
from protocols.errors import LabError
from tests.agent.virtual_time import LoopClock

BROADCAST = Broadcast(
    document="gaia",
    shards={2: (Fragment(fragment_id="f-1", title="Karsund", text="Karsund ist schön."),), 10: ()},
    placement=(("agent_1",), ("agent_2",)),
    schedule=(Question(task_id="q1", question="Where?", at_s=0.5),),
)


class FixedClock(LoopClock):
    """Always the same second."""

    def now(self) -> float:
        """A second with more digits than the journal keeps."""
        return 12.3456789


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal goes."""
    return tmp_path / "journal.jsonl"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    """A journal of ``agent_1`` in its second life."""
    journal = Journal(path, "agent_1", 1000, FixedClock())
    yield journal
    journal.close()


def test_a_line_says_when_who_which_life_and_what(journal: Journal, path: Path) -> None:
    """The head of every event, its fields after it, microseconds and no more."""
    journal.append("suspect", peer="agent_2", peer_inc=0)
    journal.append_at(1.5, "started", t0=1.0)
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"t": 12.345679, "node": "agent_1", "inc": 1000, "ev": "suspect", "peer": "agent_2", "peer_inc": 0},
        {"t": 1.5, "node": "agent_1", "inc": 1000, "ev": "started", "t0": 1.0},
    ]


def test_a_line_is_one_write_and_is_there_before_append_returns(
    journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One ``write(2)`` per line, whatever its length; nothing waits in a buffer that a SIGKILL would take."""
    writes: list[bytes] = []
    real_write = os.write

    def counted(descriptor: int, payload: bytes) -> int:
        writes.append(payload)
        return real_write(descriptor, payload)

    monkeypatch.setattr(os, "write", counted)
    for length in (1, 5_000, 300_000):
        journal.append("answer", text="x" * length)
        assert path.read_bytes() == b"".join(writes)
        assert writes[-1].endswith(b"\n")
    assert len(writes) == 3


def test_lines_of_two_lives_and_many_tasks_do_not_mix(path: Path) -> None:
    """Appending from many tasks, and from two open journals of the same file, tears no line."""
    journals = [Journal(path, "agent_1", life, FixedClock()) for life in (0, 1000)]

    async def write(number: int) -> None:
        for turn in range(20):
            journals[number % 2].append("step_start", task=number, turn=turn, text="x" * (17 * number))
            await asyncio.sleep(0)

    async def crowd() -> None:
        await asyncio.gather(*(write(number) for number in range(20)))

    asyncio.run(crowd())
    for journal in journals:
        journal.close()
    events = [json.loads(line) for line in path.read_text().splitlines()]
    assert sorted((event["task"], event["turn"]) for event in events) == [(n, t) for n in range(20) for t in range(20)]
    assert all(event["inc"] == 1000 * (event["task"] % 2) for event in events)


@given(fields=st.dictionaries(st.sampled_from(["answer", "evidence", "reason"]), st.text() | st.lists(st.text())))
def test_any_text_stays_on_its_line(tmp_path_factory: pytest.TempPathFactory, fields: dict[str, JsonValue]) -> None:
    """Line breaks, quotes and half characters in a field come back as they were."""
    path = tmp_path_factory.mktemp("text") / "journal.jsonl"
    journal = Journal(path, "agent_1", 0, FixedClock())
    journal.append("answer", **fields)
    journal.append("answer")
    journal.close()
    first, second = path.read_bytes().split(b"\n")[:-1]
    assert {key: value for key, value in json.loads(first).items() if key in fields} == fields
    assert json.loads(second)["ev"] == "answer"


def test_a_second_life_goes_on_in_the_same_file(journal: Journal, path: Path) -> None:
    """A journal is never truncated."""
    journal.append("agent_start")
    again = Journal(path, "agent_1", 2000, FixedClock())
    again.append("agent_start")
    again.close()
    assert [json.loads(line)["inc"] for line in path.read_text().splitlines()] == [1000, 2000]


def test_a_line_that_was_cut_does_not_take_the_next_life_with_it(path: Path) -> None:
    """After a torn end the next line begins on a line of its own."""
    path.write_text('{"t":1.0,"ev":"answ')
    journal = Journal(path, "agent_1", 1000, FixedClock())
    journal.append("agent_start")
    journal.close()
    torn, whole = path.read_text().splitlines()
    assert torn == '{"t":1.0,"ev":"answ'
    assert json.loads(whole)["ev"] == "agent_start"


def test_a_full_disk_is_an_error_of_the_lab(tmp_path: Path) -> None:
    """Evidence must not be lost silently: the error names the file and what to do. /dev/full stands for the disk."""
    full = tmp_path / "journal.jsonl"
    full.symlink_to("/dev/full")
    journal = Journal(full, "agent_1", 0, FixedClock())
    with pytest.raises(LabError, match=r"expected to append to .*journal\.jsonl.*No space left.*free the disk"):
        journal.append("agent_start")
    journal.close()


def test_a_line_that_fits_only_in_part_is_an_error_too(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last bytes of a disk take half a line."""
    monkeypatch.setattr(os, "write", lambda _descriptor, payload: len(payload) // 2)
    with pytest.raises(LabError, match=r"expected to append to .* room for \d+ of \d+ bytes; free the disk"):
        journal.append("agent_start")


def test_the_line_after_a_torn_one_is_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once there is room again, the journal says how the run ended."""
    journal, write = Journal(path, "agent_1", 0, FixedClock()), os.write
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda descriptor, payload: write(descriptor, payload[:10]))
        with pytest.raises(LabError):
            journal.append("answer")
    journal.append("agent_stop")
    journal.close()
    torn, whole = path.read_text().splitlines()
    assert (len(torn), json.loads(whole)["ev"]) == (10, "agent_stop")


def test_observers_see_what_was_written_and_nothing_else(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The live metrics and the journal say the same: an event that could not be written is not counted."""
    seen: list[tuple[float, str, dict[str, JsonValue]]] = []
    journal = Journal(path, "agent_1", 0, FixedClock(), (lambda at, ev, fields: seen.append((at, ev, fields)),))
    journal.append("alive", peer="agent_2")
    monkeypatch.setattr(os, "write", lambda _descriptor, _payload: 0)
    with pytest.raises(LabError):
        journal.append("alive", peer="agent_3")
    journal.close()
    assert seen == [(FixedClock().now(), "alive", {"peer": "agent_2"})]


def test_a_first_life_finds_nothing(tmp_path: Path) -> None:
    """A new workspace has its folders and no earlier life, also between broadcast and start."""
    workspace = Workspace(tmp_path / "agent_1")
    assert workspace.earlier_life() is None
    workspace.keep_broadcast(BROADCAST)
    assert Workspace(tmp_path / "agent_1").earlier_life() is None


def test_the_next_life_finds_document_schedule_and_start(tmp_path: Path) -> None:
    """All that a restarted agent needs is in its workspace, twice stored or once."""
    workspace = Workspace(tmp_path / "agent_1")
    for _ in range(2):
        workspace.keep_broadcast(BROADCAST)
        workspace.keep_start(1234.5678)
    assert Workspace(tmp_path / "agent_1").earlier_life() == (BROADCAST, 1234.5678)
    lines = (tmp_path / "agent_1/shards/2.jsonl").read_text(encoding="utf-8").splitlines()
    assert [Fragment.model_validate_json(line) for line in lines] == list(BROADCAST.shards[2])
    assert (tmp_path / "agent_1/shards/10.jsonl").read_text() == ""
    assert sorted(file.name for file in (tmp_path / "agent_1").iterdir()) == ["broadcast.json", "shards", "start.json"]


@pytest.mark.parametrize("name", ["broadcast.json", "start.json"])
@pytest.mark.parametrize("damage", ["", "{", "[]", "null", "{}", '{"t0": null}', '{"t0": "soon"}'])
def test_a_damaged_earlier_life_is_said_so(tmp_path: Path, name: str, damage: str) -> None:
    """Whatever is wrong with the files: one clear error, which names the folder."""
    workspace = Workspace(tmp_path / "agent_1")
    workspace.keep_broadcast(BROADCAST)
    workspace.keep_start(1.0)
    (workspace.folder / name).write_text(damage)
    with pytest.raises(LabError, match="agent_1, it is damaged"):
        workspace.earlier_life()


def test_tasks_and_answers_are_lines_a_person_can_read(tmp_path: Path) -> None:
    """One JSON object a line, characters as they are."""
    workspace = Workspace(tmp_path / "agent_1")
    workspace.note_task({"task": "q1", "question": "Où ?"})
    workspace.note_task({"task": "q2", "question": "Wer?"})
    workspace.note_answer({"task": "q1", "answer": "Tromsø"})
    tasks = (workspace.folder / "tasks.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["task"] for line in tasks] == ["q1", "q2"]
    assert "Où ?" in tasks[0]
    assert "Tromsø" in (workspace.folder / "answers.jsonl").read_text(encoding="utf-8")
