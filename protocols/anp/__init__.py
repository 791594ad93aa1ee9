"""ANP 1.2 on its official SDK: did:wba identities, signed ``direct.send``, all of it over TLS from a lab CA."""
