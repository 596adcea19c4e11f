"""Device and sender certificates: Signal's formats, rooted in the sender's own account (docs/protocol/sealed-sender.md).

The root key signs a *server certificate* {id = device number, key = device identity key}: the device certificate. With it
the device issues its own short-lived *sender certificates*. No home takes part. The official validation accepts the
chain with the root key as trust root; it compares too little, so the reader's own rules stand in `validate`.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from uuid import UUID

from mepassa.crypto.errors import InvalidMessageError
from mepassa.crypto.keys import check_public
from mepassa.crypto.protobuf import Kind, Schema, encode_bytes, encode_fixed64, encode_uint
from mepassa.identity.device_key import IdentityKeyPair, verify_xeddsa
from mepassa.identity.root_key import RootKey, account_id, trust_root
from mepassa.model.device_list import DeviceList
from mepassa.model.errors import MalformedError, SignatureError
from mepassa.model.ids import AccountId, Address
from mepassa.model.keys import IdentityKey, RootPublicKey

SENDER_CERTIFICATE_LIFETIME_MS = 60 * 86_400_000
"""60 days: a retried envelope stays valid; ids of opened envelopes are kept one day longer."""

_SIGNED = Schema({1: Kind.BYTES, 2: Kind.BYTES}, required=(1, 2))
_SERVER = Schema({1: Kind.UINT32, 2: Kind.BYTES}, required=(1, 2))
_SENDER = Schema(
    {
        1: Kind.BYTES,
        2: Kind.UINT32,
        3: Kind.FIXED64,
        4: Kind.BYTES,
        5: Kind.BYTES,
        6: Kind.BYTES,
        7: Kind.BYTES,
        8: Kind.UINT32,
    },
    required=(2, 3, 4, 5),
)

CERTIFICATES_REMEMBERED = 256
"""Every message shows its sender's certificate, which lasts for weeks: this many are read and verified once, not each
time."""


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """`inner` is what `signature` covers."""

    id: int
    key: IdentityKey
    inner: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class SenderCertificate:
    """What the certificate *says*; nothing of it is proven before `validate`. `inner` is what `signature` covers."""

    sender: Address
    identity_key: IdentityKey
    expires_at_ms: int
    signer: ServerCertificate
    inner: bytes
    signature: bytes


class SenderVerdict(StrEnum):
    """What validating a sender came to. All but VALID mean: not opened."""

    VALID = "valid"
    UNKNOWN_ROOT = "unknown_root"
    """No pinned root key for this account, or the chain does not verify under it: dropped, nothing asked."""
    EXPIRED = "expired"
    KEY_MISMATCH = "key_mismatch"
    """The device certificate is for another key or number than this claims: dropped."""
    UNLISTED_DEVICE = "unlisted_device"
    """Number and key do not stand together in the list that we know (the device is new, was set up anew under its old
    number, or was removed): fetch the list first; neither opened nor acknowledged until then."""


# --- issuing -----------------------------------------------------------------------------------------------------------


def issue_device_certificate(root: RootKey, device: int, identity_key: IdentityKey) -> bytes:
    """105 or so bytes, for good: the device list, not a date, ends a device."""
    inner = encode_uint(1, device) + encode_bytes(2, identity_key.raw)
    return encode_bytes(1, inner) + encode_bytes(2, root.sign_certificate(inner))


def issue_sender_certificate(
    key: IdentityKeyPair, address: Address, device_certificate: bytes, expires_at_ms: int
) -> bytes:
    """260 or so bytes. The UUID as text, as the official creator writes it."""
    inner = b"".join(
        (
            encode_uint(2, address.device),
            encode_fixed64(3, expires_at_ms),
            encode_bytes(4, key.public.raw),
            encode_bytes(5, device_certificate),
            encode_bytes(6, str(address.account.uuid).encode("ascii")),
        )
    )
    return encode_bytes(1, inner) + encode_bytes(2, key.sign(inner))


# --- reading -----------------------------------------------------------------------------------------------------------


def decode_server_certificate(data: bytes) -> ServerCertificate:
    """Raises `InvalidMessageError` or `InvalidKeyError`."""
    signed = _SIGNED.decode(data)
    inner = _SERVER.decode(signed.value(1))
    return ServerCertificate(
        inner.number(1), IdentityKey(check_public(inner.value(2))), signed.value(1), signed.value(2)
    )


@lru_cache(CERTIFICATES_REMEMBERED)
def decode_sender_certificate(data: bytes) -> SenderCertificate:
    """Raises `InvalidMessageError` or `InvalidKeyError`; also for a certificate by reference (field 8)."""
    signed = _SIGNED.decode(data)
    inner = _SENDER.decode(signed.value(1))
    device = inner.number(2)
    if 8 in inner or not 1 <= device <= 127:
        raise InvalidMessageError
    return SenderCertificate(
        Address(_account(inner.value_or_none(6), inner.value_or_none(7)), device),
        IdentityKey(check_public(inner.value(4))),
        inner.number(3),
        decode_server_certificate(inner.value(5)),
        signed.value(1),
        signed.value(2),
    )


def _account(text: bytes | None, raw: bytes | None) -> AccountId:
    """The account from exactly one of canonical UUID text and 16 bytes."""
    if (text is None) == (raw is None):
        raise InvalidMessageError
    if raw is not None:
        if len(raw) != AccountId.SIZE:
            raise InvalidMessageError
        return AccountId(raw)
    try:
        written = (text or b"").decode("ascii")
        uuid = UUID(written)
    except ValueError as error:
        raise InvalidMessageError from error
    if str(uuid) != written:  # one account, one spelling
        raise InvalidMessageError
    return AccountId(uuid.bytes)


# --- validating --------------------------------------------------------------------------------------------------------


def verify_chain(certificate: SenderCertificate, root: IdentityKey) -> bool:
    """The two signatures, as the official validation checks them."""
    signer = certificate.signer
    return _chain_holds(root, (signer.inner, signer.signature), signer.key, (certificate.inner, certificate.signature))


@lru_cache(CERTIFICATES_REMEMBERED)
def _chain_holds(
    root: IdentityKey, server: tuple[bytes, bytes], signer: IdentityKey, sender: tuple[bytes, bytes]
) -> bool:
    """Bytes and their signatures, from the root down. Nothing secret, nothing that changes: true once is true for ever."""
    try:
        verify_xeddsa(root, *server)
        verify_xeddsa(signer, *sender)
    except SignatureError:
        return False
    return True


def validate(
    certificate: SenderCertificate, root: RootPublicKey | None, devices: DeviceList | None, now_ms: int
) -> SenderVerdict:
    """The official rules and our own: the pinned root of exactly this account, the certified key is the sender's,
    the certificate's id is the device's number, and the signed list has this device with this key.

    `root` and `devices` are what we hold for `certificate.sender.account`. Expiry is inclusive, without tolerance.
    """
    if root is None or account_id(root) != certificate.sender.account:
        return SenderVerdict.UNKNOWN_ROOT
    try:
        trusted = trust_root(root)
    except MalformedError:
        return SenderVerdict.UNKNOWN_ROOT
    if not verify_chain(certificate, trusted):
        return SenderVerdict.UNKNOWN_ROOT
    if now_ms > certificate.expires_at_ms:
        return SenderVerdict.EXPIRED
    if certificate.signer.key != certificate.identity_key or certificate.signer.id != certificate.sender.device:
        return SenderVerdict.KEY_MISMATCH
    if devices is None or not devices.lists(certificate.sender.device, certificate.identity_key):
        return SenderVerdict.UNLISTED_DEVICE
    return SenderVerdict.VALID
