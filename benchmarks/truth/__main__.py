"""Runs the check: ``python -m benchmarks.truth``."""

import sys

from benchmarks.truth.cli import main

if __name__ == "__main__":
    sys.exit(main())
