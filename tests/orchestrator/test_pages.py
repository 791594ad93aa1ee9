"""The pages of a run and of a comparison in a real browser: drawn, silent, asking nobody, and fit for a phone."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator import report
from orchestrator.compare import page
from orchestrator.metrics import registry
from tests.browser import Link, Page, a_browser, a_page, needs_browser
from tests.orchestrator.compare_lab import a_plan, censored, compared, starved

JOURNALS = Path(__file__).parent.parent / "journals"
_PHONE, _NARROW_PHONE = 390, 320
_TOO_WIDE = "document.documentElement.scrollWidth - window.innerWidth"
_DRAWN = "document.querySelectorAll('.plot-container.plotly').length"
_UNNAMED = "[...document.querySelectorAll('summary')].filter(one => !one.title).length"
_SQUEEZED = """[...document.querySelectorAll('.js-plotly-plot')]
    .filter(plot => plot.querySelector('.nsewdrag').getBoundingClientRect().height < 90).map(plot => plot.id)"""
_OVERLAPPING = """[...document.querySelectorAll('.js-plotly-plot')]
    .filter(plot => plot.scrollHeight > plot.parentElement.clientHeight + 1).map(plot => plot.id)"""
_FITTED = """new Promise(done => {
    const fits = plot => plot._fullLayout.width === plot.clientWidth && plot._fullLayout.height === plot.clientHeight;
    const look = () => [...document.querySelectorAll('.js-plotly-plot')].every(fits) ? done() : setTimeout(look, 20);
    look();
})"""

pytestmark = needs_browser


@pytest.fixture(scope="module", name="link")
def one_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Link]:
    """One browser for all pages of this file."""
    with a_browser(tmp_path_factory.mktemp("browser") / "profile") as link:
        yield link


def _check(shown: Page, figures: int) -> None:
    assert shown.evaluate(_DRAWN) == figures
    assert shown.complaints == []
    assert shown.asked == []
    assert shown.evaluate(_UNNAMED) == 0
    for width in (_PHONE, _NARROW_PHONE, _PHONE):
        shown.resize(width)
        shown.evaluate(_FITTED)
        assert shown.evaluate(_TOO_WIDE) <= 0, width
        assert shown.evaluate(_SQUEEZED) == [], width
        assert shown.evaluate(_OVERLAPPING) == [], width


def test_the_report_of_a_run_opens_from_disk(link: Link, tmp_path: Path) -> None:
    """All figures; no word on the console, no request; each metric tells its definition; no scrolling on a phone."""
    (tmp_path / "journal.jsonl").write_bytes((JOURNALS / "storm.jsonl").read_bytes())
    report.rebuild(tmp_path)
    html = tmp_path / report.PAGE_FILE
    shown = a_page(link)
    shown.open(html, _PHONE)
    _check(shown, len(re.findall(r'<div id="[a-z]+" class="plotly', html.read_text())))
    assert shown.evaluate("document.querySelectorAll('summary').length") == len(registry()) + 5
    # By keyboard: focus the first definition and press it.
    shown.evaluate("document.querySelector('summary').focus()")
    for kind in ("keyDown", "keyUp"):
        shown.call("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r")
    assert shown.evaluate("document.querySelector('details').open")


def test_the_page_of_a_comparison_opens_from_disk(link: Link, tmp_path: Path) -> None:
    """The same for a comparison with starved and censored runs."""
    values = {1: starved(), 2: censored("steady_state_ms", 3000.0)}
    comparison = compared(tmp_path, a_plan(repeats=4), lambda slot: values.get(slot.seed, {}))
    html = tmp_path / "comparison.html"
    html.write_text(page.render(comparison))
    shown = a_page(link)
    shown.open(html, _PHONE)
    _check(shown, 11)


def test_the_browser_would_have_told(link: Link, tmp_path: Path) -> None:
    """A page that breaks, asks and is too wide is noticed, so that the tests above can fail."""
    html = tmp_path / "bad.html"
    html.write_text(
        '<meta name="viewport" content="width=device-width">'
        '<script src="http://figures.example/plotly.js"></script><p style="width: 900px">wide</p>'
        '<script>console.error("spoken"); nothing()</script>'
    )
    shown = a_page(link)
    shown.open(html, _PHONE)
    assert any("nothing is not defined" in line for line in shown.complaints)
    assert any("spoken" in line for line in shown.complaints)
    assert shown.asked == ["http://figures.example/plotly.js"]
    assert shown.evaluate("document.documentElement.scrollWidth") > _PHONE
