"""Signals: sealed notes by which two devices meet; unratcheted, lost freely, never stored (docs/protocol/signal.md)."""

from mepassa.model.envelope import SealedEnvelope
from mepassa.model.errors import ConflictError, DecryptionError, NotFoundError, UnlistedDeviceError
from mepassa.model.ids import AccountId, Address, Timestamp
from mepassa.model.signal import Signal
from mepassa.model.status import ChatState
from mepassa.ports.rng import Rng
from mepassa.ports.stores import Tx
from mepassa.protocol.account import local_identity, sender_certificate
from mepassa.protocol.devices import counterpart, listed_devices, remote_device
from mepassa.protocol.sealing import (
    SenderVerdict,
    SignalPayload,
    open_sealed,
    read_plaintext,
    seal_plaintext,
    validate_sender,
)
from mepassa.protocol.tokens import signal_token_for
from mepassa.wire.signal import decode_signal, encode_signal

MAX_CLOCK_DIFFERENCE_MS = 10 * 60 * 1000
"""A signal whose time is further off is refused: an old one played again, or a wrong clock."""


class SignalStaleError(DecryptionError):
    sentence = "This signal is older (or newer) than ten minutes; one of the two clocks is wrong."


class UnlistedSignallerError(UnlistedDeviceError):
    """Certified by the account, and not in the list that we have: there may be a newer one."""

    def __init__(self, account: AccountId) -> None:
        super().__init__()
        self.account = account


def seal_signal(tx: Tx, to: Address, signal: Signal, now_ms: Timestamp, rng: Rng) -> tuple[SealedEnvelope, bytes]:
    """The sealed note and the token that the recipient's home asks for.

    Raises `NotFoundError`, `ConflictError` (no accepted contact), `UnlistedDeviceError`, `TooLargeError`."""
    contact = counterpart(tx, to.account)
    if contact is None:
        raise NotFoundError("There is no such chat.")
    token, remote = signal_token_for(contact), remote_device(contact, to.device)
    if contact.state is not ChatState.ACCEPTED or token is None:
        raise ConflictError("Only accepted contacts are signalled.")
    if remote is None:
        raise UnlistedDeviceError
    own = tx.own()
    certificate = sender_certificate(tx, own, now_ms)
    payload = SignalPayload(encode_signal(signal))
    return seal_plaintext(local_identity(own), certificate, remote.identity_key, payload, rng=rng), token


def open_signal(tx: Tx, sealed: SealedEnvelope, now_ms: Timestamp) -> tuple[Address, Signal]:
    """Who signals, proven, and what. `now_ms`: corrected by the home's clock where that is known.

    Raises `DecryptionError` (not for us, not from an accepted contact's device, stale), `MalformedError`, or
    `UnlistedSignallerError`.
    """
    unsealed = open_sealed(local_identity(tx.own()), sealed)
    contact = counterpart(tx, unsealed.sender.account)
    if contact is None or contact.state is not ChatState.ACCEPTED:
        raise DecryptionError
    verdict = validate_sender(unsealed, contact.root_key, listed_devices(contact), now_ms)
    if verdict is SenderVerdict.UNLISTED_DEVICE:
        raise UnlistedSignallerError(contact.account)
    if verdict is not SenderVerdict.VALID:
        raise DecryptionError
    payload = read_plaintext(unsealed)
    if not isinstance(payload, SignalPayload):
        raise DecryptionError
    signal = decode_signal(payload.payload)
    if abs(signal.sent_at_ms - now_ms) > MAX_CLOCK_DIFFERENCE_MS:
        raise SignalStaleError
    return unsealed.sender, signal
