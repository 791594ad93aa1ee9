"""Parts of documents that commands fill in: what stands between ``<!-- name -->`` and ``<!-- end of name -->``."""

from pathlib import Path

from orchestrator.run_dir import write_atomically
from protocols.errors import ConfigError


def fill(document: Path, name: str, text: str) -> None:
    """Put ``text`` between the marks called ``name`` in the file ``document``.

    Raises:
        ConfigError: the file cannot be read, or has no such marks.
        LabError: it cannot be written.
    """
    write_atomically(document, filled(read(document), name, text, document))


def filled(content: str, name: str, text: str, document: Path) -> str:
    """``content`` with ``text`` between the marks called ``name``; raises ConfigError, which names ``document``."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, begins, rest = content.partition(begin)
    _, ends, after = rest.partition(end)
    if not begins or not ends:
        raise ConfigError(f"expected the lines {begin} and {end} in {document}, got none; put them in")
    return f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}"


def read(document: Path) -> str:
    """What stands in ``document``; raises ConfigError."""
    try:
        return document.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"expected to read {document}, got: {error.strerror}; run this in a checkout") from error
