"""What two nodes agree on in Agora: one protocol document, known by its hash, and the routine that serves it."""
# mypy: disable-error-code="import-untyped"

from agora.utils import compute_hash

DOCUMENT = """---
name: Fail-Storm mesh
description: Delivers messages between the nodes of a mesh and tells which node answers.
multiround: false
---
# Fail-Storm mesh protocol

## Which node is this?
Request: the word identify.
Response: JSON {"node_id": string, "incarnation": integer}

## Deliver a message
Request: JSON with message_id, kind, sender, recipient and traffic; where they apply in_reply_to, cause and body.
Response: JSON {"received": message_id}, as soon as the message is in the recipient's inbox and before any work on it.

## A request that cannot be served
Response: JSON {"error": reason}
"""

IDENTIFY = "identify"

# The base64 form of SHA-1 is the SDK's; the published standard draft says hexadecimal.
PROTOCOL_HASH: str = compute_hash(DOCUMENT)

# What a language model would have written from the document (RestrictedPython); both functions are tools of the node.
ROUTINE = """
def run(query):
    if query == "identify":
        return identify()
    return deliver(query)
"""
