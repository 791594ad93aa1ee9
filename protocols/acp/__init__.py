"""ACP 0.2 through its official SDK: client, server, and the stores the SDK lets a server choose."""
