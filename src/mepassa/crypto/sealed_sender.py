"""Sealed sender, version 1: who sends is told to the recipient's device only (docs/protocol/sealed-sender.md)."""

from dataclasses import dataclass
from enum import IntEnum

from mepassa.crypto.certificates import SenderCertificate, decode_sender_certificate
from mepassa.crypto.errors import AuthenticationError, InvalidMessageError
from mepassa.crypto.keys import EcKeyPair, agree, check_public
from mepassa.crypto.messages import MessageType
from mepassa.crypto.primitives import apply_ctr, equal, hkdf, hmac_sha256
from mepassa.crypto.protobuf import Kind, Schema, encode_bytes, encode_uint
from mepassa.identity.device_key import IdentityKeyPair
from mepassa.model.keys import IdentityKey

VERSION_BYTE = 0x11
MAC_BYTES = 10
_SALT = b"UnidentifiedDelivery"
_ENCRYPTED_STATIC_BYTES = 43

_ENVELOPE = Schema({1: Kind.BYTES, 2: Kind.BYTES, 3: Kind.BYTES}, required=(1, 2, 3))
_CONTENT = Schema({1: Kind.UINT32, 2: Kind.BYTES, 3: Kind.BYTES, 4: Kind.UINT32, 5: Kind.BYTES}, required=(1, 2, 3))

_TYPE_ON_THE_WIRE = {
    MessageType.SIGNAL: 2,
    MessageType.PREKEY: 1,
    MessageType.SENDER_KEY: 7,
    MessageType.PLAINTEXT: 8,
}
_TYPE_READ = {number: kind for kind, number in _TYPE_ON_THE_WIRE.items()}


class ContentHint(IntEnum):
    """What the reader does when the message will not open. Unknown values arrive as plain numbers."""

    DEFAULT = 0
    """Nothing promised: report it at once."""
    RESENDABLE = 1
    """The sender may be asked again: hold the report back."""
    IMPLICIT = 2
    """Of no interest to the person (typing, receipts): report nothing."""


@dataclass(frozen=True, slots=True)
class SealedContent:
    """What a sealed envelope holds ("USMC"). Its sender key matches its certificate; the certificate is not validated."""

    type: MessageType
    certificate: SenderCertificate
    message: bytes
    hint: int = 0
    group_id: bytes | None = None


def encode_content(
    kind: MessageType, certificate: bytes, message: bytes, *, hint: int = 0, group_id: bytes | None = None
) -> bytes:
    return b"".join(
        (
            encode_uint(1, _TYPE_ON_THE_WIRE[kind]),
            encode_bytes(2, certificate),
            encode_bytes(3, message),
            encode_uint(4, hint) if hint else b"",
            encode_bytes(5, group_id) if group_id else b"",
        )
    )


def decode_content(data: bytes) -> SealedContent:
    """Raises `InvalidMessageError` or `InvalidKeyError`."""
    fields = _CONTENT.decode(data)
    kind = _TYPE_READ.get(fields.number(1))
    if kind is None:
        raise InvalidMessageError
    return SealedContent(
        kind,
        decode_sender_certificate(fields.value(2)),
        fields.value(3),
        fields.number_or_none(4) or 0,
        fields.value_or_none(5),
    )


def seal(sender: IdentityKeyPair, recipient: IdentityKey, content: bytes, ephemeral: EcKeyPair) -> bytes:
    """`content` comes from `encode_content`; `ephemeral` is fresh and used once. Raises `InvalidKeyError`."""
    salt = _SALT + recipient.raw + ephemeral.public
    chain, cipher_key, mac_key = _derive(salt, ephemeral.agree(recipient.raw))
    encrypted_static = _encrypt(cipher_key, mac_key, sender.public.raw)
    _, cipher_key, mac_key = _derive(chain + encrypted_static, agree(sender, recipient.raw))
    return b"".join(
        (
            bytes((VERSION_BYTE,)),
            encode_bytes(1, ephemeral.public),
            encode_bytes(2, encrypted_static),
            encode_bytes(3, _encrypt(cipher_key, mac_key, content)),
        )
    )


def open_sealed(own: IdentityKeyPair, data: bytes) -> SealedContent:
    """Raises a `DecryptionError`. Proves that the holder of the certificate's identity key sealed it for us."""
    if not data or data[0] != VERSION_BYTE:
        raise InvalidMessageError
    fields = _ENVELOPE.decode(data[1:])
    ephemeral, encrypted_static = check_public(fields.value(1)), fields.value(2)
    if len(encrypted_static) != _ENCRYPTED_STATIC_BYTES:
        raise InvalidMessageError
    chain, cipher_key, mac_key = _derive(_SALT + own.public.raw + ephemeral, agree(own, ephemeral))
    static = check_public(_decrypt(cipher_key, mac_key, encrypted_static))
    _, cipher_key, mac_key = _derive(chain + encrypted_static, agree(own, static))
    content = decode_content(_decrypt(cipher_key, mac_key, fields.value(3)))
    if not equal(content.certificate.identity_key.raw, static):
        raise AuthenticationError
    return content


def _derive(salt: bytes, agreement: bytes) -> tuple[bytes, bytes, bytes]:
    """(chain, cipher key, MAC key)."""
    keys = hkdf(salt, agreement, b"", 96)
    return keys[:32], keys[32:64], keys[64:]


def _encrypt(cipher_key: bytes, mac_key: bytes, plaintext: bytes) -> bytes:
    ciphertext = apply_ctr(cipher_key, plaintext)
    return ciphertext + hmac_sha256(mac_key, ciphertext)[:MAC_BYTES]


def _decrypt(cipher_key: bytes, mac_key: bytes, sealed: bytes) -> bytes:
    ciphertext, mac = sealed[:-MAC_BYTES], sealed[-MAC_BYTES:]
    if not equal(hmac_sha256(mac_key, ciphertext)[:MAC_BYTES], mac):
        raise AuthenticationError
    return apply_ctr(cipher_key, ciphertext)
