"""The container lab: what runs on the host, and what in its first container and in the orchestrator's."""
