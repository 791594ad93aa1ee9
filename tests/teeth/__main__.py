"""Runs the teeth: ``python -m tests.teeth``."""

import sys

from tests.teeth.cli import main

if __name__ == "__main__":
    sys.exit(main())
