"""``python -m benchmarks.detectors``."""

import sys

from benchmarks.detectors.cli import main

if __name__ == "__main__":
    sys.exit(main())
