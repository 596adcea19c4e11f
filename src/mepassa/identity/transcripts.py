"""The exact bytes that hellos sign: one place for both sides (docs/protocol/identity.md, "Transcripts")."""

from enum import StrEnum

from mepassa.identity.labels import Label, labelled, u64
from mepassa.model.errors import MalformedError
from mepassa.model.ids import Address, RunId
from mepassa.model.keys import HomeKey

NONCE_BYTES = 32


def _exactly(size: int, *values: bytes) -> None:
    if any(len(value) != size for value in values):
        raise MalformedError(f"A value that is signed must be {size} bytes.")


def hello_message(*, client_nonce: bytes, home_nonce: bytes, host: str, time_ms: int) -> bytes:
    """What a home signs when a device connects. `host` as the client asked for it (host:port, lower case)."""
    _exactly(NONCE_BYTES, client_nonce, home_nonce)
    return labelled(Label.HELLO, client_nonce, home_nonce, host.encode(), u64(time_ms))


def auth_message(
    *, home_key: HomeKey, client_nonce: bytes, home_nonce: bytes, device: Address, run_counter: int, run_id: RunId
) -> bytes:
    """What a device signs (XEdDSA) to log in: bound to this home, this hello, this device and this run."""
    _exactly(NONCE_BYTES, client_nonce, home_nonce)
    return labelled(
        Label.AUTH,
        home_key.raw,
        client_nonce,
        home_nonce,
        device.account.raw,
        bytes([device.device]),
        u64(run_counter),
        run_id.raw,
    )


def home_document_message(document: bytes) -> bytes:
    """What a home signs of its well-known document: the exact bytes served."""
    return labelled(Label.HOME_DOCUMENT, document)


class LinkRole(StrEnum):
    """Who began. On QUIC the client is the dialler."""

    DIALLER = "dialler"
    LISTENER = "listener"


def libp2p_binding(dialler_peer_id: bytes, listener_peer_id: bytes) -> bytes:
    """Ties a hello to one Noise connection, by both proven PeerIds (their binary form)."""
    return labelled(Label.LINK, b"libp2p", dialler_peer_id, listener_peer_id)


def quic_binding(
    *,
    server_certificate_sha256: bytes,
    client_ufrag: str,
    server_ufrag: str,
    client_path_secret: bytes,
    server_path_secret: bytes,
) -> bytes:
    """Ties a hello to one QUIC connection over one ICE path (docs/protocol/link.md); hash and secrets are 32 bytes."""
    _exactly(32, server_certificate_sha256, client_path_secret, server_path_secret)
    return labelled(
        Label.LINK,
        b"quic",
        server_certificate_sha256,
        client_ufrag.encode(),
        server_ufrag.encode(),
        client_path_secret,
        server_path_secret,
    )


def link_message(*, role: LinkRole, own: Address, peer: Address, binding: bytes) -> bytes:
    """What a device signs (XEdDSA) in its link hello. The verifier passes the *signer's* role, own and peer."""
    return labelled(
        Label.LINK,
        role.encode(),
        own.account.raw,
        bytes([own.device]),
        peer.account.raw,
        bytes([peer.device]),
        binding,
    )


def presence_record_message(*, device: Address, slot: bytes, expires_at_ms: int, body: bytes) -> bytes:
    """What a device signs (XEdDSA) inside its presence record: its addresses, for this slot, until then."""
    _exactly(32, slot)
    return labelled(Label.PRESENCE_RECORD, device.account.raw, bytes([device.device]), slot, u64(expires_at_ms), body)
