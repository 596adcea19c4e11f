"""Whether a person has checked who a contact is, and what takes that back (docs/protocol/identity.md, "Verified").

What is compared is the two *root* keys: devices come and go under them without changing it.
"""

from dataclasses import replace
from enum import StrEnum

from mepassa.crypto.errors import InvalidMessageError
from mepassa.crypto.primitives import equal
from mepassa.crypto.safety_number import SafetyNumber, SafetyNumberVersionError, safety_number
from mepassa.model.errors import ConflictError
from mepassa.model.ids import AccountId, Timestamp
from mepassa.model.status import Verification
from mepassa.ports.stores import Contact, EventKind, OwnAccount, Tx
from mepassa.protocol.alarms import Alarm, raise_alarm_once


class Comparison(StrEnum):
    """What a scanned code says. Only MATCH changes anything."""

    MATCH = "match"
    NO_MATCH = "no_match"
    """Another account's code, or somebody is in between."""
    OWN_CODE = "own_code"
    """The code of this very device: the other side's is to be scanned."""
    OTHER_VERSION = "other_version"
    NO_CODE = "no_code"


def number_of(own: OwnAccount, contact: Contact) -> SafetyNumber:
    """About 8 ms."""
    return safety_number(own.root_key, own.address.account, contact.root_key, contact.account)


def verify(tx: Tx, contact: Contact, compared: str, now_ms: Timestamp) -> Contact:
    """The person has found `compared`, 60 digits, on both screens.

    Raises `ConflictError` when those are not this contact's: what was compared must be what is marked.
    """
    if not equal(compared.encode(), number_of(tx.own(), contact).digits.encode()):
        raise ConflictError("That is not this contact's safety number; compare it again.")
    return _put(tx, replace(contact, verification=Verification.VERIFIED, verified_ms=now_ms))


def unverify(tx: Tx, contact: Contact) -> Contact:
    """The person takes it back, or has seen that it was withdrawn."""
    return _put(tx, replace(contact, verification=Verification.NONE))


def compare(tx: Tx, contact: Contact, scanned: bytes, now_ms: Timestamp) -> Comparison:
    """Look at the code from the other side's screen; a match is verified with that."""
    number = number_of(tx.own(), contact)
    try:
        if not number.matches(scanned):
            return Comparison.OWN_CODE if equal(scanned, number.scannable) else Comparison.NO_MATCH
    except SafetyNumberVersionError:
        return Comparison.OTHER_VERSION
    except InvalidMessageError:
        return Comparison.NO_CODE
    _put(tx, replace(contact, verification=Verification.VERIFIED, verified_ms=now_ms))
    return Comparison.MATCH


def withdraw(tx: Tx, account: AccountId, because: Alarm) -> Contact | None:
    """Something that an honest contact does not cause: the person is told, and has to compare anew.

    Returns the contact as it is now; None when there is none.
    """
    contact = tx.contact(account)
    if contact is None:
        return None
    if contact.verification is Verification.VERIFIED:
        contact = _put(tx, replace(contact, verification=Verification.WITHDRAWN))
    raise_alarm_once(tx, because, contact)
    return contact


def _put(tx: Tx, contact: Contact) -> Contact:
    tx.put_contact(contact)
    tx.append_event(EventKind.CHAT, chat=contact.account)
    return contact
