"""One run of a comparison as a process of its own, which ends in good order when the comparison is killed."""

import ctypes
import os
import signal
import sys

from orchestrator.cli import main

_PR_SET_PDEATHSIG = 1


def end_with(parent: int) -> None:
    """Have the kernel interrupt this process when ``parent`` ends, however it ends (prctl(2), PR_SET_PDEATHSIG).

    A parent with threads may do so more than once: each thread that ends hands its children to one that still lives.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it was quicker
        sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    end_with(int(sys.argv[1]))
    sys.exit(main(sys.argv[2:]))
