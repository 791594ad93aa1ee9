"""Grafana: dashboards as code, their provisioning, and the check that every query returns data."""
