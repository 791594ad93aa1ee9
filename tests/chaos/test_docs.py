"""docs/faults.md says what the code does."""

from pathlib import Path

from chaos import docs, faults


def test_the_documentation_of_the_faults_is_the_registry() -> None:
    """docs/faults.md is what ``make docs`` makes of the faults, so that it cannot fall behind them."""
    assert Path("docs/faults.md").read_text(encoding="utf-8") == docs.render()


def test_every_fault_says_what_it_does() -> None:
    """Its name in the table and an entry of its own."""
    text = docs.render()
    for name in faults.names():
        assert f"| `{name}` |" in text
        assert len(text.partition(f"### `{name}`\n\n")[2].partition("\n")[0]) > 40
