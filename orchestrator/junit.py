"""The results of a run as JUnit XML, for build servers: a test case for the verdict, and one for each bound."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from orchestrator.report import METRICS_FILE
from orchestrator.run_dir import write_atomically

Case = tuple[str, str, str]
"""(name, outcome, message); the outcome is the name of JUnit's element, empty for a pass."""


def write(run_dir: Path, target: str | None) -> None:
    """Write what stands in the results of ``run_dir`` to ``target``, if it is asked for and there are results.

    Raises LabError when the file cannot be written.
    """
    results = run_dir / METRICS_FILE
    if target is not None and results.exists():
        write_atomically(Path(target), render(json.loads(results.read_bytes())))


def render(content: Mapping[str, Any]) -> str:
    """The file, from the content of ``failstorm_metrics.json``."""
    cases = [_verdict(content), *(_bound(content, name) for name in content["expect"])]
    protocol = content["protocol"]["name"]
    suite = ET.Element("testsuite", {"name": f"fail-storm {protocol}", "tests": str(len(cases))})
    for plural, outcome in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(plural, str(sum(found == outcome for _, found, _ in cases)))
    properties = ET.SubElement(suite, "properties")
    for key in ("run_id", "runtime", "seed"):
        ET.SubElement(properties, "property", {"name": key, "value": str(content[key])})
    for name, outcome, message in cases:
        case = ET.SubElement(suite, "testcase", {"classname": f"fail-storm.{protocol}", "name": name})
        if outcome:
            ET.SubElement(case, outcome, {"message": message})
    ET.indent(suite, " ")
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _verdict(content: Mapping[str, Any]) -> Case:
    """An invalid run fails; of an unknown one nobody can tell."""
    verdict = content["verdict"]
    outcome = {"valid": "", "invalid": "failure", "unknown": "error"}[verdict["status"]]
    return "verdict", outcome, f"{verdict['status']}: {'; '.join(verdict['reasons'])}"


def _bound(content: Mapping[str, Any], name: str) -> Case:
    """Of a run that is not valid no number counts, but that its baseline broke a bound is a finding."""
    result = content["expect"][name]
    case = f"{name} {result['bound']}"
    reason = content["reasons"].get(name.partition(".")[0], "the results have no such number")
    came = f"null: {reason}" if result["value"] is None else f"{result['value']:g}"
    if not result["met"] and (content["verdict"]["status"] == "valid" or result["of"] == "baseline"):
        return case, "failure", f"expected {result['bound']}, got {came}"
    if content["verdict"]["status"] != "valid":
        return case, "skipped", "the run is not valid, so its numbers mean nothing"
    return case, "", ""
