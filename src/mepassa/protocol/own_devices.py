"""The devices of this account: listed and removed by its root key, and how a new one becomes one of them
(docs/protocol/identity.md, "Own devices").

How the two find each other and what carries `Linked` between them is linking's affair; nothing here needs a network.
"""

from dataclasses import dataclass, replace

from mepassa.identity import (
    IdentityKeyPair,
    RootKey,
    account_id,
    decode_device_list,
    next_version,
    sign_device_list,
    verify_device_list,
)
from mepassa.model.device_list import MAX_DEVICES, DeviceEntry, DeviceList, SignedDeviceList
from mepassa.model.errors import ConflictError, NotFoundError, SignatureError
from mepassa.model.ids import Address, Timestamp
from mepassa.model.keys import IdentityKey, RootPublicKey
from mepassa.model.secret import SecretBytes
from mepassa.ports.mailbox import HomeAddress
from mepassa.ports.rng import Rng
from mepassa.ports.stores import OwnAccount, Tx, kept_number
from mepassa.protocol.account import MAX_REGISTRATION_ID, check_no_account, next_device_number
from mepassa.protocol.contacts import new_keys, tell_list
from mepassa.protocol.copies import tell_account, tell_new_device
from mepassa.protocol.device_changes import follow_list
from mepassa.protocol.removal import check_not_removed
from mepassa.protocol.sealing import issue_device_certificate

LIST_UNTOLD = "device-list-untold"
"""A setting that is there while the home does not have our newest list."""
_HIGHEST_NUMBER = "highest-device-number"


@dataclass(frozen=True, slots=True)
class NewDevice:
    """A device that wants to be listed. The key pair stays there; the primary sees `key.public` and the number."""

    key: IdentityKeyPair
    registration_id: int


@dataclass(frozen=True, slots=True, repr=False)
class Linked:
    """What the primary hands to a device that it has listed. Secrets are in it, the root key is not."""

    root_key: RootPublicKey
    address: Address
    name: str
    home: HomeAddress
    device_certificate: bytes
    device_list: SignedDeviceList
    profile_key: SecretBytes
    presence_seed: SecretBytes


def new_device(rng: Rng) -> NewDevice:
    return NewDevice(IdentityKeyPair(SecretBytes(rng.token(32))), 1 + rng.below(MAX_REGISTRATION_ID))


def add_device(
    tx: Tx, root: RootKey, identity_key: IdentityKey, registration_id: int, now_ms: Timestamp, rng: Rng
) -> Linked:
    """On the primary: list a new device under a number that no device has had. Our home is to be told (`LIST_UNTOLD`);
    contacts are, the other devices are, and the new one of all contacts, as soon as it has prekeys there.

    Raises `ConflictError` when the account has as many devices as it may, or this one already; `SignatureError` for
    another account's root key.
    """
    own = tx.own()
    before = decode_device_list(own.device_list.body)
    if len(before.devices) >= MAX_DEVICES:
        raise ConflictError(f"An account has at most {MAX_DEVICES} devices; remove one first.")
    if any(entry.identity_key == identity_key for entry in before.devices):
        raise ConflictError("This device belongs to the account already.")
    number = next_device_number(max(kept_number(tx, _HIGHEST_NUMBER), *(entry.device for entry in before.devices)))
    own = _sign_next(tx, root, (*before.devices, DeviceEntry(number, identity_key, registration_id)), now_ms)
    tell_list(tx, now_ms, rng)
    tell_account(tx, now_ms, rng)
    tell_new_device(tx, number, now_ms, rng)
    return Linked(
        root_key=own.root_key,
        address=Address(own.address.account, number),
        name=own.name,
        home=own.home,
        device_certificate=issue_device_certificate(root, number, identity_key),
        device_list=own.device_list,
        profile_key=own.profile_key,
        presence_seed=own.presence_seed,
    )


def remove_device(tx: Tx, root: RootKey, number: int, now_ms: Timestamp, rng: Rng) -> None:
    """On the primary: that device is none of ours from now on, and the keys that it knew are replaced and told to all.

    Raises `NotFoundError`; `ConflictError` for this one; `SignatureError` as above.
    """
    own = tx.own()
    before = decode_device_list(own.device_list.body)
    if number == own.address.device:
        raise ConflictError("This device cannot remove itself; do it from another one.")
    if before.entry(number) is None:
        raise NotFoundError("The account has no such device.")
    _sign_next(tx, root, tuple(entry for entry in before.devices if entry.device != number), now_ms)
    new_keys(tx, now_ms, rng)


def list_told(tx: Tx, told: SignedDeviceList) -> None:
    """Our home has answered about that list; a newer one, signed meanwhile, is still to be told."""
    if tx.own().device_list == told:
        tx.put_setting(LIST_UNTOLD, None)


def become_linked(tx: Tx, device: NewDevice, linked: Linked) -> OwnAccount:
    """On the new device: this database is that device of the account from now on, without the root key.

    Raises `ConflictError` when there is an account already, `SignatureError` when what was handed over does not hold
    together: then nothing has happened.
    """
    check_no_account(tx)
    devices = verify_device_list(linked.root_key, linked.device_list)
    listed = devices.lists(linked.address.device, device.key.public)
    if not listed or account_id(linked.root_key) != linked.address.account:
        raise SignatureError("The account does not list this device.")
    own = OwnAccount(
        address=linked.address,
        name=linked.name,
        root_key=linked.root_key,
        identity_key=device.key.public,
        device_seed=device.key.seed,
        registration_id=device.registration_id,
        device_certificate=linked.device_certificate,
        device_list=linked.device_list,
        list_version=devices.version,
        home=linked.home,
        profile_key=linked.profile_key,
        presence_seed=linked.presence_seed,
    )
    tx.put_own(own)
    return own


def _sign_next(tx: Tx, root: RootKey, entries: tuple[DeviceEntry, ...], now_ms: Timestamp) -> OwnAccount:
    check_not_removed(tx)  # else a list of ours, made later, would undo the one that removed us
    own = tx.own()
    if root.public != own.root_key:
        raise SignatureError("This is the key of another account.")
    before = decode_device_list(own.device_list.body)
    after = DeviceList(
        version=next_version(before.version, now_ms),
        previous_hash=own.device_list.hash,
        devices=entries,
        home_url=before.home_url,
        home_key=before.home_key,
        successor_home=before.successor_home,
    )
    own = replace(own, device_list=sign_device_list(root, after), list_version=after.version)
    highest = max(kept_number(tx, _HIGHEST_NUMBER), *(entry.device for entry in (*before.devices, *entries)))
    tx.put_setting(_HIGHEST_NUMBER, highest.to_bytes(1, "big"))
    tx.put_own(own)
    tx.put_setting(LIST_UNTOLD, b"\x01")
    follow_list(tx, own.address.account, before, after)
    return own
