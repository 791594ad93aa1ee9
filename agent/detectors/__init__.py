"""The failure detectors, found by their files: every module here defines ``DETECTOR`` and is chosen by its name."""
