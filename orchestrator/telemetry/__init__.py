"""What Prometheus sees of a run, what it saw, and whether that agrees with the journal."""
