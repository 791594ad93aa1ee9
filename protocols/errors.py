"""The one tree of errors; catch wide at the edges, recover narrow inside.

::

    FailstormError
    ├── ConfigError            the user asked for something that cannot be (exit 2)
    ├── LabError               the lab itself failed (exit 3)
    ├── FaultError             a fault did not land, or was refused
    └── ProtocolError          a peer did not do its part
        ├── PeerUnreachableError   no connection, or it broke
        ├── PeerTimeoutError       no answer in time
        ├── PeerRejectedError      an answer that refuses or makes no sense
        └── IdentityError          somebody else answers at that address
"""


class FailstormError(Exception):
    """Anything the lab reports as one clear line: what was expected, what came, what to do."""


class ConfigError(FailstormError):
    """The scenario, a flag or the machine does not allow this run; nothing was started."""


class LabError(FailstormError):
    """The lab itself failed; what was measured until then is kept."""


class FaultError(FailstormError):
    """A fault was refused or did not land."""


class ProtocolError(FailstormError):
    """A peer did not do its part; ``peer`` names it."""

    def __init__(self, peer: str, message: str) -> None:
        super().__init__(f"{peer}: {message}")
        self.peer = peer


class PeerUnreachableError(ProtocolError):
    """No connection to the peer, or the connection broke before the answer."""


class PeerTimeoutError(ProtocolError):
    """The peer did not answer within the stated time."""


class PeerRejectedError(ProtocolError):
    """The peer answered, but refused the message or spoke nonsense."""


class IdentityError(ProtocolError):
    """Another node answers at the peer's address."""
