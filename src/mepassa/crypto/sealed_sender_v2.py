"""Sealed sender, version 2: encrypted once for many devices, each gets the key by itself (docs/protocol/sealed-sender.md).

The message secret M is 32 random bytes, one per message. From it follow the ephemeral key pair E and the content's key
K; each device gets M under its agreement with E, and a tag that only the sender and that device can make.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from mepassa.crypto.errors import AuthenticationError, InvalidMessageError
from mepassa.crypto.keys import EcKeyPair, agree, check_public
from mepassa.crypto.multi_recipient import (
    EPHEMERAL_BYTES,
    RECEIVED_VERSION_BYTE,
    SEALED_KEY_BYTES,
    RecipientCopy,
    SentMessage,
)
from mepassa.crypto.primitives import ZERO_SALT, RandomBytes, equal, hkdf
from mepassa.crypto.sealed_sender import SealedContent, decode_content
from mepassa.identity.curve import EC_TYPE
from mepassa.identity.device_key import IdentityKeyPair
from mepassa.model.ids import AccountId, Address
from mepassa.model.keys import IdentityKey

SECRET_BYTES = 32
SENDER_TAG_BYTES = 16
CIPHER_TAG_BYTES = 16
_NONCE = bytes(12)
"""K is used for one message only."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """One device. `registration_id`: as its signed list has it; the recipient's home sees it."""

    address: Address
    registration_id: int
    identity_key: IdentityKey


def seal(
    sender: IdentityKeyPair,
    recipients: Iterable[Recipient],
    content: bytes,
    random: RandomBytes,
    *,
    excluded: Iterable[AccountId] = (),
) -> SentMessage:
    """`content` comes from `sealed_sender.encode_content`. Two agreements a device. Raises `InvalidKeyError`.

    The result is sent whole (`encode_sent_message`) or split (`received_by`).
    """
    secret = random(SECRET_BYTES)
    ephemeral, content_key = _expand(secret)
    copies = tuple(
        RecipientCopy(
            to.address.service_id,
            to.address.device,
            to.registration_id,
            _seal_key(sender, ephemeral, secret, to.identity_key.raw),
        )
        for to in recipients
    )
    ciphertext = AESGCMSIV(content_key).encrypt(_NONCE, content, None)
    return SentMessage(copies, tuple(b"\x00" + account.raw for account in excluded), ephemeral.public[1:] + ciphertext)


def open_sealed(own: IdentityKeyPair, data: bytes) -> SealedContent:
    """Raises a `DecryptionError`. Proves that the holder of the certificate's identity key sealed it for us."""
    head = 1 + SEALED_KEY_BYTES
    if len(data) < head + EPHEMERAL_BYTES + CIPHER_TAG_BYTES or data[0] != RECEIVED_VERSION_BYTE:
        raise InvalidMessageError
    sealed_secret, tag = data[1 : 1 + SECRET_BYTES], data[1 + SECRET_BYTES : head]
    ephemeral = check_public(bytes((EC_TYPE,)) + data[head : head + EPHEMERAL_BYTES])
    secret = _xor(sealed_secret, _secret_mask(agree(own, ephemeral), ephemeral, own.public.raw))
    derived, content_key = _expand(secret)
    if not equal(derived.public, ephemeral):
        raise AuthenticationError
    try:
        plaintext = AESGCMSIV(content_key).decrypt(_NONCE, data[head + EPHEMERAL_BYTES :], None)
    except (InvalidTag, ValueError) as error:
        raise AuthenticationError from error
    content = decode_content(plaintext)
    sender = content.certificate.identity_key.raw
    if not equal(_sender_tag(agree(own, sender), ephemeral, sealed_secret, sender, own.public.raw), tag):
        raise AuthenticationError
    return content


def _expand(secret: bytes) -> tuple[EcKeyPair, bytes]:
    """(E, K). X25519 clamps E by itself (RFC 7748 §5)."""
    scalar = hkdf(ZERO_SALT, secret, b"Sealed Sender v2: r (2023-08)", 32)
    return EcKeyPair(scalar), hkdf(ZERO_SALT, secret, b"Sealed Sender v2: K", 32)


def _seal_key(sender: IdentityKeyPair, ephemeral: EcKeyPair, secret: bytes, recipient: bytes) -> bytes:
    """The message secret for one identity key (33 bytes), and the tag that proves the sender to it: 48 bytes."""
    sealed_secret = _xor(secret, _secret_mask(ephemeral.agree(recipient), ephemeral.public, recipient))
    agreement = agree(sender, recipient)
    return sealed_secret + _sender_tag(agreement, ephemeral.public, sealed_secret, sender.public.raw, recipient)


def _secret_mask(agreement: bytes, ephemeral: bytes, recipient: bytes) -> bytes:
    return hkdf(ZERO_SALT, agreement + ephemeral + recipient, b"Sealed Sender v2: DH", SECRET_BYTES)


def _sender_tag(agreement: bytes, ephemeral: bytes, sealed_secret: bytes, sender: bytes, recipient: bytes) -> bytes:
    bound = agreement + ephemeral + sealed_secret + sender + recipient
    return hkdf(ZERO_SALT, bound, b"Sealed Sender v2: DH-sender", SENDER_TAG_BYTES)


def _xor(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).to_bytes(len(left), "big")
