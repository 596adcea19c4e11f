"""What this device tells the account's other devices: contacts and keys, as somebody here has just changed them
(docs/protocol/delivery.md, "Own devices"). What they tell us: `inbound_copies`.

Messages and read marks need none of this: they go to the other devices as they are (`outbound.address_others`).
"""

from mepassa.model.content import AccountCopy, Body, ContactCopy
from mepassa.model.ids import MessageId, Timestamp
from mepassa.ports.rng import Rng
from mepassa.ports.stores import Contact, Tx
from mepassa.protocol.devices import ourselves, recipients
from mepassa.protocol.outbound import Draft, address, address_device, make_content
from mepassa.protocol.tokens import keys_ms


def tell_contact(tx: Tx, contact: Contact, now_ms: Timestamp, rng: Rng) -> None:
    _tell(tx, contact_copy(contact), now_ms, rng)


def tell_account(tx: Tx, now_ms: Timestamp, rng: Rng) -> None:
    """The newest list and the shared keys."""
    own = tx.own()
    keys = AccountCopy(own.device_list, own.profile_key.expose(), own.presence_seed.expose(), keys_ms(tx))
    _tell(tx, keys, now_ms, rng)


def tell_new_device(tx: Tx, device: int, now_ms: Timestamp, rng: Rng) -> None:
    """Everybody whom this device knows, to one that knows nobody yet."""
    us = ourselves(tx)
    for contact in reversed(tx.contacts()):
        draft = Draft(contact_copy(contact), MessageId(rng.token(16)))
        address_device(tx, us, device, make_content(tx, us, draft, now_ms), now_ms, rng)


def contact_copy(contact: Contact) -> ContactCopy:
    return ContactCopy(
        root_key=contact.root_key,
        name=contact.name,
        state=contact.state,
        policy=contact.policy,
        changed_ms=contact.changed_ms,
        home_url=contact.home.url,
        home_key=contact.home.key,
        last_sender_seq=contact.last_sender_seq,
        device_list=contact.device_list,
        profile_key=contact.profile_key.expose() if contact.profile_key is not None else None,
        presence_key=contact.presence_key,
        invite_token=contact.invite_token,
    )


def _tell(tx: Tx, body: Body, now_ms: Timestamp, rng: Rng) -> None:
    us = ourselves(tx)
    if recipients(tx, us):
        address(tx, us, make_content(tx, us, Draft(body, MessageId(rng.token(16))), now_ms), now_ms, rng)
