"""What a newer device list does to what was meant for the devices before it (docs/protocol/identity.md, "What a newer
list changes").

A device that has left the list, or stands there with another key or registration, is over for good: nothing of ours is
for it any more.
"""

from dataclasses import replace

from mepassa.model.content import ContactAccepted, Hello, PresenceKey, ProfileKey, Receipt, Text
from mepassa.model.device_list import DeviceList
from mepassa.model.ids import AccountId, Address, Timestamp
from mepassa.ports.stores import Tx
from mepassa.protocol.sent import drop, unsealed
from mepassa.protocol.tokens import token_for
from mepassa.wire.content import decode_content

ALWAYS = Timestamp(2**53)
FOR_EVERY_DEVICE = Text | Hello | Receipt | ContactAccepted | ProfileKey | PresenceKey
"""Bodies that say the same to each device of an account. What is meant for one device alone (a resend, a sender key) is
not passed on to another."""


def follow_list(tx: Tx, account: AccountId, before: DeviceList, after: DeviceList) -> None:
    """`after` has taken the place of `before`; both are verified.

    Where we have no token each deposit is work: there a list, of which the account makes as many as it likes, brings
    nothing on its way again (docs/decisions/0160).
    """
    contact = tx.contact(account)  # None: our own account
    costs_work = contact is not None and token_for(contact) is None
    stay = {entry.device for entry in after.devices if entry in before.devices}
    for entry in before.devices:
        if entry.device not in stay:
            peer = Address(account, entry.device)
            _forget(tx, peer)
            _take_back(tx, peer, goes_again=after.entry(entry.device) is not None and not costs_work)
    if not costs_work:
        _pass_on(tx, account, [Address(account, entry.device) for entry in after.devices if entry.device not in stay])
    listed = {entry.device for entry in after.devices}
    for renewal in tx.renewals(account):
        confirmed = tuple(device for device in renewal.confirmed if device in stay)
        if confirmed and listed.issubset(confirmed):  # whoever had not confirmed it is gone
            tx.delete_renewal(account, renewal.message_id)
        elif confirmed != renewal.confirmed:
            tx.put_renewal(replace(renewal, confirmed=confirmed))


def drop_waiting(tx: Tx, account: AccountId | None = None) -> None:
    """Nothing of ours is on its way there (None: to anybody) any more, neither envelopes nor what is made anew."""
    for row in tx.outbox(account):
        drop(tx, row)
    tx.forget_owed(account)
    for renewal in tx.renewals(account):
        tx.delete_renewal(renewal.account, renewal.message_id)


def _forget(tx: Tx, peer: Address) -> None:
    """Sessions, what it said to groups, what could be asked for again, and where it was reached.

    That it holds a sender key of ours is remembered: with the next message the key is made anew (`sender_keys`).
    """
    tx.delete_session(peer)
    tx.delete_sender_key(peer)
    tx.forget_sent(peer)
    tx.forget_known_addresses(peer)
    for row in tx.unopened_due(ALWAYS):
        if row.sender == peer:
            tx.delete_unopened(row.id)


def _take_back(tx: Tx, peer: Address, *, goes_again: bool) -> None:
    """What waits for it: sealed anew for the key that the number stands for now, else dropped."""
    for row in tx.outbox(peer.account):
        if row.to != peer:
            continue
        if goes_again and row.content and _is_for_every_device(row.content):
            tx.update_outbox(replace(unsealed(row), attempts=0))
        else:
            tx.delete_outbox(row.id)


def _pass_on(tx: Tx, account: AccountId, fresh: list[Address]) -> None:
    """What still waits for another device of the account is for these, too."""
    rows = tx.outbox(account) if fresh else ()
    for peer in fresh:
        passed = {row.content for row in rows if row.to == peer}
        for row in rows:
            if row.content and row.content not in passed and _is_for_every_device(row.content):
                passed.add(row.content)
                tx.append_outbox(replace(unsealed(row), to=peer, attempts=0, last_error=None))


def _is_for_every_device(raw: bytes) -> bool:
    content = decode_content(raw)
    return isinstance(content.body, FOR_EVERY_DEVICE) and content.resend_of is None
