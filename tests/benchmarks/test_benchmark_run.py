"""The command: a small bench of one protocol, its exit codes, and the file it fills."""

import asyncio
from pathlib import Path

import psutil
import pytest

from benchmarks import subjects
from benchmarks.caller import Assignment, have_measured
from benchmarks.cli import main
from benchmarks.command import EXIT_BROKEN, EXIT_CONFIG
from benchmarks.ends import CALLER, PEER, ends
from benchmarks.reporting import report
from benchmarks.results import Bench, Growth, Reporting, Turns, broken_bounds
from protocols.errors import LabError
from protocols.message import Message, Traffic
from protocols.wire import ByteCounter, classify, counting_loop

from .bench_results import bench, endurance, large_document, round_trip

DOCUMENT = "# Title\n\n<!-- last measured -->\nold\n<!-- end of last measured -->\n\nThe end.\n"


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A bench of which nothing is broken, as a file."""
    file = tmp_path / "bench-kept.json"
    file.write_text(bench().model_dump_json())
    return file


def test_a_small_bench_of_one_protocol(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Plain JSON, 20 messages, 300 fragments: every number is there, the page stands alone, the code is the bounds'."""
    sizes = [
        "--protocol",
        "json",
        "--calls",
        "20",
        "--block",
        "5",
        "--repeats",
        "3",
        "--messages",
        "20",
        "--fragments",
        "300",
    ]
    code = main([*sizes, "--results-dir", str(tmp_path)])
    (written,) = tmp_path.glob("bench-*.json")
    found = Bench.model_validate_json(written.read_bytes())
    assert code == (EXIT_BROKEN if list(broken_bounds(found)) else 0)
    (trip,) = found.round_trips
    assert [len(block) for block in trip.turns.adapter_ms] == [len(block) for block in trip.turns.bare_ms] == [5] * 4
    assert min(trip.adapter.p50_ms, trip.bare.p50_ms) > 0
    acts = {cost.act: cost for cost in found.costs[0].acts}
    assert {act: cost.spread.count for act, cost in acts.items()} == {
        "first handshake": 3,
        "handshake": 3,
        "probe": 3,
        "re-publish": 3,
    }
    assert [list(cost.bytes_by_class) for cost in acts.values()] == [
        ["handshake"],
        ["handshake"],
        ["heartbeat"],
        ["retry"],
    ]
    assert all(cost.bytes_total == sum(cost.bytes_by_class.values()) > 0 for cost in acts.values())
    (run,) = found.endurances
    assert [growth.name for growth in (*run.latency, *run.memory)] == ["message", "request", "caller", "peer"]
    assert all(growth.first > 0 for growth in (*run.latency, *run.memory))
    assert {name: len(points) for name, points in run.memory_curve.items()} == {"caller": 20, "peer": 20}
    (document,) = found.documents
    assert (document.fragments, len(document.holdings), document.lookup.count) == (300, 8, 1000)
    assert sum(one.fragments for one in document.holdings) == 2 * 300
    assert [(one.shards, one.missing, one.foreign) for one in document.holdings] == [(2, 0, 0)] * 8
    assert all(0 < one.before_mb <= one.peak_mb for one in document.holdings)
    assert document.broadcast_ms > 0
    assert document.messages == 8
    page = written.with_suffix(".html").read_text()
    assert "<table>" in page
    assert "src=" not in page.replace("e.src=", "").split("<body>")[-1]
    assert "Round trip" in capsys.readouterr().out


def test_broken_bound_is_exit_code_1_and_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All that is broken stands in one line on standard error; the tables are printed all the same."""
    broken = bench(
        round_trip(ratio=1.3, low=1.2, high=1.4), endurance(memory=[Growth(name="peer", first=50.0, last=90.0)] * 2)
    )
    file = tmp_path / "bench-broken.json"
    file.write_text(broken.model_dump_json())
    assert main(["--load", str(file)]) == EXIT_BROKEN
    out, err = capsys.readouterr()
    assert "Endurance" in out
    assert err.count("\n") == 1
    assert "round trip takes 1.30" in err
    assert "peer grew to 1.80" in err


@pytest.mark.parametrize("change", [{"missing": 1}, {"foreign": 2}])
def test_an_agent_with_other_fragments_than_its_own_breaks_a_bound(change: dict[str, int]) -> None:
    """One that lacks a fragment of its shards, or holds one of another's."""
    sound = large_document()
    wrong = [sound.holdings[0], sound.holdings[1].model_copy(update=change)]
    (complaint,) = broken_bounds(bench().model_copy(update={"documents": [large_document(holdings=wrong)]}))
    assert complaint.startswith("json: agent_2 lacks")


def test_report_that_takes_too_much_is_named() -> None:
    """More than 2 GB at any length; more than 30 s of CPU time for a run of two minutes."""
    sound = Reporting(
        lines=70_000, agents=48, run_s=120.0, journal_bytes=10**7, took_s=99.0, cpu_s=9.0, peak_bytes=3 * 10**8
    )
    greedy = sound.model_copy(update={"lines": 5_000_000, "run_s": 8592.0, "cpu_s": 600.0, "peak_bytes": 21 * 10**8})
    slow = sound.model_copy(update={"cpu_s": 31.0})
    assert list(broken_bounds(bench().model_copy(update={"reports": [sound]}))) == []
    assert list(broken_bounds(bench().model_copy(update={"reports": [greedy, slow]}))) == [
        "a report on 5000000 lines takes 2100 MB (at most 2000 MB)",
        "a report on 120 s with 48 agents takes 31 s of CPU time (at most 30 s)",
    ]


def test_report_is_measured_as_a_whole() -> None:
    """A real report, of the shortest journal: its time, and the memory of its own process."""
    found = report(1)
    assert (found.agents, found.run_s) == (48, 24.0)
    assert found.lines > 10_000
    assert found.journal_bytes > 10**6
    assert found.took_s > 0 < found.cpu_s
    assert 5 * 10**7 < found.peak_bytes < 10**9


def test_kept_bounds_are_exit_code_0(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And nothing is said."""
    assert main(["--load", str(kept)]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--protocol", "smoke"], "expected a protocol out of"),
        (["--calls", "-3"], "expected a whole number"),
        (["--load", "nowhere.json"], "expected to read nowhere.json"),
        (["--load", __file__], "expected the results of a bench"),
        (["--unheard-of"], "unrecognized arguments: --unheard-of; see: python -m benchmarks --help"),
    ],
)
def test_bad_arguments_are_exit_code_2_and_one_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is measured."""
    assert main(arguments) == EXIT_CONFIG
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert words in err


def test_tables_go_between_the_marks(kept: Path, tmp_path: Path) -> None:
    """What stood there is replaced, the rest of the file stays; a file without marks is refused."""
    document = tmp_path / "benchmarks.md"
    document.write_text(DOCUMENT)
    for _ in range(2):
        assert main(["--load", str(kept), "--docs", str(document)]) == 0
    text = document.read_text()
    assert text.startswith("# Title\n\n<!-- last measured -->\n")
    assert text.endswith("<!-- end of last measured -->\n\nThe end.\n")
    assert "\nold\n" not in text
    assert "22 Nov 2026 on a host of 2 cores" in text
    assert text.count("| json | 0.28.1 | 1.00 / 2.00 | 1.00 / 2.00 | 1.00 (0.90 to 1.10) | 4 |") == 1
    document.write_text("no marks")
    assert main(["--load", str(kept), "--docs", str(document)]) == EXIT_CONFIG
    assert document.read_text() == "no marks"


def test_docs_have_the_tables_of_every_protocol() -> None:
    """docs/benchmarks.md was filled by the command, and for all that can be measured."""
    text = (Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text()
    measured = text.partition("<!-- last measured -->")[2].partition("<!-- end of last measured -->")[0]
    for subject in subjects.available():
        row = f"| {subject.name} |" if subject.judged else f"| ({subject.name}) |"
        assert row in measured


def test_peer_ends_with_its_block(tmp_path: Path) -> None:
    """Nothing of a measurement is left running, of either half."""
    with ends("json", tmp_path) as pair:
        with pair.peer("adapter") as adapter, pair.peer("bare") as bare:
            assert psutil.Process(adapter).is_running()
            assert psutil.Process(bare).is_running()
        assert not psutil.pid_exists(adapter)
        assert not psutil.pid_exists(bare)


def test_peer_holds_a_result_until_the_next_message(tmp_path: Path) -> None:
    """What a request costs until its receipt is measured without its result."""
    counter = ByteCounter()

    def message(name: str, *, hold: bool = False) -> Message:
        kind = "request" if hold else "echo"
        body = {"hold": hold}
        return Message.model_validate(
            {"message_id": name, "kind": kind, "sender": CALLER, "recipient": PEER, "traffic": "task", "body": body}
        )

    async def scenario() -> None:
        adapter = pair.adapter(CALLER, counter)
        await adapter.start()
        try:
            with classify(Traffic.TASK, PEER):
                await adapter.send_message(PEER, message("r1", hold=True))
                await adapter.send_message(PEER, message("r2", hold=True))
                counter.drain()
                await adapter.probe(PEER)
                assert "server" not in {row[0] for row in counter.drain()}
                await adapter.send_message(PEER, message("e1"))
                replies = [(await adapter.receive_message()).in_reply_to for _ in range(2)]
            assert replies == ["r1", "r2"]
        finally:
            await adapter.close()

    with (
        ends("json", tmp_path) as pair,
        pair.peer("adapter"),
        asyncio.Runner(loop_factory=lambda: counting_loop(counter)) as runner,
    ):
        runner.run(scenario())


def test_failed_measurement_says_why() -> None:
    """The last words of the process that failed become one error of the lab."""
    nothing = Assignment(measurement="endurance", subject="json", size=0)
    with pytest.raises(LabError, match="endurance of json"):
        have_measured(nothing, Turns, lambda _: None)
