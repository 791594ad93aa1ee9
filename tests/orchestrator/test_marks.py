"""Parts of documents that commands fill in."""

from pathlib import Path

import pytest

from orchestrator.marks import fill
from protocols.errors import ConfigError


def test_text_goes_between_its_marks(tmp_path: Path) -> None:
    """What stands around the marks stays; a file without them, and no file, are refused and named."""
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- same -->\nold\n<!-- end of same -->\nafter\n")
    fill(page, "same", "new\n")
    assert page.read_text() == "before\n<!-- same -->\n\nnew\n\n<!-- end of same -->\nafter\n"
    with pytest.raises(ConfigError, match=r"<!-- controls --> and <!-- end of controls --> in .*page\.md"):
        fill(page, "controls", "new")
    with pytest.raises(ConfigError, match=r"nowhere\.md, got: No such file"):
        fill(tmp_path / "nowhere.md", "same", "new")
