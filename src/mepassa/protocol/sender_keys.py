"""Sender keys for groups: told to each member's device over its own session, used once for all, made anew in time
(docs/protocol/groups.md, "Whose key is where").

Who is a member, and how an envelope travels, is not decided here. All happens in the caller's transaction: the key, who
has been told of it, and what was encrypted with it are committed together before anything leaves.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from mepassa.crypto.budget import OPENING_DERIVATIONS, WorkBudget
from mepassa.crypto.errors import CorruptRecordError, SenderKeyMissingError
from mepassa.crypto.messages import MessageType
from mepassa.crypto.padding import pad, unpad
from mepassa.crypto.sender_key_messages import (
    decode_sender_key_distribution_message,
    decode_sender_key_message,
    encode_sender_key_distribution_message,
)
from mepassa.crypto.sender_keys import (
    LAST_ITERATION,
    SenderKeyRecord,
    create,
    decrypt,
    distribution_message,
    encrypt,
    process_distribution,
)
from mepassa.model.content import SenderKeyDistribution
from mepassa.model.envelope import SealedEnvelope
from mepassa.model.errors import DecryptionError
from mepassa.model.ids import Address, DistributionId, MessageId, Timestamp
from mepassa.model.status import ChatState
from mepassa.ports.rng import Rng
from mepassa.ports.stores import Contact, OwnSenderKey, SenderKeyHolder, Tx
from mepassa.protocol.account import DAY_MS, local_identity, sender_certificate
from mepassa.protocol.devices import counterpart, remote_device
from mepassa.protocol.outbound import Draft, address_device, make_content
from mepassa.protocol.sealing import Recipient, seal_for_devices

LIFETIME_MS = 14 * DAY_MS
"""A sender key is made anew at this age, since it does not heal by itself: what a thief of it can read ends here. As long
as an envelope lives, so that of the five chains that a reader keeps at most two are ever in use."""

MAX_PER_SENDER = 100
"""Sender keys kept of one device. Nobody shares so many groups with one person; past it the one that was not used for
longest goes…"""
MAX_BYTES_PER_SENDER = 2 * 1024 * 1024
"""…and past so much disk, too: a record has 200 bytes where nothing is missing, and up to 360 KB where its owner skips on
purpose (docs/decisions/0163)."""


class Renewed(StrEnum):
    """Why a sender key was made."""

    FIRST = "first"
    DAMAGED = "damaged"
    HOLDER_LEFT = "holder_left"
    """A device that holds it is not a member any more, or has another identity key now."""
    AGE = "age"
    USED_UP = "used_up"


@dataclass(frozen=True, slots=True)
class GroupSealed:
    """What one message to a group came to. `untold`: members whose devices cannot be told the key (no accepted contact, not
    in its list); they get no copy, and `renewed` says why the key is a new one."""

    copies: tuple[tuple[Address, SealedEnvelope], ...]
    untold: tuple[Recipient, ...]
    renewed: Renewed | None


@dataclass(frozen=True, slots=True, repr=False)
class GroupOpened:
    distribution_id: DistributionId
    plaintext: bytes


# --- sending -----------------------------------------------------------------------------------------------------------


def seal_to_group(
    tx: Tx,
    distribution_id: DistributionId,
    members: Iterable[Recipient],
    content: bytes,
    *,
    group_id: bytes,
    now_ms: Timestamp,
    rng: Rng,
) -> GroupSealed:
    """Encrypt once, seal for each device of `members` (all of them as of now; this device may be among them or not).

    A key that somebody holds who is no member is made anew first; who does not hold it is told in the same transaction.
    Raises `TooLargeError` for content over 32 767 bytes, before anything else.
    """
    padded, own = pad(content), tx.own()
    others = [member for member in members if member.address != own.address]
    key, record, renewed = _current_key(tx, distribution_id, others, now_ms, rng)
    untold = _tell(tx, record, others, now_ms, rng)
    left_out = {member.address for member in untold}
    told = [member for member in others if member.address not in left_out]
    record, message = encrypt(record, padded)
    tx.put_own_sender_key(OwnSenderKey(distribution_id, record.to_bytes(), key.created_ms))
    envelopes = seal_for_devices(
        local_identity(own),
        sender_certificate(tx, own, now_ms),
        told,
        MessageType.SENDER_KEY,
        message,
        group_id=group_id,
        rng=rng,
    )
    copies = zip((member.address for member in told), envelopes, strict=True)
    return GroupSealed(tuple(copies), tuple(untold), renewed)


def forget_own(tx: Tx, distribution_id: DistributionId) -> None:
    """This device has left the group: it says nothing more there."""
    tx.delete_own_sender_keys(distribution_id)


def tell_again(tx: Tx, peer: Address) -> None:
    """That device could not read us: the next message to each of its groups goes with a new key, told to everyone.

    It may hold the old one all the same, so the old one must not outlive its membership unnoticed.
    """
    for distribution_id in tx.distributions_held_by(peer):
        tx.delete_own_sender_keys(distribution_id)


def _current_key(
    tx: Tx, distribution_id: DistributionId, members: list[Recipient], now_ms: Timestamp, rng: Rng
) -> tuple[OwnSenderKey, SenderKeyRecord, Renewed | None]:
    key = tx.own_sender_key(distribution_id)
    record = _read(key.record) if key is not None else None
    due = _due(key, record, tx.sender_key_holders(distribution_id), members, now_ms)
    if key is None or record is None or due is not None:
        tx.delete_own_sender_keys(distribution_id)
        record = create(distribution_id, rng.token)
        key = OwnSenderKey(distribution_id, record.to_bytes(), now_ms)
        tx.put_own_sender_key(key)
    return key, record, due


def _due(
    key: OwnSenderKey | None,
    record: SenderKeyRecord | None,
    holders: Iterable[SenderKeyHolder],
    members: list[Recipient],
    now_ms: Timestamp,
) -> Renewed | None:
    if key is None:
        return Renewed.FIRST
    if record is None:
        return Renewed.DAMAGED
    entitled = {_holder(member) for member in members}
    if any(holder not in entitled for holder in holders):
        return Renewed.HOLDER_LEFT
    if not 0 <= now_ms - key.created_ms < LIFETIME_MS:  # a clock that went back does not prolong its life
        return Renewed.AGE
    return Renewed.USED_UP if record.chains[0].next_iteration > LAST_ITERATION else None


def _tell(tx: Tx, record: SenderKeyRecord, members: list[Recipient], now_ms: Timestamp, rng: Rng) -> list[Recipient]:
    """The key to each device that does not hold it, over its pairwise session; returns those that cannot be told.

    Each is told by a content of its own: one device's receipt says nothing of another's.
    """
    holders = set(tx.sender_key_holders(record.distribution_id))
    body = SenderKeyDistribution(encode_sender_key_distribution_message(distribution_message(record)))
    untold = []
    for member in members:
        if _holder(member) in holders:
            continue
        contact = counterpart(tx, member.address.account)
        if contact is None or contact.state is not ChatState.ACCEPTED or not _listed(contact, member):
            untold.append(member)
        else:
            content = make_content(tx, contact, Draft(body, MessageId(rng.token(16))), now_ms)
            address_device(tx, contact, member.address.device, content, now_ms, rng)
            tx.put_sender_key_holder(record.distribution_id, _holder(member))
    return untold


def _listed(contact: Contact, member: Recipient) -> bool:
    """The pairwise session is with the listed key; a key for groups goes to no other."""
    remote = remote_device(contact, member.address.device)
    return remote is not None and remote.identity_key == member.identity_key


def _holder(member: Recipient) -> SenderKeyHolder:
    return SenderKeyHolder(member.address, member.identity_key)


# --- receiving ---------------------------------------------------------------------------------------------------------


def take_distribution(tx: Tx, sender: Address, body: SenderKeyDistribution, now_ms: Timestamp) -> bool:
    """A device tells its key; `sender` is what its pairwise session has proven. False for one that is not of the form."""
    try:
        message = decode_sender_key_distribution_message(body.message)
    except DecryptionError:
        return False
    record = _kept(tx, sender, message.distribution_id) or SenderKeyRecord(message.distribution_id)
    _keep(tx, sender, process_distribution(record, message), now_ms)
    return True


def open_from_group(
    tx: Tx, sender: Address, body: bytes, now_ms: Timestamp, *, derivations: int = OPENING_DERIVATIONS
) -> GroupOpened:
    """A sender key message of a validated `sender`. Raises a `DecryptionError`; then nothing has changed.

    `SenderKeyMissingError`: the key may still be on its way, or has to be asked for.
    """
    message = decode_sender_key_message(body)
    record = _kept(tx, sender, message.distribution_id)
    if record is None:
        raise SenderKeyMissingError
    record, padded = decrypt(record, message, WorkBudget(derivations))
    plaintext = unpad(padded)
    _keep(tx, sender, record, now_ms)
    return GroupOpened(message.distribution_id, plaintext)


def _keep(tx: Tx, sender: Address, record: SenderKeyRecord, now_ms: Timestamp) -> None:
    """In place of what was kept of it; what is too much of that device goes, the longest unused first."""
    tx.put_sender_key(sender, record.distribution_id, record.to_bytes(), now_ms)
    known = tx.sender_keys(sender)
    count, size_bytes = len(known), sum(known.values())
    known.pop(record.distribution_id)
    for unused, freed_bytes in known.items():
        if count <= MAX_PER_SENDER and size_bytes <= MAX_BYTES_PER_SENDER:
            return
        tx.delete_sender_key(sender, unused)
        count, size_bytes = count - 1, size_bytes - freed_bytes


def _kept(tx: Tx, sender: Address, distribution_id: DistributionId) -> SenderKeyRecord | None:
    """None, too, for a record that is damaged: it is asked for like one that never came."""
    saved = tx.sender_key(sender, distribution_id)
    return _read(saved) if saved is not None else None


def _read(saved: bytes) -> SenderKeyRecord | None:
    try:
        return SenderKeyRecord.from_bytes(saved)
    except CorruptRecordError:
        return None
