"""The conductor, the evidence and the verdict."""
