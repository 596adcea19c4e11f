"""A home behind its own certificate: what is served over TLS, and which certificates a device takes."""

import datetime as dt
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from devtools.home_process import home_process
from mepassa.model.errors import HomeUnreachableError
from mepassa.ports.clock import SystemClock
from mepassa.testing import SeededRng
from mepassa.testing.people import Person
from mepassa.transports.mailbox import Registration, WebSocketDialer, register
from mepassa.wire.wellknown import WELL_KNOWN_PATH


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed one for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a home for a test")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_path, key_path = folder / "cert.pem", folder / "key.pem"
    cert_path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert_path, key_path


async def test_a_home_with_a_certificate_is_reached_by_those_who_trust_it_and_by_nobody_else(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    with home_process(tmp_path / "home", cert=str(cert), key=str(key)) as home:
        assert home.url.startswith("https://")
        trusting = WebSocketDialer(private_homes=True, tls=ssl.create_default_context(cafile=str(cert)))
        rng = SeededRng("tls")
        person = Person.make(rng, home.address)
        registration = Registration(person.root.public, person.device_list)
        await register(trusting, home.address, registration, clock=SystemClock(), rng=rng)
        careful = WebSocketDialer(private_homes=True)
        with pytest.raises(HomeUnreachableError):
            await careful.get(home.url, WELL_KNOWN_PATH)
        await trusting.close()
        await careful.close()
