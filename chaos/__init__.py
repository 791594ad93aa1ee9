"""Faults, their schedule, and what they may touch."""
