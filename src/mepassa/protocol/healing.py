"""When an envelope does not open: ask for its content again, and answer who asks (docs/protocol/delivery.md, "Healing").

The asker changes no session. The asked side answers only for an envelope that it made for that very device. Both are
bounded, so that no poison can make two devices talk for ever.
"""

from dataclasses import replace

from mepassa.model.envelope import SealedEnvelope
from mepassa.model.ids import AccountId, Address, EnvelopeId, MessageId, Timestamp
from mepassa.model.status import ChatState, MessageStatus
from mepassa.ports.rng import Rng
from mepassa.ports.stores import Contact, EventKind, MessageKind, MessageRow, OutboxKind, OutboxRow, Tx, UnopenedRow
from mepassa.protocol.account import DAY_MS, local_identity, sender_certificate
from mepassa.protocol.devices import counterpart, remote_device
from mepassa.protocol.outbound import EXPIRY_MS, outbox_row, sealed
from mepassa.protocol.sealing import ResendRequest, Unsealed, seal_plaintext
from mepassa.protocol.sent import recall, unseal
from mepassa.protocol.session import archive, failed_ratchet_key, must_archive
from mepassa.protocol.session_rows import keep_session, load_session
from mepassa.wire.content import decode_content, rewrite

MAX_REQUESTS_PER_ENVELOPE = 3
"""How often one envelope is asked for, and how often its content is sent again, however it is asked for."""
RESET_EVERY_MS = 60 * 1000
"""One session reset a minute for a device that asks…"""
RESETS_PER_DAY = 20
"""…and so many a day: more would be an attack, or a fault that resets do not mend."""
ASK_AGAIN_AFTER_MS = (2 * 60 * 1000, 3600 * 1000)
"""After the first request: the answer may have met the reset limit, or been lost with a restored database."""
MAX_UNANSWERED = 500
"""Envelopes of one account that are asked for at the same time; past it their rows stay "could not open"."""
MAX_STAND_INS, AMONG_NEWEST = 20, 100
""" "Could not open" rows among a chat's newest rows. What does not open beyond that is asked for all the same, but adds no
row: twenty say it, and whoever sends poison all day must not bury the chat."""
NEVER_AGAIN = Timestamp(2**53)


def could_not_open(
    tx: Tx, contact: Contact, unsealed: Unsealed, envelope: SealedEnvelope, now_ms: Timestamp, rng: Rng
) -> None:
    """The row on the screen and the request, to be committed before the envelope is acknowledged."""
    if contact.account != tx.own().address.account:  # which chat a copy would have belonged to, only its content tells
        _show_stand_in(tx, contact, envelope, now_ms)
    ratchet_key = failed_ratchet_key(unsealed.type, unsealed.body)
    if ratchet_key is None or contact.state is not ChatState.ACCEPTED or _unanswered(tx, contact) >= MAX_UNANSWERED:
        return
    _ask(tx, contact, UnopenedRow(envelope.id, unsealed.sender, ratchet_key, now_ms, 0, NEVER_AGAIN), now_ms, rng)


def _show_stand_in(tx: Tx, contact: Contact, envelope: SealedEnvelope, now_ms: Timestamp) -> None:
    newest = tx.messages(contact.account, None, AMONG_NEWEST)
    if sum(row.kind is MessageKind.UNOPENED for row in newest) >= MAX_STAND_INS:
        return
    stand_in = MessageRow(
        id=MessageId(envelope.id.raw),
        chat=contact.account,
        sender=contact.account,
        kind=MessageKind.UNOPENED,
        text="",
        sent_at_ms=now_ms,
        sender_seq=0,
        status=MessageStatus.DELIVERED,
    )
    if tx.message(stand_in.id) is None:
        tx.insert_message(stand_in)
        tx.append_event(EventKind.MESSAGE, chat=contact.account, message_id=stand_in.id)
        tx.append_event(EventKind.CHAT, chat=contact.account)


def seen_again(tx: Tx, envelope_id: EnvelopeId, now_ms: Timestamp, rng: Rng) -> AccountId | None:
    """An envelope comes again that would not open: its sender is there now, so the next request does not wait.

    Not within a minute of the last one, and within the same three. Returns whom there is something for.
    """
    row = tx.unopened(envelope_id)
    if row is None or not 1 <= row.asked < MAX_REQUESTS_PER_ENVELOPE:
        return None
    asked_ms = row.next_ask_ms - ASK_AGAIN_AFTER_MS[row.asked - 1]
    contact = counterpart(tx, row.sender.account)
    if contact is None or contact.state is not ChatState.ACCEPTED or now_ms < asked_ms + RESET_EVERY_MS:
        return None
    _ask(tx, contact, row, now_ms, rng)
    return contact.account


def ask_again(tx: Tx, now_ms: Timestamp, rng: Rng) -> None:
    """Ask once more for what has not come; three times in all."""
    for row in tx.unopened_due(now_ms):
        contact = counterpart(tx, row.sender.account)
        if contact is None or contact.state is not ChatState.ACCEPTED or row.asked >= MAX_REQUESTS_PER_ENVELOPE:
            tx.put_unopened(replace(row, next_ask_ms=NEVER_AGAIN))
        else:
            _ask(tx, contact, row, now_ms, rng)


def healed(tx: Tx, contact: Contact, message_id: MessageId) -> None:
    """The content of an unopened envelope has come: its stand-in leaves the screen. `message_id`: the stand-in's."""
    row = tx.message(message_id)
    if row is not None and row.kind is MessageKind.UNOPENED and row.chat == contact.account:
        tx.delete_message(row.id)
        tx.append_event(EventKind.MESSAGE, chat=contact.account, message_id=row.id, note="gone")


def answer_resend(
    tx: Tx, contact: Contact, asker: Address, request: ResendRequest, now_ms: Timestamp, rng: Rng
) -> None:
    """Send the content again in a session that is new to both, if it was ours and for that device.

    A request past the limits is not answered; the asker asks again later.
    """
    own = tx.own()
    if request.device != own.address.device or contact.state not in {ChatState.ACCEPTED, ChatState.REQUESTED}:
        return
    sent = recall(tx, asker, request.envelope_id) if request.envelope_id is not None else None
    if sent is None or sent.resends >= MAX_REQUESTS_PER_ENVELOPE or not sent.content:
        return
    session = load_session(tx, asker)
    if must_archive(session, ratchet_key=request.ratchet_key, sent_at_ms=sent.sent_ms):
        came_back = session.current is not None and tx.resets_since(asker, Timestamp(session.current.created_at_ms)) > 0
        if not came_back:  # else a late message made an old session current again, and the reset has been counted
            if not _may_reset(tx, asker, now_ms):
                return
            tx.add_reset(asker, now_ms)
        keep_session(tx, asker, archive(session))
        _seal_anew(tx, asker)
    tx.put_sent(replace(sent, resends=sent.resends + 1))
    content = rewrite(decode_content(sent.content), resend_of=sent.id)
    row = replace(outbox_row(contact, asker.device, content, now_ms), resends=sent.resends + 1)
    if _is_waiting(tx, contact, row):
        return
    tx.append_outbox(sealed(tx, contact, row, now_ms, rng))


def _ask(tx: Tx, contact: Contact, row: UnopenedRow, now_ms: Timestamp, rng: Rng) -> None:
    remote = remote_device(contact, row.sender.device)
    if remote is None:
        tx.put_unopened(replace(row, next_ask_ms=NEVER_AGAIN))
        return
    own = tx.own()
    request = ResendRequest(row.id, row.ratchet_key, row.failed_at_ms, row.sender.device)
    envelope = seal_plaintext(
        local_identity(own), sender_certificate(tx, own, now_ms), remote.identity_key, request, rng=rng
    )
    tx.append_outbox(
        OutboxRow(
            id=0,
            to=row.sender,
            kind=OutboxKind.CONTROL,
            content=b"",
            envelope=envelope,
            message_id=None,
            created_ms=now_ms,
            expires_ms=Timestamp(now_ms + EXPIRY_MS),
            next_try_ms=now_ms,
        )
    )
    asked = row.asked + 1
    wait_ms = ASK_AGAIN_AFTER_MS[asked - 1] if asked <= len(ASK_AGAIN_AFTER_MS) else NEVER_AGAIN - now_ms
    tx.put_unopened(replace(row, asked=asked, next_ask_ms=Timestamp(now_ms + wait_ms)))


def _may_reset(tx: Tx, peer: Address, now_ms: Timestamp) -> bool:
    lately = tx.resets_since(peer, Timestamp(now_ms - RESET_EVERY_MS))
    today = tx.resets_since(peer, Timestamp(now_ms - DAY_MS))
    return lately == 0 and today < RESETS_PER_DAY


def _seal_anew(tx: Tx, peer: Address) -> None:
    """What still waits here was sealed for a session that the peer does not have: it would only be asked for as well."""
    for row in tx.outbox(peer.account):
        if row.to == peer and row.envelope is not None and row.content and row.attempts == 0:
            unseal(tx, row)


def _is_waiting(tx: Tx, contact: Contact, row: OutboxRow) -> bool:
    """The same message waits for this device already."""
    return row.message_id is not None and any(
        other.to == row.to and other.message_id == row.message_id and other.envelope is None
        for other in tx.outbox(contact.account)
    )


def _unanswered(tx: Tx, contact: Contact) -> int:
    due = tx.unopened_due(Timestamp(NEVER_AGAIN - 1))
    return sum(row.sender.account == contact.account for row in due)
