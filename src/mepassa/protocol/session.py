"""Sessions with one device (Sesame for a pair): pure functions from a record to a new record.

How two devices start, cross, lose and find their sessions: docs/protocol/session.md. The rules in one breath: a PreKey
message with an unknown base key makes a session, which becomes current; a plain message is opened by the session that
can, which becomes current; what cannot be opened changes nothing. These settle simultaneous initiation by themselves.

The caller commits the new record, the consumed prekeys and the message in one transaction, and only then lets a
ciphertext leave or acknowledges a message.
"""

from collections.abc import Iterable

from mepassa.crypto import double_ratchet, pqxdh
from mepassa.crypto.budget import ARCHIVED_DERIVATIONS, OPENING_DERIVATIONS, WorkBudget
from mepassa.crypto.double_ratchet import Parties, RatchetState
from mepassa.crypto.errors import (
    AuthenticationError,
    CorruptRecordError,
    InvalidMessageError,
    NoOpeningSessionError,
    PrekeyMissingError,
)
from mepassa.crypto.kem import KyberKeyPair
from mepassa.crypto.keys import EcKeyPair
from mepassa.crypto.messages import (
    MessageType,
    PrekeySignalMessage,
    SignalMessage,
    decode_prekey_signal_message,
    decode_signal_message,
    encode_prekey_signal_message,
    ratchet_key_of,
)
from mepassa.model.errors import DecryptionError, DuplicateMessageError, LocalError, UnlistedDeviceError
from mepassa.model.prekeys import LAST_RESORT_ID_BASE, PrekeyBundle
from mepassa.model.secret import SecretBytes
from mepassa.model.state import State
from mepassa.ports.rng import Rng
from mepassa.protocol.parties import LocalIdentity, RemoteDevice, parties
from mepassa.protocol.prekeys import ConsumedPrekeys, LastResortUse, PrekeyLookup
from mepassa.protocol.session_record import ArchivedSession, PendingPrekeys, SessionRecord, SessionState

__all__ = [
    "ConsumedPrekeys",
    "Decrypted",
    "LastResortUse",
    "LocalIdentity",
    "MessageType",
    "NoSessionError",
    "PrekeyLookup",
    "RemoteDevice",
    "SessionRecord",
    "SignalCiphertext",
    "StaleSessionError",
    "archive",
    "archive_restored",
    "current_ratchet_key",
    "decrypt",
    "encrypt",
    "failed_ratchet_key",
    "initiate",
    "must_archive",
]

UNACKNOWLEDGED_MS = 30 * 86_400_000
"""A session that is still unacknowledged at this age cannot send any more: its prekeys may be gone at the other side."""


class NoSessionError(LocalError):
    sentence = "There is no session with this device; its prekeys have to be fetched first."


class StaleSessionError(NoSessionError):
    sentence = "The session with this device was never answered and is too old; its prekeys have to be fetched anew."


class SignalCiphertext(State, frozen=True):
    """`body`: a whole message of `type` (SIGNAL or PREKEY). `ratchet_key`: what a resend request would name."""

    type: MessageType
    body: bytes
    ratchet_key: bytes


class Decrypted(State, frozen=True):
    """`new_session`: this message has made one."""

    record: SessionRecord
    plaintext: bytes
    consumed: ConsumedPrekeys
    new_session: bool


# --- sending -----------------------------------------------------------------------------------------------------------


def initiate(
    record: SessionRecord,
    own: LocalIdentity,
    remote: RemoteDevice,
    bundle: PrekeyBundle,
    *,
    now_ms: int,
    rng: Rng,
) -> SessionRecord:
    """A new current session from a prekey bundle; the one before is archived.

    Raises `UnlistedDeviceError` when the bundle is not that of the listed device, `SignatureError` when its prekeys are
    not signed by it, `InvalidKeyError` for improper keys.
    """
    if bundle.device != remote.address.device or bundle.identity_key != remote.identity_key:
        raise UnlistedDeviceError
    initiation = pqxdh.initiate(own.key, bundle, rng.token)
    one_time = bundle.one_time_prekey
    pending = PendingPrekeys(
        None if one_time is None else one_time.id,
        bundle.signed_prekey.id,
        bundle.kyber_prekey.id,
        initiation.kyber_ciphertext,
    )
    ratchet = double_ratchet.start_initiator(initiation.secret, bundle.signed_prekey.public, rng.token)
    return record.with_new(SessionState(initiation.base_key, remote.identity_key, now_ms, pending, ratchet))


def encrypt(
    record: SessionRecord, own: LocalIdentity, remote: RemoteDevice, plaintext: bytes, *, now_ms: int, rng: Rng
) -> tuple[SessionRecord, SignalCiphertext]:
    """Raises `NoSessionError`, or its kind `StaleSessionError`: fetch a bundle and `initiate` first."""
    state = record.current
    if state is None or state.remote_key != remote.identity_key or state.ratchet.sending.is_spent:
        raise NoSessionError
    if state.pending is not None and now_ms - state.created_at_ms >= UNACKNOWLEDGED_MS:
        raise StaleSessionError
    ratchet, message = double_ratchet.encrypt(state.ratchet, parties(own, remote), plaintext, rng.token)
    moved = SessionState(state.base_key, state.remote_key, state.created_at_ms, state.pending, ratchet)
    ratchet_key = ratchet.sending.key_pair.public
    kind, body = MessageType.SIGNAL, message
    if state.pending is not None:
        kind, body = MessageType.PREKEY, _wrap(state.base_key, state.pending, own, message)
    return record.with_current(moved), SignalCiphertext(kind, body, ratchet_key)


def _wrap(base_key: bytes, pending: PendingPrekeys, own: LocalIdentity, message: bytes) -> bytes:
    return encode_prekey_signal_message(
        PrekeySignalMessage(
            pending.one_time_id,
            base_key,
            own.key.public.raw,
            message,
            own.registration_id,
            pending.signed_id,
            pending.kyber_id,
            pending.kyber_ciphertext,
        )
    )


# --- receiving ---------------------------------------------------------------------------------------------------------


def decrypt(
    record: SessionRecord,
    own: LocalIdentity,
    remote: RemoteDevice,
    kind: MessageType,
    body: bytes,
    *,
    prekeys: PrekeyLookup,
    now_ms: int,
    rng: Rng,
    derivations: int = OPENING_DERIVATIONS,
) -> Decrypted:
    """Open a message whose sealed envelope has been opened and its sender validated: `remote` is that sender.

    Raises a `DecryptionError`; then nothing has changed and no prekey is spent. `DuplicateMessageError` means that its
    counter was used before, which proves nothing about who sent it.
    """
    match kind:
        case MessageType.PREKEY:
            budget = WorkBudget(derivations)
            return _decrypt_prekey_message(record, own, remote, body, budget, prekeys=prekeys, now_ms=now_ms, rng=rng)
        case MessageType.SIGNAL:
            budget = WorkBudget(derivations)
            return _decrypt_signal_message(record, parties(own, remote), decode_signal_message(body), budget, rng)
        case _:
            raise InvalidMessageError


def _decrypt_prekey_message(
    record: SessionRecord,
    own: LocalIdentity,
    remote: RemoteDevice,
    body: bytes,
    budget: WorkBudget,
    *,
    prekeys: PrekeyLookup,
    now_ms: int,
    rng: Rng,
) -> Decrypted:
    outer = decode_prekey_signal_message(body)
    message = decode_signal_message(outer.message)
    if outer.identity_key != remote.identity_key.raw or message.addresses is None:
        raise AuthenticationError  # the addresses bind the session to account and device, so they are not optional here
    known = [place for place in _places(record) if _base_key_at(record, place) == outer.base_key]
    if known:  # the session that this message made earlier; the ids beside the message are not looked at
        return _open_with(record, known, parties(own, remote), message, budget, rng=rng)
    ratchet, consumed = _respond(own, outer, prekeys)
    ratchet, plaintext = double_ratchet.decrypt(ratchet, parties(own, remote), message, budget, rng.token)
    state = SessionState(outer.base_key, remote.identity_key, now_ms, None, ratchet)
    return Decrypted(record.with_new(state), plaintext, consumed, new_session=True)


def _respond(
    own: LocalIdentity, outer: PrekeySignalMessage, prekeys: PrekeyLookup
) -> tuple[RatchetState, ConsumedPrekeys]:
    """The responder's ratchet for an unknown base key, on a copy: nothing is spent before the message has opened."""
    signed, kyber = prekeys.signed(outer.signed_prekey_id), prekeys.kyber(outer.kyber_prekey_id)
    one_time: SecretBytes | None = None
    if outer.one_time_prekey_id is not None:
        one_time = prekeys.one_time(outer.one_time_prekey_id)
        if one_time is None:
            raise PrekeyMissingError
    if signed is None or kyber is None:
        raise PrekeyMissingError
    consumed = ConsumedPrekeys(outer.one_time_prekey_id, outer.kyber_prekey_id)
    if outer.kyber_prekey_id >= LAST_RESORT_ID_BASE:
        use = LastResortUse(outer.kyber_prekey_id, outer.signed_prekey_id, outer.base_key)
        if prekeys.last_resort_used(use):
            raise DuplicateMessageError
        consumed = ConsumedPrekeys(outer.one_time_prekey_id, None, use)
    signed_prekey = EcKeyPair(signed.expose())
    secret = pqxdh.respond(
        own.key,
        signed_prekey=signed_prekey,
        one_time_prekey=None if one_time is None else EcKeyPair(one_time.expose()),
        kyber_prekey=KyberKeyPair(kyber.expose()),
        base_key=outer.base_key,
        identity_key=outer.identity_key,
        kyber_ciphertext=outer.kyber_ciphertext,
    )
    return double_ratchet.start_responder(secret, signed_prekey), consumed


def _decrypt_signal_message(
    record: SessionRecord, between: Parties, message: SignalMessage, opening: WorkBudget, rng: Rng
) -> Decrypted:
    """By the session that knows the ratchet key, if any does; else by trial, the current session first.

    A known ratchet key names its session: 32 random bytes do not occur twice. So a forged message costs the work of one
    session, and of the archived ones together at most `ARCHIVED_DERIVATIONS`.
    """
    current = [] if record.current is None else [_CURRENT]
    if record.current is not None and record.current.ratchet.chain_of(message.ratchet_key) is not None:
        return _open_with(record, current, between, message, opening, rng=rng)  # nearly always: no archive is looked at
    archived = list(range(len(record.archived)))
    if knowing := _knowing(record, archived, between, message):
        return _open_with(record, knowing, between, message, opening, rng=rng)
    try:
        return _open_with(record, current, between, message, opening, rng=rng)
    except DecryptionError:
        if not archived:
            raise
    return _open_with(record, archived, between, message, WorkBudget(ARCHIVED_DERIVATIONS), rng=rng)


def _knowing(record: SessionRecord, places: list[int], between: Parties, message: SignalMessage) -> list[int]:
    """The sessions that have a receiving chain with the message's ratchet key."""
    return [
        place
        for place in places
        if (state := _state_at(record, place, between)) is not None
        and state.ratchet.chain_of(message.ratchet_key) is not None
    ]


_CURRENT = -1
"""The place of the current session; archived ones count from 0."""


def _places(record: SessionRecord) -> Iterable[int]:
    return range(0 if record.current is None else _CURRENT, len(record.archived))


def _base_key_at(record: SessionRecord, place: int) -> bytes:
    if place == _CURRENT:
        return record.current.base_key if record.current is not None else b""
    return record.archived[place].base_key


def _state_at(record: SessionRecord, place: int, between: Parties) -> SessionState | None:
    """None for a session with another identity key, or an archived one whose saved bytes are damaged."""
    try:
        state = record.current if place == _CURRENT else record.archived[place].open()
    except CorruptRecordError:
        return None
    return state if state is not None and state.remote_key == between.remote_key else None


def _open_with(
    record: SessionRecord,
    places: list[int],
    between: Parties,
    message: SignalMessage,
    budget: WorkBudget,
    *,
    rng: Rng,
) -> Decrypted:
    """By the first of these sessions that can. Raises the first one's error when none can."""
    first_error: DecryptionError | None = None
    for place in places:
        state = _state_at(record, place, between)
        if state is None:
            continue
        try:
            ratchet, plaintext = double_ratchet.decrypt(state.ratchet, between, message, budget, rng.token)
        except DuplicateMessageError:
            raise
        except DecryptionError as error:
            first_error = first_error or error
            continue
        # A message that we could open acknowledges the session: from now on plain messages suffice.
        opened = SessionState(state.base_key, state.remote_key, state.created_at_ms, None, ratchet)
        return Decrypted(_kept(record, place, state, opened), plaintext, ConsumedPrekeys(), new_session=False)
    raise first_error or NoOpeningSessionError()


def _kept(record: SessionRecord, place: int, before: SessionState, opened: SessionState) -> SessionRecord:
    """The record after the session at `place` has opened a message: it is the current one now, unless it only reads."""
    if place == _CURRENT:
        return record.with_current(opened)
    if before.ratchet.sending.is_spent:
        return record.with_archived(place, _without_sending(opened))
    return record.promote(place, opened)


# --- archiving and healing ---------------------------------------------------------------------------------------------


def archive(record: SessionRecord) -> SessionRecord:
    """No current session: the next message needs a bundle.

    What is archived here opens late messages and does nothing else: the other side could not read what it sent, so it
    does not become the current session again.
    """
    return SessionRecord(
        None if record.current is None else _without_sending(record.current), record.archived
    ).archive()


def archive_restored(record: SessionRecord) -> SessionRecord:
    """As `archive`, for a database that was put back from a copy, and all of its sessions.

    The run that was lost may have used their next keys, and a message key used twice shows what both messages said.
    """
    archived = record.archive().archived
    return SessionRecord(None, tuple(session for one in archived for session in _readable(one)))


def _readable(archived: ArchivedSession) -> tuple[ArchivedSession, ...]:
    """Without its sending chain; nothing where the saved bytes are damaged."""
    try:
        return (ArchivedSession.of(_without_sending(archived.open())),)
    except CorruptRecordError:
        return ()


def _without_sending(state: SessionState) -> SessionState:
    return SessionState(
        state.base_key, state.remote_key, state.created_at_ms, state.pending, state.ratchet.without_sending()
    )


def current_ratchet_key(record: SessionRecord) -> bytes | None:
    """Our current sending ratchet key, 33 bytes."""
    return None if record.current is None else record.current.ratchet.sending.key_pair.public


def failed_ratchet_key(kind: MessageType, body: bytes) -> bytes | None:
    """For the asker: the ratchet key of a message that would not open; None when it cannot be read."""
    return ratchet_key_of(kind, body)


def must_archive(record: SessionRecord, *, ratchet_key: bytes | None, sent_at_ms: int) -> bool:
    """For the asked side: whether a resend request calls for a new session. It names a message that we sealed then.

    Yes where its ratchet key is our *current* sending one, and where the current session is at least as old as the message:
    that the ratchet has turned since does not show that the other side can follow. No where the current session is
    newer, or sends nothing: the cure is taken already.
    """
    current = record.current
    if ratchet_key is None or current is None or current.ratchet.sending.is_spent:
        return False
    return ratchet_key == current_ratchet_key(record) or current.created_at_ms <= sent_at_ms
