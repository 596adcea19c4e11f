"""The self-signed certificate of a QUIC server: a throw-away name tag, known to the peer by its hash in our signal.

It proves no identity: the link hello does (docs/protocol/link.md). It makes sure that the TLS session ends at the
process that wrote the signal.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from mepassa.model.ids import Timestamp

VALID = timedelta(days=30)
"""Nobody checks the dates (the hash is pinned, and clocks differ); a certificate must name some."""


@dataclass(frozen=True, slots=True, repr=False)
class QuicCertificate:
    """Key and certificate, made in memory and kept there; one per run of a node is enough."""

    certificate: x509.Certificate
    private_key: ec.EllipticCurvePrivateKey

    @classmethod
    def make(cls, now_ms: Timestamp) -> Self:
        """A fresh P-256 key (the operating system's chance: never a test's) under a name that says nothing."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mepassa")])
        now = datetime.fromtimestamp(now_ms / 1000, UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + VALID)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key)

    @property
    def sha256(self) -> bytes:
        """32 bytes over the DER form: `Signal.quic_certificate_sha256`."""
        return certificate_sha256(self.certificate)

    def __repr__(self) -> str:
        return f"QuicCertificate({self.sha256[:4].hex()}…)"


def certificate_sha256(certificate: x509.Certificate) -> bytes:
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()
