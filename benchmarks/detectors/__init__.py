"""What the failure detectors are worth: how fast they are, what they cost, and whether they wrong the living."""
