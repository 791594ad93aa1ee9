"""Room that is held on a disk, and what is said where there is none."""

import os
from pathlib import Path

import pytest

from orchestrator.reserve import Reserve, hold_behind_end, size_bytes
from protocols.errors import LabError


def test_a_reserve_has_no_name_and_is_given_back(tmp_path: Path) -> None:
    """It takes blocks and leaves no file, so that nothing is left of a process that is killed."""
    reserve = Reserve(tmp_path, 1 << 20)
    assert os.fstat(reserve._file.fileno()).st_blocks * 512 >= 1 << 20
    assert list(tmp_path.iterdir()) == []
    reserve.release()
    reserve.release()
    assert reserve._file.closed


def test_a_disk_without_room_is_named_before_the_run(tmp_path: Path) -> None:
    """How much was wanted, where, and what would do."""
    with pytest.raises(
        LabError, match=rf"expected \d+ MB of room in {tmp_path} for the report.*free the disk, or name"
    ):
        Reserve(tmp_path, 1 << 60)
    with pytest.raises(LabError, match="No such file or directory"):
        Reserve(tmp_path / "nowhere", 1)


def test_it_grows_with_the_run() -> None:
    """A page of some 5 MB and, for each agent, more than the 5 KiB a second that were measured."""
    assert 5_000_000 < size_bytes(1, 1) < size_bytes(8, 120) < 20_000_000
    assert size_bytes(48, 120) - size_bytes(1, 1) > 47 * 120 * 5 * 1024


def test_room_behind_the_end_of_a_file_changes_nothing_in_it(tmp_path: Path) -> None:
    """Its length stays, and the next line comes where it would have come."""
    path = tmp_path / "agent_1.log"
    path.write_text("one\n")
    with path.open("ab") as file:
        hold_behind_end(file.fileno(), 64 * 1024)
        assert os.fstat(file.fileno()).st_blocks * 512 >= 64 * 1024
        file.write(b"two\n")
    assert path.read_text() == "one\ntwo\n"
