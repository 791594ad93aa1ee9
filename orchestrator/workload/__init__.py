"""The Gaia workload: document, shards, tasks and grading."""
