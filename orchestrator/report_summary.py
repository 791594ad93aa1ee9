"""The end of a run in the terminal: what a tired engineer understands at a glance."""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.metrics import registry
from orchestrator.report_content import SPECIFIED, Report
from orchestrator.report_words import TAGS, beside, in_words
from orchestrator.telemetry import section

VERDICT_STYLES = {"valid": "bold green", "invalid": "bold red", "unknown": "bold yellow"}
_NEXT = (
    "detection_ms", "agreement_ms", "reroute_ms", "reconnect_ms", "success", "unavoidable_drop", "lost_tasks",
    "false_suspicions", "degradation_area_s", "harness_floor_ms",
)  # fmt: skip
"""What people ask for next; everything else is in the files."""


def print_summary(report: Report, console: Console, told: str = "") -> None:
    """Print the verdict, the metrics with a reason for each null, the victims, and where the files are.

    ``told`` is why the run ended early, where the terminal says so already.
    """
    console.print()
    console.print(_headline(report), soft_wrap=True)
    for reason in report.verdict.reasons:
        if told and reason.endswith(told):
            continue
        console.print(Text(f"  {reason}"), soft_wrap=True)
    for tag in report.verdict.tags:
        console.print(Text(f"  {tag}: {TAGS.get(tag, '')}", "yellow"), soft_wrap=True)
    console.print(_table(report))
    _print_facts(report, console)


def _headline(report: Report) -> Text:
    content, evidence = report.content, report.evidence
    status = report.verdict.status
    text = Text.assemble((f" {status.upper()} ", f"{VERDICT_STYLES[status]} reverse"), "  ")
    facts = [
        content["protocol"]["name"],
        evidence.toll,
        f"seed {content['seed']}",
        content["runtime"],
        content["run_id"],
    ]
    text.append(" · ".join(facts), "bold")
    return text


def _table(report: Report) -> Table:
    metrics, content = registry(), report.content
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("metric", no_wrap=True)
    table.add_column("value", overflow="fold")
    table.add_column("beside it", style="dim", overflow="fold")
    names = [*SPECIFIED, *(name for name in _NEXT if name in report.values)]
    for name in names:
        value, unit = content[name], metrics[name].unit
        own = name in SPECIFIED
        said = Text("null", "yellow") if value is None else Text(in_words(value, unit), "bold" if own else "")
        note = Text(beside(content, name), "yellow" if value is None else "")
        table.add_row(Text(name, "bold" if own else ""), said, note, end_section=name == SPECIFIED[-1])
    return table


def _print_facts(report: Report, console: Console) -> None:
    content, run_dir = report.content, report.run_dir
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim")
    facts.add_column(overflow="fold")
    victims = ", ".join(report.evidence.victims)
    facts.add_row("victims", victims or "none")
    for name, result in content["expect"].items():
        came = "null" if result["value"] is None else f"{result['value']:g}"
        style = "green" if result["met"] else "bold red"
        facts.add_row(
            "expected", Text(f"{name} {result['bound']}: {came}, {'kept' if result['met'] else 'BROKEN'}", style)
        )
    if (line := section.in_a_line(content)) is not None:
        facts.add_row("prometheus", Text(line, "bold red" if content["checks"]["status"] == "flagged" else ""))
    facts.add_row("numbers", f"{run_dir}/failstorm_metrics.json")
    facts.add_row("report", f"{run_dir}/report.html")
    facts.add_row("evidence", f"{run_dir}/journal.jsonl")
    facts.add_row("again", f"make report RUN={run_dir}")
    console.print()
    console.print(facts)
    if report.verdict.status == "valid" and report.broken:
        console.print(Text(f"fail-storm: expected {'; '.join(report.broken)}", "bold red"), soft_wrap=True)
