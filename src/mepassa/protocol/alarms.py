"""What a person must know beyond their messages: the notes of ALARM events. Each has its words in the page and the CLI."""

from enum import StrEnum

from mepassa.model.ids import AccountId
from mepassa.ports.stores import Contact, EventKind, Tx


class Alarm(StrEnum):
    """The values are stable: programs read them in the event stream."""

    NEW_DEVICE = "new_device"
    ACCOUNT_RECOVERED = "account_recovered"
    """All devices of a contact are new: recovered from the 24 words, and our chat is not there any more."""
    DEVICE_REMOVED = "device_removed"
    """This device: a newer list of our own root key names it no longer."""
    LIST_FORKED = "DeviceListForkError"
    ROOT_CHANGED = "root_changed"
    """Somebody shows another root key under a contact's account id."""
    LIST_WITHHELD = "list_withheld"
    UNLISTED_DEVICE = "unlisted_device"
    OWN_NEW_DEVICE = "own_new_device"
    OWN_LIST_FORKED = "own_list_forked"
    OWN_UNLISTED_DEVICE = "own_unlisted_device"
    SESSION_DAMAGED = "session_damaged"
    STATE_ROLLED_BACK = "state_rolled_back"


def raise_alarm(tx: Tx, alarm: Alarm, chat: AccountId | None = None) -> None:
    """Append the event, unless it would only repeat the newest one: a flood of the same is one alarm."""
    _, newest = tx.event_span()
    last = tx.events_after(newest - 1, 1)
    if last and (last[0].kind, last[0].chat, last[0].note) == (EventKind.ALARM, chat, alarm.value):
        return
    tx.append_event(EventKind.ALARM, chat=chat, note=alarm.value)


def raise_alarm_once(tx: Tx, alarm: Alarm, contact: Contact) -> None:
    """Of one contact the same is told once, until it has another list or the person has compared anew: whoever causes it
    can cause it at will. `contact` may be our own account."""
    name = f"alarm-{alarm.value}-{contact.account.hex()}"
    about = f"{contact.list_version} {contact.verified_ms}".encode()
    if tx.setting(name) == about:
        return
    tx.put_setting(name, about)
    raise_alarm(tx, alarm, None if contact.account == tx.own().address.account else contact.account)
