"""A certificate authority for one run: it signs one server certificate per node and is forgotten."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from protocols.anp.files import CA, CERTIFICATE, TLS_KEY, folder_in, write_private
from protocols.anp.hosts import host_of
from protocols.clock import civil_now

_BEFORE = timedelta(hours=1)
_LIFETIME = timedelta(days=30)


def certify(folder: Path, workspaces: Mapping[str, Path], civil_time: Callable[[], datetime] = civil_now) -> None:
    """Write ``folder/ca.pem``, and into each node's workspace the CA, a certificate for its host, and the key.

    The CA's own key never touches the disk, so a second call makes a second authority, whose nodes do not trust those
    of the first. Raises ConfigError for a node name that makes no host name.
    """
    hosts, now = {node: host_of(node) for node in workspaces}, civil_time()
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Fail-Storm lab CA")])
    usage = _usage(certificates=True)
    authority = (
        _certificate(name, name, key.public_key(), key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = authority.public_bytes(Encoding.PEM)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CA).write_bytes(pem)
    for node, workspace in workspaces.items():
        own = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, node)])
        certificate = (
            _certificate(subject, name, own.public_key(), key.public_key(), now)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            # did:wba matches the DNS name of the certificate, never its common name (ANP-03, 2.2).
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(hosts[node])]), critical=False)
            .sign(key, hashes.SHA256())
        )
        private = folder_in(workspace)
        (private / CA).write_bytes(pem)
        (private / CERTIFICATE).write_bytes(certificate.public_bytes(Encoding.PEM))
        write_private(private / TLS_KEY, own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePublicKey,
    now: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BEFORE)
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )


def _usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificates,
        key_cert_sign=certificates,
        crl_sign=certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
