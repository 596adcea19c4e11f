"""This account's beginning, its runs, and what it signs with (docs/protocol/identity.md, docs/protocol/delivery.md).

A *run* is one start of the node on its database. The counter rises on disk before it is told to the home, so that a
database restored from a copy is noticed: the home knows a later run than the copy does.
"""

from mepassa.identity import (
    IdentityKeyPair,
    PresenceKeyPair,
    RootKey,
    next_version,
    sign_device_list,
    verify_device_list,
)
from mepassa.model.device_list import DeviceEntry, DeviceList, SignedDeviceList
from mepassa.model.errors import ConflictError, InvalidInputError, NotInitialisedError
from mepassa.model.ids import Address, Timestamp
from mepassa.model.secret import SecretBytes
from mepassa.ports.mailbox import HomeAddress
from mepassa.ports.rng import Rng
from mepassa.ports.stores import OwnAccount, PrekeyKind, Tx, kept_number
from mepassa.protocol.alarms import Alarm, raise_alarm
from mepassa.protocol.sealing import issue_device_certificate, issue_sender_certificate, sender_certificate_expires
from mepassa.protocol.sent import unseal
from mepassa.protocol.session import LocalIdentity, archive_restored
from mepassa.protocol.session_rows import keep_session, load_session

FIRST_DEVICE, LAST_DEVICE = 1, 127
"""Signal's device numbers; none is given twice."""
MAX_REGISTRATION_ID = 16_380
DAY_MS = 24 * 3600 * 1000
CERTIFICATE_RENEWED_BELOW_MS = 30 * DAY_MS
"""A sender certificate lives 60 days: an envelope sealed today stays valid through all its retries."""

PREKEYS_REPLACED = "prekeys-replaced"
"""A setting that is there while the home must be told to drop every prekey it holds."""
_RUN_COUNTER = "run-counter"
_SENDER_CERTIFICATE = "sender-certificate"


def create_account(tx: Tx, *, root: RootKey, home: HomeAddress, name: str, now_ms: Timestamp, rng: Rng) -> OwnAccount:
    """The account and its first device, signed list included. Raises `ConflictError` when there is one already."""
    return _begin(tx, root, home, name, FIRST_DEVICE, next_version(None, now_ms), bytes(32), rng)


def recover_account(
    tx: Tx, *, root: RootKey, home: HomeAddress, name: str, known: SignedDeviceList, now_ms: Timestamp, rng: Rng
) -> OwnAccount:
    """The same account on this device alone, from its root key and the list that its home has: all else is new.

    The version is above the known one, the number above every listed one. A number that had been removed before may come
    again: nobody knows of it any more, and a session goes by the listed key (decision 0165). Raises `SignatureError` for a
    list of another account, `ConflictError` when there is an account here already, or no number left.
    """
    devices = verify_device_list(root.public, known)
    if devices.home_key != home.key:
        raise ConflictError("This account's home is another one.")
    number = next_device_number(max(entry.device for entry in devices.devices))
    return _begin(tx, root, home, name, number, next_version(devices.version, now_ms), known.hash, rng)


def _begin(
    tx: Tx, root: RootKey, home: HomeAddress, name: str, number: int, version: int, previous_hash: bytes, rng: Rng
) -> OwnAccount:
    if not 1 <= len(name) <= 64 or not name.isprintable() or name != name.strip():
        raise InvalidInputError("A name is 1 to 64 letters, without line breaks or spaces around it.", field="name")
    check_no_account(tx)
    device = IdentityKeyPair(SecretBytes(rng.token(32)))
    registration_id = 1 + rng.below(MAX_REGISTRATION_ID)
    devices = DeviceList(
        version=version,
        previous_hash=previous_hash,
        devices=(DeviceEntry(number, device.public, registration_id),),
        home_url=home.url,
        home_key=home.key,
    )
    own = OwnAccount(
        address=Address(root.account_id, number),
        name=name,
        root_key=root.public,
        identity_key=device.public,
        device_seed=device.seed,
        registration_id=registration_id,
        device_certificate=issue_device_certificate(root, number, device.public),
        device_list=sign_device_list(root, devices),
        list_version=devices.version,
        home=home,
        profile_key=SecretBytes(rng.token(32)),
        presence_seed=PresenceKeyPair(SecretBytes(rng.token(32))).seed,
    )
    tx.put_own(own)
    return own


def next_device_number(highest: int) -> int:
    """`highest`: of the numbers that are known to have been given. Raises `ConflictError` when there is none left."""
    if highest >= LAST_DEVICE:
        raise ConflictError("This account has had as many devices as there are numbers for.")
    return highest + 1


def check_no_account(tx: Tx) -> None:
    """Raises `ConflictError`."""
    try:
        tx.own()
    except NotInitialisedError:
        return
    raise ConflictError("This folder has an account already; choose another folder.")


def local_identity(own: OwnAccount) -> LocalIdentity:
    return LocalIdentity(own.address, IdentityKeyPair.saved(own.device_seed, own.identity_key), own.registration_id)


def sender_certificate(tx: Tx, own: OwnAccount, now_ms: Timestamp) -> bytes:
    """The one that this device shows now; a new one is issued (and kept) when less than 30 of its 60 days are left."""
    kept = tx.setting(_SENDER_CERTIFICATE)
    if kept is not None and 0 < sender_certificate_expires(kept) - now_ms - CERTIFICATE_RENEWED_BELOW_MS <= 30 * DAY_MS:
        return kept
    fresh = issue_sender_certificate(local_identity(own), own.device_certificate, now_ms)
    tx.put_setting(_SENDER_CERTIFICATE, fresh)
    return fresh


def run_counter(tx: Tx) -> int:
    """The run last begun; 0 before the first."""
    return kept_number(tx, _RUN_COUNTER)


def begin_run(tx: Tx) -> int:
    """The next run counter; told to the home only after this is committed."""
    counter = run_counter(tx) + 1
    tx.put_setting(_RUN_COUNTER, counter.to_bytes(8, "big"))
    return counter


def roll_forward(tx: Tx, home_counter: int) -> int:
    """The home knows a later run: this database is an older copy.

    Every session is archived for reading alone (its keys may have been used by the lost run), every own sender key and
    every prekey dropped (so may these); whoever owns the prekeys makes and uploads new ones before the device sends.
    Returns the counter to go on with.
    """
    for peer in tx.sessions():
        keep_session(tx, peer, archive_restored(load_session(tx, peer)))
    tx.delete_own_sender_keys()
    for kind in PrekeyKind:
        for prekey in tx.prekeys(kind):
            tx.delete_prekey(kind, prekey.id)
    for row in tx.outbox():
        if row.envelope is not None and row.content:
            # Sealed by the lost run's ratchet: what was still on its way is sealed anew. The same message id inside
            # keeps it one message on the other screen.
            unseal(tx, row)
    counter = max(home_counter, run_counter(tx)) + 1
    tx.put_setting(_RUN_COUNTER, counter.to_bytes(8, "big"))
    tx.put_setting(PREKEYS_REPLACED, b"\x01")
    raise_alarm(tx, Alarm.STATE_ROLLED_BACK)
    return counter
