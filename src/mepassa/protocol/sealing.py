"""From content to envelope and back: padding, ratchet and sealed sender in one step (docs/protocol/envelope.md).

Opening goes in three steps on purpose: `open_sealed` tells who claims to send; `validate_sender` says whether that is
true, by the pinned root and the signed list; only then may `open_content` move a ratchet.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mepassa.crypto import certificates, sealed_sender, sealed_sender_v2
from mepassa.crypto.budget import OPENING_DERIVATIONS, STRANGER_DERIVATIONS
from mepassa.crypto.certificates import (
    SENDER_CERTIFICATE_LIFETIME_MS,
    SenderCertificate,
    SenderVerdict,
    decode_sender_certificate,
    issue_device_certificate,
)
from mepassa.crypto.errors import InvalidMessageError
from mepassa.crypto.keys import EcKeyPair
from mepassa.crypto.messages import (
    DecryptionErrorMessage,
    MessageType,
    PlaintextContent,
    decode_plaintext_content,
    encode_plaintext_content,
)
from mepassa.crypto.multi_recipient import RECEIVED_VERSION_BYTE
from mepassa.crypto.padding import MAX_CONTENT_BYTES, pad, unpad
from mepassa.crypto.sealed_sender import ContentHint, encode_content
from mepassa.crypto.sealed_sender_v2 import Recipient
from mepassa.model.device_list import DeviceList
from mepassa.model.envelope import SealedEnvelope
from mepassa.model.ids import Address, EnvelopeId
from mepassa.model.keys import IdentityKey, RootPublicKey
from mepassa.ports.rng import Rng
from mepassa.protocol import session
from mepassa.protocol.parties import LocalIdentity, RemoteDevice
from mepassa.protocol.prekeys import PrekeyLookup
from mepassa.protocol.session import Decrypted, SessionRecord

__all__ = [
    "MAX_CONTENT_BYTES",
    "OPENING_DERIVATIONS",
    "STRANGER_DERIVATIONS",
    "ContentHint",
    "MessageType",
    "Recipient",
    "ResendRequest",
    "SenderVerdict",
    "SignalPayload",
    "Unsealed",
    "issue_device_certificate",
    "issue_sender_certificate",
    "open_content",
    "open_sealed",
    "read_plaintext",
    "seal",
    "seal_content",
    "seal_for_devices",
    "seal_plaintext",
    "sender_certificate_expires",
    "validate_sender",
]


@dataclass(frozen=True, slots=True)
class Unsealed:
    """What an envelope holds. *Nothing in it is proven before `validate_sender` says so*: until then `sender` is an
    index to look up a pinned root key by, and nothing more."""

    type: MessageType
    body: bytes
    hint: int
    certificate: SenderCertificate
    group_id: bytes | None = None

    @property
    def sender(self) -> Address:
        return self.certificate.sender

    @property
    def identity_key(self) -> IdentityKey:
        return self.certificate.identity_key

    @property
    def remote(self) -> RemoteDevice:
        """For `open_content`, after validation."""
        return RemoteDevice(self.sender, self.identity_key)


@dataclass(frozen=True, slots=True)
class ResendRequest:
    """ "This would not open." `ratchet_key`: of the failed message; `device`: the one that sent it."""

    envelope_id: EnvelopeId | None
    ratchet_key: bytes | None
    timestamp_ms: int
    device: int


@dataclass(frozen=True, slots=True)
class SignalPayload:
    """A signal's bytes (`wire` encodes them); padded on the way like any content."""

    payload: bytes


# --- certificates ------------------------------------------------------------------------------------------------------


def issue_sender_certificate(own: LocalIdentity, device_certificate: bytes, now_ms: int) -> bytes:
    """Valid for 60 days; renew it while at least half of that is left, so that a waiting envelope stays valid."""
    expires_at_ms = now_ms + SENDER_CERTIFICATE_LIFETIME_MS
    return certificates.issue_sender_certificate(own.key, own.address, device_certificate, expires_at_ms)


def sender_certificate_expires(certificate: bytes) -> int:
    """Unix ms. Raises `DecryptionError` for bytes that are no certificate."""
    return decode_sender_certificate(certificate).expires_at_ms


# --- sealing -----------------------------------------------------------------------------------------------------------


def seal(
    own: LocalIdentity,
    sender_certificate: bytes,
    recipient: IdentityKey,
    kind: MessageType,
    message: bytes,
    *,
    rng: Rng,
    hint: int = ContentHint.RESENDABLE,
) -> SealedEnvelope:
    """Raises `InvalidKeyError` for an improper recipient key, `TooLargeError` over 36 KiB."""
    content = encode_content(kind, sender_certificate, message, hint=hint)
    return SealedEnvelope(sealed_sender.seal(own.key, recipient, content, EcKeyPair.generate(rng.token)))


def seal_for_devices(
    own: LocalIdentity,
    sender_certificate: bytes,
    recipients: Sequence[Recipient],
    kind: MessageType,
    message: bytes,
    *,
    group_id: bytes,
    rng: Rng,
    hint: int = ContentHint.RESENDABLE,
) -> tuple[SealedEnvelope, ...]:
    """One message, encrypted once (version 2): an envelope for each recipient, in their order. Raises as `seal` does."""
    content = encode_content(kind, sender_certificate, message, hint=hint, group_id=group_id)
    sent = sealed_sender_v2.seal(own.key, recipients, content, rng.token)
    return tuple(SealedEnvelope(sent.received_by(copy)) for copy in sent.copies)


def seal_content(
    record: SessionRecord,
    own: LocalIdentity,
    remote: RemoteDevice,
    sender_certificate: bytes,
    content: bytes,
    *,
    now_ms: int,
    rng: Rng,
    hint: int = ContentHint.RESENDABLE,
) -> tuple[SessionRecord, SealedEnvelope, bytes]:
    """(new record, envelope, ratchet key): pad, encrypt, seal.

    Commit all three before the envelope leaves; keep the ratchet key 15 days beside the envelope's id, for resend
    requests. Raises `TooLargeError` (content over 32 767 bytes, before anything else), `NoSessionError`,
    `StaleSessionError`.
    """
    padded = pad(content)
    record, ciphertext = session.encrypt(record, own, remote, padded, now_ms=now_ms, rng=rng)
    recipient, kind = remote.identity_key, ciphertext.type
    envelope = seal(own, sender_certificate, recipient, kind, ciphertext.body, rng=rng, hint=hint)
    return record, envelope, ciphertext.ratchet_key


def seal_plaintext(
    own: LocalIdentity,
    sender_certificate: bytes,
    recipient: IdentityKey,
    payload: ResendRequest | SignalPayload,
    *,
    rng: Rng,
) -> SealedEnvelope:
    """A resend request or a signal: sealed for the device, but without a ratchet, since it must work without a session.

    It has no forward secrecy: nothing else may travel this way.
    """
    body = encode_plaintext_content(_plaintext_content(payload))
    kind, hint = MessageType.PLAINTEXT, ContentHint.IMPLICIT
    return seal(own, sender_certificate, recipient, kind, body, rng=rng, hint=hint)


def _plaintext_content(payload: ResendRequest | SignalPayload) -> PlaintextContent:
    match payload:
        case ResendRequest(envelope_id, ratchet_key, timestamp_ms, device):
            error = DecryptionErrorMessage(ratchet_key, timestamp_ms, device)
            return PlaintextContent(error, None if envelope_id is None else envelope_id.raw)
        case SignalPayload(signal):
            return PlaintextContent(signal=pad(signal))


# --- opening -----------------------------------------------------------------------------------------------------------


def open_sealed(own: LocalIdentity, envelope: SealedEnvelope) -> Unsealed:
    """Either version of sealed sender. Raises a `DecryptionError`; then nothing is asked of anyone."""
    version_2 = envelope.raw[0] == RECEIVED_VERSION_BYTE
    content = (sealed_sender_v2 if version_2 else sealed_sender).open_sealed(own.key, envelope.raw)
    return Unsealed(content.type, content.message, content.hint, content.certificate, content.group_id)


def validate_sender(
    unsealed: Unsealed, root: RootPublicKey | None, devices: DeviceList | None, now_ms: int
) -> SenderVerdict:
    """`root`: pinned for exactly `unsealed.sender.account`, None when we have none. `devices`: its verified list."""
    return certificates.validate(unsealed.certificate, root, devices, now_ms)


def open_content(
    record: SessionRecord,
    own: LocalIdentity,
    unsealed: Unsealed,
    *,
    prekeys: PrekeyLookup,
    now_ms: int,
    rng: Rng,
    derivations: int = OPENING_DERIVATIONS,
) -> Decrypted:
    """Decrypt and unpad, after `validate_sender`. Raises a `DecryptionError`; the record then stays as it is."""
    opened = session.decrypt(
        record, own, unsealed.remote, unsealed.type, unsealed.body,
        prekeys=prekeys, now_ms=now_ms, rng=rng, derivations=derivations,
    )  # fmt: skip
    return Decrypted(opened.record, unpad(opened.plaintext), opened.consumed, opened.new_session)


def read_plaintext(unsealed: Unsealed) -> ResendRequest | SignalPayload:
    """After `validate_sender`. Raises a `DecryptionError`."""
    if unsealed.type is not MessageType.PLAINTEXT:
        raise InvalidMessageError
    content = decode_plaintext_content(unsealed.body)
    if content.signal is not None:
        return SignalPayload(unpad(content.signal))
    error = content.decryption_error
    assert error is not None  # decoded: exactly one of the two
    envelope_id = None if content.envelope_id is None else EnvelopeId(content.envelope_id)
    return ResendRequest(envelope_id, error.ratchet_key, error.timestamp_ms, error.device)
