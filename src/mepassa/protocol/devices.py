"""Device lists, of contacts and of this account: which one counts, and what a newer one changes (docs/protocol/identity.md,
"Device list").

To this device the account's other devices are much like a contact's: `ourselves` is the contact that stands for them. It
is never in the database's table of contacts, and no chat is with it.
"""

from dataclasses import replace
from enum import StrEnum

from mepassa.identity import decode_device_list, supersedes, verify_device_list
from mepassa.model.content import Content
from mepassa.model.device_list import DeviceList, SignedDeviceList
from mepassa.model.errors import DeviceListForkError, DeviceListStaleError
from mepassa.model.home_url import check_home_url
from mepassa.model.ids import AccountId, Address, Timestamp
from mepassa.model.keys import IdentityKey
from mepassa.model.status import ChatState
from mepassa.ports.mailbox import HomeAddress
from mepassa.ports.stores import Contact, EventKind, Tx, kept_number
from mepassa.protocol.account import DAY_MS
from mepassa.protocol.alarms import Alarm, raise_alarm, raise_alarm_once
from mepassa.protocol.device_changes import follow_list
from mepassa.protocol.removal import become_removed
from mepassa.protocol.restarts import ask_anew, has_restarted
from mepassa.protocol.session import RemoteDevice
from mepassa.protocol.verification import withdraw

MAX_LIST_AHEAD_MS = DAY_MS
"""How far ahead of our clock a list's version may be that a message names: clocks differ, thieves exaggerate."""
_OWN_LIST_WANTED = "own-list-wanted"
"""The newest version of our own list that another device of ours has named."""
_DISPUTED = "list-disputed-"
"""A setting for each account of which a device has named another list of the version that we have; its id follows."""


class _Dispute(StrEnum):
    NONE = ""
    OPEN = "open"
    """The home has not been asked over it."""
    JUDGED = "judged"


def listed_devices(contact: Contact) -> DeviceList | None:
    """What the pinned list says; it was verified when it was learnt."""
    return decode_device_list(contact.device_list.body) if contact.device_list is not None else None


def ourselves(tx: Tx) -> Contact:
    """This account as a contact whom one has always accepted; its list names this device, too."""
    own = tx.own()
    return Contact(
        account=own.address.account,
        root_key=own.root_key,
        name=own.name,
        state=ChatState.ACCEPTED,
        home=own.home,
        device_list=own.device_list,
        list_version=own.list_version,
        list_wanted=kept_number(tx, _OWN_LIST_WANTED),
        profile_key=own.profile_key,
    )


def counterpart(tx: Tx, account: AccountId) -> Contact | None:
    """With whom envelopes are exchanged under that account: a contact, or our own other devices."""
    return ourselves(tx) if account == tx.own().address.account else tx.contact(account)


def recipients(tx: Tx, contact: Contact) -> tuple[RemoteDevice, ...]:
    """The listed devices that are written to: all of a contact, all of ours but this one."""
    devices, this = listed_devices(contact), tx.own().address
    found = (
        RemoteDevice(Address(contact.account, entry.device), entry.identity_key)
        for entry in (devices.devices if devices is not None else ())
    )
    return tuple(device for device in found if device.address != this)


def remote_device(contact: Contact, device: int) -> RemoteDevice | None:
    devices = listed_devices(contact)
    entry = devices.entry(device) if devices is not None else None
    return RemoteDevice(Address(contact.account, device), entry.identity_key) if entry is not None else None


def reachable_devices(tx: Tx, contact: Contact | None) -> tuple[RemoteDevice, ...]:
    """Those with whom paths are opened: listed, and of a contact whom the person has accepted, or ours."""
    accepted = contact is not None and contact.state is ChatState.ACCEPTED
    return recipients(tx, contact) if contact is not None and accepted else ()


def learn_list(tx: Tx, contact: Contact, offered: SignedDeviceList) -> Contact:
    """Take a list that may be newer. Returns the contact as it is now (an older list changes nothing).

    Raises `SignatureError` or `MalformedError` for one that is not the contact's, `DeviceListForkError` for two
    different lists of one version; the latter is the caller's to tell (`alarm_fork`).
    """
    devices = verify_device_list(contact.root_key, offered)
    check_home_url(devices.home_url)
    try:
        newer = supersedes(contact.device_list, offered)
    except DeviceListStaleError:
        return contact
    if not newer:
        return contact
    before = listed_devices(contact)
    contact = replace(
        contact,
        device_list=offered,
        list_version=devices.version,
        home=HomeAddress(devices.home_url, devices.home_key),
    )
    _keep(tx, contact)
    if not _is_own(tx, contact):
        tx.append_event(EventKind.CHAT, chat=contact.account)
    if before is not None:
        follow_list(tx, contact.account, before, devices)
        known = {entry.identity_key for entry in before.devices}
        if _is_own(tx, contact):
            _follow_own(tx, known, devices)
        elif has_restarted(before, devices):
            raise_alarm(tx, Alarm.ACCOUNT_RECOVERED, contact.account)
            contact = ask_anew(tx, contact, devices)
        elif any(entry.identity_key not in known for entry in devices.devices):
            raise_alarm(tx, Alarm.NEW_DEVICE, contact.account)
    return contact


def _follow_own(tx: Tx, known: set[IdentityKey], devices: DeviceList) -> None:
    own = tx.own()
    if not devices.lists(own.address.device, own.identity_key):
        become_removed(tx)
    elif any(entry.identity_key not in known for entry in devices.devices):
        raise_alarm(tx, Alarm.OWN_NEW_DEVICE)


def is_of_before(contact: Contact, offered: SignedDeviceList) -> bool:
    """Whether a list, and what was decided under it, is of before the account was recovered, as we know already."""
    known, devices = listed_devices(contact), verify_device_list(contact.root_key, offered)
    return known is not None and devices.version < known.version and has_restarted(devices, known)


def note_list_version(tx: Tx, contact: Contact, content: Content, now_ms: Timestamp) -> Contact:
    """Every message names its sender's newest list, so that a home cannot freeze an old one.

    A version is a time: one of the day after tomorrow would make every true list look old, and is not believed. Another
    list of the version that we have is a claim of one device: the home is asked first (`is_disputed`), and one such claim
    counts for each list.
    """
    if content.list_version > now_ms + MAX_LIST_AHEAD_MS:
        return contact
    if content.list_version > max(contact.list_version, contact.list_wanted):
        contact = replace(contact, list_wanted=content.list_version)
        _keep(tx, contact)
    elif (
        contact.device_list is not None
        and content.list_version == contact.list_version
        and content.list_hash != contact.device_list.hash
        and _dispute(tx, contact) is _Dispute.NONE
    ):
        _put_dispute(tx, contact, _Dispute.OPEN)
    return contact


def is_disputed(tx: Tx, contact: Contact) -> bool:
    """One of its devices names another list of the version that we have, and the home has not been asked since."""
    return _dispute(tx, contact) is _Dispute.OPEN


def learn_answered(tx: Tx, account: AccountId, offered: SignedDeviceList) -> bool:
    """What the account's home answered. True when it is at least as new as any list that we know of.

    Raises `SignatureError` or `MalformedError` for one that is not the account's. A fork is told.
    """
    contact = counterpart(tx, account)
    if contact is None:
        return True
    try:
        contact = learn_list(tx, contact, offered)
        is_forked = contact.device_list == offered and is_disputed(tx, contact)
    except DeviceListForkError:
        is_forked = True
    if is_forked:
        _put_dispute(tx, contact, _Dispute.JUDGED)
        alarm_fork(tx, contact)
    return (is_forked or contact.device_list == offered) and not wants_list(contact)


def wants_list(contact: Contact) -> bool:
    return contact.list_wanted > contact.list_version


def alarm_fork(tx: Tx, contact: Contact) -> Contact:
    """The root key has signed two lists of one version, or a listed device says so and the home shows but one: somebody
    else may have the key, so a verification is withdrawn."""
    if _is_own(tx, contact):
        raise_alarm_once(tx, Alarm.OWN_LIST_FORKED, contact)
        return contact
    return withdraw(tx, contact.account, Alarm.LIST_FORKED) or contact


def alarm_unlisted(tx: Tx, contact: Contact) -> None:
    """A list as new as any does not name a device that the root key has certified."""
    raise_alarm_once(tx, Alarm.OWN_UNLISTED_DEVICE if _is_own(tx, contact) else Alarm.UNLISTED_DEVICE, contact)


def _dispute(tx: Tx, contact: Contact) -> _Dispute:
    """Over the list that we have: what was said of an older one is of no account."""
    version, _, dispute = (tx.setting(_DISPUTED + contact.account.hex()) or b"").decode().partition(" ")
    return _Dispute(dispute) if version == str(contact.list_version) else _Dispute.NONE


def _put_dispute(tx: Tx, contact: Contact, dispute: _Dispute) -> None:
    tx.put_setting(_DISPUTED + contact.account.hex(), f"{contact.list_version} {dispute}".encode())


def _is_own(tx: Tx, contact: Contact) -> bool:
    return contact.account == tx.own().address.account


def _keep(tx: Tx, contact: Contact) -> None:
    """What was learnt of a list. Our own home stays the one that this device logs in at."""
    if not _is_own(tx, contact):
        tx.put_contact(contact)
        return
    assert contact.device_list is not None
    tx.put_own(replace(tx.own(), device_list=contact.device_list, list_version=contact.list_version))
    tx.put_setting(_OWN_LIST_WANTED, contact.list_wanted.to_bytes(8, "big"))
