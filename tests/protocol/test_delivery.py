"""docs/protocol/delivery.md: at least once on the wire, exactly once on the screen."""

from collections.abc import Callable

import msgspec
import pytest

from mepassa.model.content import Content, Receipt, ReceiptEntry, ReceiptKind, UnknownBody
from mepassa.model.errors import ConflictError, InvalidInputError, NotFoundError, TextTooLongError, TooLargeError
from mepassa.model.ids import MessageId, Timestamp
from mepassa.model.prekeys import OneTimePrekey
from mepassa.model.route import FoundBy, RouteKind
from mepassa.model.status import ChatState, MessageStatus
from mepassa.ports.mailbox import FetchedAccount
from mepassa.ports.stores import EventKind, MessageKind, OutboxKind, Tx
from mepassa.protocol import delivery, outbound
from mepassa.protocol.inbound import Fate
from mepassa.protocol.outbound import Draft
from mepassa.protocol.session import SessionRecord
from mepassa.protocol.status import StatusEvent
from mepassa.wire.content import decode_content
from tests.protocol.phones import DIRECT, STORED, Phone, befriend, settle


@pytest.fixture
def pair(ana: Phone, beto: Phone) -> tuple[Phone, Phone]:
    befriend(ana, beto)
    return ana, beto


Pair = tuple[Phone, Phone]


def test_a_message_rises_from_queued_to_read(pair: Pair) -> None:
    ana, beto = pair
    sent = ana.write(beto, "chegou?")
    assert sent.status is MessageStatus.QUEUED
    (envelope,) = ana.post(beto)
    assert ana.message(sent.id).status is MessageStatus.STORED
    assert ana.message(sent.id).route == STORED
    beto.take(envelope)
    settle(ana, beto)
    assert ana.message(sent.id).status is MessageStatus.DELIVERED
    beto.read_all(ana)
    settle(ana, beto)
    assert ana.message(sent.id).status is MessageStatus.READ
    assert beto.message(sent.id).status is MessageStatus.READ
    assert beto.db.run_now(lambda tx: tx.unread(ana.account)) == 0


def test_the_same_envelope_by_every_route_is_shown_once(pair: Pair) -> None:
    ana, beto = pair
    ana.write(beto, "uma vez")
    (envelope,) = ana.post(beto)
    fates = [beto.take(envelope, route).fate for route in (DIRECT, STORED, STORED)]
    assert fates == [Fate.OPENED, Fate.SEEN_BEFORE, Fate.SEEN_BEFORE]
    assert beto.texts(ana) == ["uma vez"]


def test_the_route_of_the_copy_that_came_first_wins_on_both_sides(pair: Pair) -> None:
    ana, beto = pair
    sent = ana.write(beto, "por onde?")
    (envelope,) = ana.post(beto)  # deposited as insurance, says the sender
    beto.take(envelope, DIRECT)
    beto.take(envelope, STORED)
    settle(ana, beto)
    assert ana.message(sent.id).route == DIRECT
    assert beto.message(sent.id).route == DIRECT


def test_the_same_client_id_gives_the_same_message(pair: Pair) -> None:
    ana, beto = pair

    def send(text: str, chat: Phone = beto) -> MessageId:
        return ana.db.run_now(
            lambda tx: delivery.compose_text(
                tx, chat.account, text, client_id=b"c" * 16, reply_to=None, now_ms=ana.now, rng=ana.rng
            )
        ).id

    assert send("oi") == send("oi")
    assert len(ana.outbox()) == 1
    with pytest.raises(ConflictError):
        send("outra coisa")


@pytest.mark.parametrize(
    "text, error",
    [
        ("", TextTooLongError),
        ("x" * 16_385, TextTooLongError),
        ("é" * 8193, TextTooLongError),
        ("\ud800", InvalidInputError),
    ],
)
def test_a_text_that_does_not_fit_is_refused_before_anything_is_stored(
    pair: Pair, text: str, error: type[Exception]
) -> None:
    ana, beto = pair
    with pytest.raises(error):
        ana.write(beto, text)
    assert (ana.screen(beto), ana.waiting()) == ([], 0)


def test_the_longest_text_fits_one_envelope(pair: Pair) -> None:
    ana, beto = pair
    ana.write(beto, "x" * 16_384)
    settle(ana, beto)
    assert beto.texts(ana) == ["x" * 16_384]


@pytest.mark.parametrize("size", [0, 15, 17])
def test_a_client_id_has_sixteen_bytes(pair: Pair, size: int) -> None:
    ana, beto = pair
    with pytest.raises(InvalidInputError):
        ana.db.run_now(
            lambda tx: delivery.compose_text(
                tx, beto.account, "x", client_id=bytes(size), reply_to=None, now_ms=ana.now, rng=ana.rng
            )
        )
    assert ana.screen(beto) == []


def test_a_reply_names_a_message_of_this_chat(pair: Pair, caio: Phone) -> None:
    ana, beto = pair
    first = ana.write(beto, "pergunta")

    def reply(to: MessageId) -> MessageId:
        return ana.db.run_now(
            lambda tx: delivery.compose_text(
                tx, beto.account, "re", client_id=ana.rng.token(16), reply_to=to, now_ms=ana.now, rng=ana.rng
            )
        ).id

    answer = reply(first.id)
    settle(ana, beto)
    assert beto.message(answer).reply_to == first.id
    with pytest.raises(NotFoundError):
        reply(MessageId(bytes(16)))


def test_messages_out_of_order_are_shown_in_the_senders_order(pair: Pair) -> None:
    ana, beto = pair
    for text in "abcdef":
        ana.write(beto, text)
    envelopes = ana.post(beto)
    for place in (3, 0, 5, 1, 4, 2):
        beto.take(envelopes[place])
    assert "".join(beto.texts(ana)) == "abcdef"


def test_what_is_sealed_is_what_is_sent_however_often(pair: Pair) -> None:
    ana, beto = pair
    ana.write(beto, "mesmos bytes")
    (before,) = ana.ready(beto)
    ana.db.run_now(lambda tx: delivery.record_refused(tx, before.id, "BusyError", 2.0, ana.now, ana.rng))
    assert ana.ready(beto) == ()
    ana.clock.advance(3)
    (after,) = ana.ready(beto)
    assert (after.envelope, after.attempts, after.last_error) == (before.envelope, 1, "BusyError")


def test_backing_off_is_bounded_and_honours_what_the_home_asks(pair: Pair) -> None:
    ana, beto = pair
    ana.write(beto, "espera")
    (row,) = ana.outbox()
    for attempt in range(40):
        due = ana.db.run_now(lambda tx: delivery.record_refused(tx, row.id, "x", None, ana.now, ana.rng))
        assert due is not None
        assert due - ana.now <= min(300_000, 1000 * 2**attempt)
    due = ana.db.run_now(lambda tx: delivery.record_refused(tx, row.id, "x", 999.0, ana.now, ana.rng))
    assert due == ana.now + 999_000
    assert ana.db.run_now(lambda tx: delivery.retry_all(tx, ana.now)) == (beto.account,)
    assert ana.outbox()[0].next_try_ms == ana.now


def test_receipts_for_stored_messages_wait_a_little_and_go_together(pair: Pair) -> None:
    ana, beto = pair
    for text in "abc":
        ana.write(beto, text)
    for envelope in ana.post(beto):
        beto.take(envelope, STORED)
    ready = beto.db.run_now(lambda tx: delivery.prepare(tx, ana.account, beto.now, beto.rng))
    assert ready is not None
    assert ready.rows == ()
    assert ready.next_try_ms is not None
    assert 1000 <= ready.next_try_ms - beto.now <= 5000
    beto.clock.advance(5)
    (row,) = beto.ready(ana)
    body = decode_content(row.content).body
    assert isinstance(body, Receipt)
    assert (body.kind, len(body.entries)) == (ReceiptKind.DELIVERED, 3)
    assert beto.waiting() == 1, "what was owed is in the outbox now, and nowhere else"


def test_receipts_that_are_owed_survive_a_power_cut_and_end_with_a_block(pair: Pair) -> None:
    ana, beto = pair
    ana.write(beto, "oi")
    for envelope in ana.post(beto):
        beto.take(envelope, STORED)
    beto.reopen()
    assert beto.db.run_now(lambda tx: (tx.outbox(), tx.outbox_accounts(), tx.waiting())) == ((), (ana.account,), 1)
    beto.block(ana)
    assert beto.db.run_now(lambda tx: tx.receipts_due(ana.account)) is None
    beto.reopen()
    assert beto.db.run_now(lambda tx: (tx.owed_receipts(ana.account), ana.account in tx.outbox_accounts())) == (
        (),
        False,
    )


@pytest.mark.parametrize("more", [0, 1])
def test_a_clock_that_was_ahead_holds_no_receipt_back(pair: Pair, more: int) -> None:
    ana, beto = pair
    here = beto.now
    beto.clock.jump_wall(3 * 24 * 3600 * 1000)
    ana.write(beto, "do futuro")
    for envelope in ana.post(beto):
        beto.take(envelope, STORED)
    beto.clock.jump_wall(here - beto.now)
    for _ in range(more):
        ana.write(beto, "de agora")
    for envelope in ana.post(beto):
        beto.take(envelope, STORED)
    beto.clock.advance(5)
    (row,) = beto.ready(ana)
    body = decode_content(row.content).body
    assert isinstance(body, Receipt)
    assert len(body.entries) == 1 + more


def test_receipts_to_somebody_who_has_not_answered_fit_the_request_lane(ana: Phone, beto: Phone) -> None:
    """He has her token from the request, and writes instead of answering."""
    ana.add(beto.invite(), beto)
    ana.write(beto, "oi, é a Ana")
    for envelope in ana.post(beto):
        beto.take(envelope)
    beto.accept(ana)
    answer, *rest = beto.post(ana)  # it is lost, and what follows is not
    for number in range(60):
        beto.write(ana, f"{number}")
    far = msgspec.structs.replace(STORED, via=f"{'a' * 63}.{'b' * 63}.{'c' * 54}.example.org:65535")
    for envelope in (*rest, *beto.post(ana)):
        ana.take(envelope, far)
    assert ana.contact(beto).state is ChatState.REQUESTED
    ana.clock.advance(6)
    rows = ana.ready(beto)
    assert rows
    assert all(row.kind is OutboxKind.REQUEST for row in rows)
    for row in rows:
        assert row.envelope is not None
        assert beto.take(row.envelope).fate is Fate.OPENED
    assert {row.status for row in beto.screen(ana) if row.sender == beto.account} == {MessageStatus.DELIVERED}
    ana.take(answer)
    assert ana.contact(beto).state is ChatState.ACCEPTED


def test_a_message_that_comes_again_in_another_envelope_is_named_once(pair: Pair) -> None:
    ana, beto = pair
    sent = ana.write(beto, "oi")
    (envelope,) = ana.post(beto)
    beto.take(envelope)
    ana.clock.advance(days=14)
    ana.db.run_now(lambda tx: delivery.expire_due(tx, ana.now))
    ana.db.run_now(lambda tx: delivery.send_again(tx, sent.id, ana.now, ana.rng))
    (envelope,) = ana.post(beto)
    beto.take(envelope)
    beto.clock.advance(6)
    (row,) = beto.ready(ana)
    body = decode_content(row.content).body
    assert isinstance(body, Receipt)
    assert [entry.message_id for entry in body.entries] == [sent.id]


def test_the_acknowledgement_of_the_first_copy_says_delivered_and_the_receipt_follows(pair: Pair) -> None:
    ana, beto = pair
    sent = ana.write(beto, "já")
    (row,) = ana.ready(beto)
    assert row.envelope is not None
    assert beto.take(row.envelope, DIRECT).delivered
    ana.taken(row, StatusEvent.OPENED_ON_PATH, DIRECT)
    lifted = ana.message(sent.id)
    assert (lifted.status, lifted.route) == (MessageStatus.DELIVERED, DIRECT)
    assert beto.ready(ana) == (), "the receipt waits for others to take with it"
    beto.clock.advance(5)
    (receipt,) = beto.ready(ana)
    assert receipt.kind is OutboxKind.CONTROL
    settle(ana, beto)
    assert ana.message(sent.id) == lifted


def test_only_a_first_copy_that_was_taken_counts_as_delivered(pair: Pair) -> None:
    ana, beto = pair
    ana.write(beto, "uma")
    (envelope,) = ana.post(beto)
    beto.take(envelope, STORED)
    again = beto.take(envelope, DIRECT)
    assert (again.fate, again.delivered) == (Fate.SEEN_BEFORE, False)
    ana.write(beto, "duas")
    beto.block(ana)
    refused = beto.take(ana.post(beto)[0], DIRECT)
    assert (refused.fate, refused.delivered) == (Fate.DROPPED, False)


def test_a_message_that_would_not_open_is_not_called_delivered(pair: Pair) -> None:
    ana, beto = pair
    ana.write(beto, "perdida")
    (envelope,) = ana.post(beto)
    beto.db.run_now(lambda tx: tx.put_session(ana.address, SessionRecord.EMPTY.to_bytes()))
    failed = beto.take(envelope, DIRECT)
    assert (failed.fate, failed.delivered) == (Fate.COULD_NOT_OPEN, False)


def test_more_receipts_than_fit_one_envelope_go_in_several(pair: Pair) -> None:
    ana, beto = pair
    for number in range(120):
        ana.write(beto, f"{number}")
    for envelope in ana.post(beto):
        beto.take(envelope, STORED)
    beto.clock.advance(6)
    assert len(beto.ready(ana)) == 3
    settle(ana, beto)
    assert {row.status for row in ana.screen(beto)} == {MessageStatus.DELIVERED}
    beto.read_all(ana)
    assert len(beto.outbox()) == 3
    settle(ana, beto)
    assert {row.status for row in ana.screen(beto)} == {MessageStatus.READ}


def test_fourteen_days_without_a_receipt_is_failed_and_a_late_one_still_lifts_it(pair: Pair) -> None:
    ana, beto = pair
    sent = ana.write(beto, "tarde")
    waiting = ana.write(beto, "nem saiu")
    envelope = ana.ready(beto)[0].envelope
    assert envelope is not None
    ana.taken(ana.ready(beto)[0], StatusEvent.DEPOSIT_SYNCED, STORED)
    ana.clock.advance(days=14)
    ana.db.run_now(lambda tx: delivery.expire_due(tx, ana.now))
    assert [ana.message(message.id).status for message in (sent, waiting)] == [MessageStatus.FAILED] * 2
    assert ana.waiting() == 0, "what no home would hand over any more is not sent"
    beto.take(envelope)
    settle(ana, beto)
    assert ana.message(sent.id).status is MessageStatus.DELIVERED


def test_sending_again_is_a_new_envelope_with_the_same_message_id(pair: Pair) -> None:
    ana, beto = pair
    sent = ana.write(beto, "de novo")
    (first,) = ana.post(beto)
    with pytest.raises(ConflictError):
        ana.db.run_now(lambda tx: delivery.send_again(tx, sent.id, ana.now, ana.rng))
    ana.clock.advance(days=14)
    ana.db.run_now(lambda tx: delivery.expire_due(tx, ana.now))
    ana.db.run_now(lambda tx: delivery.send_again(tx, sent.id, ana.now, ana.rng))
    (second,) = ana.post(beto)
    assert first.id != second.id
    for envelope in (second, first):
        beto.take(envelope)
    assert beto.texts(ana) == ["de novo"]
    settle(ana, beto)
    assert ana.message(sent.id).status is MessageStatus.DELIVERED


def test_sending_again_is_told_kept_and_refused_where_the_first_time_would_be(pair: Pair) -> None:
    ana, beto = pair
    sent = ana.write(beto, "de novo")
    ana.post(beto)
    ana.clock.advance(days=14)
    ana.db.run_now(lambda tx: delivery.expire_due(tx, ana.now))
    since = ana.db.run_now(lambda tx: tx.event_span())[1]
    ana.db.run_now(lambda tx: delivery.send_again(tx, sent.id, ana.now, ana.rng))
    assert ana.message(sent.id).status is MessageStatus.QUEUED
    (event,) = ana.db.run_now(lambda tx: tx.events_after(since))
    assert (event.kind, event.message_id) == (EventKind.STATUS, sent.id)
    ana.clock.advance(days=14)
    ana.db.run_now(lambda tx: delivery.expire_due(tx, ana.now))
    ana.block(beto)
    with pytest.raises(ConflictError):
        ana.db.run_now(lambda tx: delivery.send_again(tx, sent.id, ana.now, ana.rng))
    assert ana.message(sent.id).status is MessageStatus.FAILED


def test_a_receipt_that_is_faster_than_the_acknowledgement_leaves_the_route_to_it(pair: Pair) -> None:
    ana, beto = pair
    sent = ana.write(beto, "depressa")
    (row,) = ana.ready(beto)
    assert row.envelope is not None
    found_here = msgspec.structs.replace(DIRECT, found_by=FoundBy.LAN)
    beto.take(row.envelope, DIRECT)
    beto.clock.advance(60)
    for envelope in beto.post(ana):
        ana.take(envelope, DIRECT)
    assert (ana.message(sent.id).status, ana.message(sent.id).route) == (MessageStatus.DELIVERED, DIRECT)
    ana.taken(row, StatusEvent.SENT_ON_PATH, found_here)
    assert ana.message(sent.id).route == found_here, "how the path was found only its own side knows"


def test_a_session_is_begun_for_what_is_due_and_lacks_one_and_for_nothing_else(pair: Pair, caio: Phone) -> None:
    ana, beto = pair
    ana.write(beto, "oi")
    for envelope in ana.post(beto):
        beto.take(envelope)
    before = beto.db.run_now(lambda tx: tx.session(ana.address))

    def start(tx: Tx) -> None:
        for account in (ana.account, caio.account):  # caio is nobody here
            delivery.start_sessions(tx, account, fetched, beto.now, beto.rng)

    fetched = ana.fetched()
    beto.db.run_now(start)
    assert beto.db.run_now(lambda tx: tx.session(ana.address)) == before
    assert beto.outbox() == (), "a receipt that waits is not sealed before its time"
    caio.add(beto.invite(), beto)
    caio.write(beto, "oi")
    caio.db.run_now(lambda tx: delivery.start_sessions(tx, beto.account, beto.fetched(), caio.now, caio.rng))
    assert [row.envelope is not None for row in caio.outbox()] == [True]


def test_a_request_that_its_home_would_not_take_is_refused_before_it_is_kept(
    ana: Phone, beto: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    ana.add(beto.invite(), beto)
    ana.write(beto, "oi")
    (envelope,) = ana.post(beto)
    monkeypatch.setattr(outbound, "MAX_REQUEST_ENVELOPE_BYTES", len(envelope.raw))
    ana.write(beto, "oi")
    (again,) = ana.post(beto)
    assert len(again.raw) == len(envelope.raw)
    monkeypatch.setattr(outbound, "MAX_REQUEST_ENVELOPE_BYTES", len(envelope.raw) - 1)
    with pytest.raises(TooLargeError):
        ana.write(beto, "oi")
    assert len(ana.screen(beto)) == 2


def test_send_by_server_marks_what_waits(pair: Pair) -> None:
    ana, beto = pair
    sent = ana.write(beto, "pelo servidor")
    ana.db.run_now(lambda tx: delivery.send_by_server(tx, sent.id, ana.now, ana.rng))
    assert [row.stored_only for row in ana.ready(beto)] == [True]
    ana.post(beto)
    with pytest.raises(ConflictError):
        ana.db.run_now(lambda tx: delivery.send_by_server(tx, sent.id, ana.now, ana.rng))
    with pytest.raises(NotFoundError):
        beto.db.run_now(lambda tx: delivery.send_by_server(tx, sent.id, beto.now, beto.rng))


def test_an_insurance_deposit_after_a_path_took_it_is_no_news(pair: Pair) -> None:
    ana, beto = pair
    sent = ana.write(beto, "seguro")
    (row,) = ana.ready(beto)
    ana.taken(row, StatusEvent.SENT_ON_PATH, DIRECT)
    ana.taken(row, StatusEvent.DEPOSIT_SYNCED, STORED)
    assert (ana.message(sent.id).status, ana.message(sent.id).route) == (MessageStatus.SENT, DIRECT)


def test_keys_are_renewed_every_thirteen_days_until_they_are_confirmed(ana: Phone, beto: Phone) -> None:
    from mepassa.ports.stores import InviteKind

    ana.add(beto.invite(InviteKind.QR), beto)
    (hello,) = ana.post(beto)
    beto.take(hello)
    beto.clock.advance(6)
    lost = beto.post(ana)
    (renewal,) = beto.db.run_now(lambda tx: tx.renewals())
    for _ in range(2):
        beto.clock.advance(days=13)
        beto.db.run_now(lambda tx: delivery.renew_due(tx, beto.now, beto.rng))
        (row,) = beto.ready(ana)
        assert row.message_id == renewal.message_id
        assert row.envelope not in lost
        ana.take(beto.post(ana)[0])
    settle(ana, beto)
    assert beto.db.run_now(lambda tx: tx.renewals()) == ()
    beto.clock.advance(days=13)
    beto.db.run_now(lambda tx: delivery.renew_due(tx, beto.now, beto.rng))
    assert beto.waiting() == 0


def test_a_body_of_a_later_version_holds_its_place_and_is_receipted(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    ana, beto = pair
    sent = ana.write(beto, "figurinha")
    real = decode_content

    def as_later_version(data: bytes) -> Content:
        content = real(data)
        return (
            content
            if isinstance(content.body, Receipt)
            else type(content)(
                content.message_id,
                content.sender_seq,
                content.sent_at_ms,
                content.list_version,
                content.list_hash,
                UnknownBody(99),
            )
        )

    monkeypatch.setattr("mepassa.protocol.inbound.decode_content", as_later_version)
    settle(ana, beto)
    (row,) = beto.screen(ana)
    assert (row.kind, row.text) == (MessageKind.UNKNOWN, "")
    assert ana.message(sent.id).status is MessageStatus.DELIVERED


def test_a_contact_cannot_touch_what_is_not_its_own(pair: Pair, caio: Phone) -> None:
    """Receipts for another chat's messages, and somebody else's message id, change nothing."""
    ana, beto = pair
    befriend(ana, caio)
    to_caio = ana.write(caio, "para o Caio")
    entries = Receipt(ReceiptKind.READ, (ReceiptEntry(to_caio.id),))

    def lie(body: Receipt) -> None:
        contact = beto.contact(ana)

        def work(tx: Tx) -> None:
            content = outbound.make_content(tx, contact, Draft(body, MessageId(bytes(16))), beto.now)
            outbound.address(tx, contact, content, beto.now, beto.rng)

        beto.db.run_now(work)

    lie(entries)
    for envelope in beto.post(ana):
        ana.take(envelope)
    assert ana.message(to_caio.id).status is MessageStatus.QUEUED
    assert len(ana.db.run_now(lambda tx: tx.outbox(caio.account))) == 1


def test_somebody_elses_message_id_is_not_shown_and_gets_no_receipt(
    pair: Pair, caio: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    ana, beto = pair
    befriend(beto, caio)
    first = ana.write(beto, "da Ana")
    settle(ana, beto)
    monkeypatch.setattr(caio.rng, "token", _fixed(caio.rng.token, first.id.raw))
    caio.write(beto, "imitando")
    monkeypatch.undo()
    for envelope in caio.post(beto):
        beto.take(envelope)
    assert beto.texts(caio) == []
    assert beto.message(first.id).text == "da Ana"
    assert beto.waiting() == 0


def _fixed(real: Callable[[int], bytes], value: bytes) -> Callable[[int], bytes]:
    """The first 16 bytes after the client id are the message id."""
    calls = iter([None, value])
    return lambda size: (next(calls, None) if size == 16 else None) or real(size)


def test_the_event_log_tells_what_changed(pair: Pair) -> None:
    ana, beto = pair
    before = ana.db.run_now(lambda tx: tx.event_span())[1]
    sent = ana.write(beto, "eventos")
    settle(ana, beto)
    events = ana.db.run_now(lambda tx: tx.events_after(before))
    assert [(event.kind, event.message_id) for event in events if event.message_id is not None] == [
        (EventKind.MESSAGE, sent.id),
        (EventKind.STATUS, sent.id),
        (EventKind.STATUS, sent.id),
    ]


def test_a_message_to_come_is_not_dated_in_the_future(pair: Pair) -> None:
    ana, beto = pair
    sent = ana.write(beto, "relógio adiantado")
    (envelope,) = ana.post(beto)
    beto.clock.jump_wall(-3_600_000)
    beto.take(envelope)
    assert beto.message(sent.id).sent_at_ms == beto.now
    assert Timestamp(beto.now) <= ana.message(sent.id).sent_at_ms
    assert RouteKind.STORED is STORED.kind


def test_a_key_that_is_none_in_a_bundle_keeps_that_device_waiting_and_raises_nothing(ana: Phone, beto: Phone) -> None:
    """One-time keys are not signed: the home that hands them out may write anything there."""
    ana.add(beto.invite(), beto)
    ana.write(beto, "oi")
    fetched = beto.fetched()
    zero = OneTimePrekey(1, b"\x05" + bytes(32))
    forged = FetchedAccount(
        fetched.device_list, tuple(msgspec.structs.replace(each, one_time_prekey=zero) for each in fetched.bundles)
    )
    ana.db.run_now(lambda tx: delivery.start_sessions(tx, beto.account, forged, ana.now, ana.rng))
    assert ana.db.run_now(lambda tx: tx.session(beto.address)) is None
    settle(ana, beto)
    assert beto.texts(ana) == ["oi"]
