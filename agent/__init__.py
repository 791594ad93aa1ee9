"""One node of the mesh."""
