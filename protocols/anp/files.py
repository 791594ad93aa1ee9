"""What ANP keeps in a node's workspace: ``anp/`` with certificates, keys (mode 0600) and the DID document."""

import os
from pathlib import Path

CA = "ca.pem"
CERTIFICATE, TLS_KEY = "tls.pem", "tls.key"
DID_DOCUMENT, DID_KEY = "did.json", "did.key"

_FOLDER = "anp"
_PRIVATE_FOLDER, _PRIVATE_FILE = 0o700, 0o600


def folder_in(workspace: Path) -> Path:
    """The folder for it, made if need be; nobody else may enter."""
    folder = workspace / _FOLDER
    workspace.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=_PRIVATE_FOLDER, exist_ok=True)
    return folder


def write_private(path: Path, content: bytes) -> None:
    """Write what only the owner may read, whatever the umask and an earlier file say."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE_FILE), "wb") as file:
        file.write(content)
