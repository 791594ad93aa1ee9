"""Runs the command line: ``python -m orchestrator``."""

import sys

from orchestrator.cli import main

# Processes of a pool import this file.
if __name__ == "__main__":
    sys.exit(main())
