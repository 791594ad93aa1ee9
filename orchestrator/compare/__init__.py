"""Compares protocols over many storms: plans, runs and resumes them, and says what differs and how sure that is."""
