"""Agora by its official SDK: protocol documents by hash, and routines instead of a language model."""

import warnings

with warnings.catch_warnings(record=True):
    # Any import of the SDK loads all of it, LangChain included, whose warnings about itself pass every filter.
    import agora  # type: ignore[import-untyped] # noqa: F401
