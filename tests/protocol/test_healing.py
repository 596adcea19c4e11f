"""docs/protocol/delivery.md, "Healing": what could not be opened comes again, within bounds, and no poison loops."""

import shutil
from pathlib import Path

import pytest

from mepassa.model.envelope import SealedEnvelope
from mepassa.model.ids import EnvelopeId, Timestamp
from mepassa.model.status import MessageStatus
from mepassa.ports.stores import Tx
from mepassa.protocol import delivery, healing
from mepassa.protocol.account import begin_run, local_identity, roll_forward, run_counter, sender_certificate
from mepassa.protocol.healing import AMONG_NEWEST, MAX_REQUESTS_PER_ENVELOPE, MAX_STAND_INS
from mepassa.protocol.inbound import Fate
from mepassa.protocol.own_prekeys import pending_upload, stock_up
from mepassa.protocol.sealing import ResendRequest, open_sealed, seal, seal_plaintext
from mepassa.protocol.session import MessageType, SessionRecord, archive
from mepassa.protocol.status import StatusEvent
from tests.protocol.phones import DIRECT, STORED, Phone, befriend, settle


@pytest.fixture
def pair(ana: Phone, beto: Phone) -> tuple[Phone, Phone]:
    befriend(ana, beto)
    ana.write(beto, "antes")
    beto.write(ana, "antes")
    settle(ana, beto)
    return ana, beto


Pair = tuple[Phone, Phone]


def lose_sessions(phone: Phone) -> None:
    def work(tx: Tx) -> None:
        for peer in tx.sessions():
            tx.put_session(peer, SessionRecord.EMPTY.to_bytes())

    phone.db.run_now(work)


def poison(sender: Phone, reader: Phone, body: bytes | None = None) -> SealedEnvelope:
    """Sealed as it should be, around a message that no session opens: a true one with its last byte changed."""
    if body is None:
        sender.write(reader, "verdadeira")
        unsealed = open_sealed(local_identity(reader.own), sender.post(reader)[0])
        body = unsealed.body[:-1] + bytes([unsealed.body[-1] ^ 1])
    message = body

    def work(tx: Tx) -> SealedEnvelope:
        certificate, identity = sender_certificate(tx, sender.own, sender.now), local_identity(sender.own)
        return seal(identity, certificate, reader.own.identity_key, MessageType.SIGNAL, message, rng=sender.rng)

    return sender.db.run_now(work)


def test_a_lost_session_heals_itself(pair: Pair) -> None:
    ana, beto = pair
    lose_sessions(beto)
    sent = [ana.write(beto, text) for text in ("um", "dois", "três")]
    envelopes = ana.post(beto)
    assert [beto.take(envelope).fate for envelope in envelopes] == [Fate.COULD_NOT_OPEN] * 3
    assert beto.unopened(ana) == 3
    settle(ana, beto)
    assert beto.texts(ana) == ["antes", "um", "dois", "três"]
    assert beto.unopened(ana) == 0
    assert [ana.message(row.id).status for row in sent] == [MessageStatus.DELIVERED] * 3
    assert ana.db.run_now(lambda tx: tx.resets_since(beto.address, Timestamp(0))) == 1, "one reset for all three"


def test_what_was_kept_of_an_unopened_envelope_goes_when_its_content_has_come(pair: Pair) -> None:
    ana, beto = pair
    lose_sessions(beto)
    ana.write(beto, "três")
    (envelope,) = ana.post(beto)
    beto.take(envelope)
    assert beto.db.run_now(lambda tx: tx.unopened(envelope.id)) is not None
    settle(ana, beto)
    assert beto.texts(ana)[-1] == "três"
    assert beto.db.run_now(lambda tx: tx.unopened(envelope.id)) is None


def test_both_sides_lost_their_sessions(pair: Pair) -> None:
    ana, beto = pair
    lose_sessions(ana)
    lose_sessions(beto)
    ana.write(beto, "da Ana")
    beto.write(ana, "do Beto")
    settle(ana, beto)
    assert (beto.texts(ana)[-1], ana.texts(beto)[-1]) == ("da Ana", "do Beto")


def test_a_receipt_that_does_not_open_is_sent_again_too(pair: Pair) -> None:
    ana, beto = pair
    sent = ana.write(beto, "recibo?")
    beto.take(ana.post(beto)[0], DIRECT)
    lose_sessions(ana)
    settle(ana, beto)
    assert ana.message(sent.id).status is MessageStatus.DELIVERED
    assert ana.unopened(beto) == 0


def test_poison_costs_one_row_and_three_requests(pair: Pair) -> None:
    """Nothing answers for an envelope that was never made; after three requests the row stays."""
    ana, beto = pair
    envelope = poison(ana, beto)
    assert beto.take(envelope).fate is Fate.COULD_NOT_OPEN
    assert beto.take(envelope).fate is Fate.SEEN_BEFORE
    asked = 0
    for _ in range(100):
        for request in beto.post(ana):
            asked += ana.take(request).fate is Fate.OPENED
        beto.clock.advance(1800)
        beto.db.run_now(lambda tx: healing.ask_again(tx, beto.now, beto.rng))
    assert asked == MAX_REQUESTS_PER_ENVELOPE
    assert beto.unopened(ana) == 1
    assert ana.waiting() == 0
    ana.write(beto, "depois")
    settle(ana, beto)
    assert beto.texts(ana)[-1] == "depois"


def test_a_flood_of_poison_is_bounded_on_the_screen_and_in_requests(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(healing, "MAX_UNANSWERED", 50)
    ana, beto = pair
    true = poison(ana, beto)
    body = open_sealed(local_identity(beto.own), true).body
    for number in range(60):
        changed = body[:-2] + number.to_bytes(2, "big")
        assert beto.take(poison(ana, beto, changed)).fate is Fate.COULD_NOT_OPEN
    assert beto.unopened(ana) == MAX_STAND_INS
    assert len(beto.outbox()) == 50
    for number in range(AMONG_NEWEST):
        beto.write(ana, f"{number}")
    assert beto.take(true).fate is Fate.COULD_NOT_OPEN
    assert beto.unopened(ana) == MAX_STAND_INS + 1, "what is long past does not count"


def test_more_than_are_shown_is_healed_all_the_same(pair: Pair) -> None:
    ana, beto = pair
    lose_sessions(beto)
    sent = [f"mensagem {number}" for number in range(MAX_STAND_INS + 10)]
    for text in sent:
        ana.write(beto, text)
    for envelope in ana.post(beto):
        assert beto.take(envelope).fate is Fate.COULD_NOT_OPEN
    assert beto.unopened(ana) == MAX_STAND_INS
    settle(ana, beto)
    assert beto.texts(ana) == ["antes", *sent]
    assert beto.unopened(ana) == 0


def test_poison_without_a_ratchet_key_asks_for_nothing(pair: Pair) -> None:
    ana, beto = pair
    assert beto.take(poison(ana, beto, b"")).fate is Fate.COULD_NOT_OPEN
    assert beto.waiting() == 0
    assert beto.unopened(ana) == 1


def test_bytes_that_are_no_envelope_leave_no_trace(pair: Pair) -> None:
    ana, beto = pair
    before = beto.db.run_now(lambda tx: tx.event_span())
    for number in range(50):
        assert beto.take(SealedEnvelope(beto.rng.token(1 + number * 20))).fate is Fate.DROPPED
    ana.write(beto, "alterada")
    (envelope,) = ana.post(beto)
    for place in range(0, len(envelope.raw), 37):
        raw = bytearray(envelope.raw)
        raw[place] ^= 1
        assert beto.take(SealedEnvelope(bytes(raw))).fate is Fate.DROPPED
    assert beto.db.run_now(lambda tx: tx.event_span()) == before
    assert beto.waiting() == 0
    assert beto.take(envelope).fate is Fate.OPENED


def test_an_envelope_for_somebody_else_is_dropped(pair: Pair, caio: Phone) -> None:
    ana, beto = pair
    ana.write(beto, "não é sua")
    assert caio.take(ana.post(beto)[0]).fate is Fate.DROPPED


def request_from(asker: Phone, other: Phone, envelope_id: EnvelopeId, ratchet_key: bytes) -> SealedEnvelope:
    def work(tx: Tx) -> SealedEnvelope:
        certificate = sender_certificate(tx, asker.own, asker.now)
        request = ResendRequest(envelope_id, ratchet_key, asker.now, other.address.device)
        return seal_plaintext(local_identity(asker.own), certificate, other.own.identity_key, request, rng=asker.rng)

    return asker.db.run_now(work)


def test_only_the_device_that_it_was_made_for_is_answered(pair: Pair, caio: Phone) -> None:
    ana, beto = pair
    befriend(ana, caio)
    ana.write(beto, "segredo")
    (envelope,) = ana.post(beto)
    sent = ana.db.run_now(lambda tx: tx.sent(envelope.id))
    assert sent is not None
    ana.take(request_from(caio, ana, envelope.id, sent.ratchet_key))
    assert ana.waiting() == 0
    ana.take(request_from(beto, ana, envelope.id, sent.ratchet_key))
    assert [row.to for row in ana.outbox()] == [beto.address]


def test_what_expired_here_is_still_sent_again(pair: Pair) -> None:
    """It got there, and no word of that came back: it did not open, and is asked for a day later."""
    ana, beto = pair
    sent = ana.write(beto, "esperei duas semanas")
    (row,) = ana.ready(beto)
    assert row.envelope is not None
    lose_sessions(beto)
    assert beto.take(row.envelope).fate is Fate.COULD_NOT_OPEN
    ana.clock.advance(days=14)
    ana.db.run_now(lambda tx: delivery.expire_due(tx, ana.now))
    assert (ana.waiting(), ana.message(sent.id).status) == (0, MessageStatus.FAILED)
    settle(ana, beto)
    assert beto.texts(ana)[-1] == "esperei duas semanas"


def test_asking_on_and_on_is_answered_three_times(pair: Pair) -> None:
    ana, beto = pair
    ana.write(beto, "outra vez")
    (envelope,) = ana.post(beto)
    sent = ana.db.run_now(lambda tx: tx.sent(envelope.id))
    assert sent is not None
    answers = []
    for _ in range(10):
        ana.take(request_from(beto, ana, envelope.id, sent.ratchet_key))
        answers += ana.post(beto)
        ana.clock.advance(120)
    assert len(answers) == MAX_REQUESTS_PER_ENVELOPE


def test_a_resend_that_fails_again_is_counted_with_the_first(pair: Pair) -> None:
    """Every copy is asked for anew under its own id; the chain still ends."""
    ana, beto = pair
    ana.write(beto, "amaldiçoada")
    envelopes = ana.post(beto)
    for _ in range(10):
        for envelope in list(envelopes):
            sent = ana.db.run_now(lambda tx: tx.sent(envelope.id))
            assert sent is not None
            ana.take(request_from(beto, ana, envelope.id, sent.ratchet_key))
            envelopes += ana.post(beto)
            ana.clock.advance(61)
    assert len(envelopes) <= 1 + 2**MAX_REQUESTS_PER_ENVELOPE


def test_resets_are_one_a_minute_and_twenty_a_day(pair: Pair) -> None:
    ana, beto = pair
    resets = []
    for _ in range(60):
        ana.write(beto, "x")
        for envelope in ana.post(beto):
            sent = ana.db.run_now(lambda tx: tx.sent(envelope.id))
            assert sent is not None
            ana.take(request_from(beto, ana, envelope.id, sent.ratchet_key))
        ana.clock.advance(31)
        resets.append(ana.db.run_now(lambda tx: tx.resets_since(beto.address, Timestamp(0))))
    assert resets[:4] == [1, 1, 2, 2]
    assert resets[-1] == 20


def test_what_was_sealed_anew_under_way_is_not_taken_for_brought(pair: Pair) -> None:
    """A deposit of the old envelope is reported after a reset has unsealed its row: the row stays and goes out anew."""
    ana, beto = pair
    ana.write(beto, "um")
    (first,) = ana.post(beto)
    sent = ana.write(beto, "dois")
    (under_way,) = ana.ready(beto)
    row = ana.db.run_now(lambda tx: tx.sent(first.id))
    assert row is not None
    ana.take(request_from(beto, ana, first.id, row.ratchet_key))
    ana.taken(under_way, StatusEvent.DEPOSIT_SYNCED, STORED)
    assert sent.id in {entry.message_id for entry in ana.outbox()}
    settle(ana, beto)
    assert beto.texts(ana)[-1] == "dois"


def test_the_asker_changes_no_session(pair: Pair) -> None:
    ana, beto = pair
    before = beto.db.run_now(lambda tx: [tx.session(peer) for peer in tx.sessions()])
    beto.take(poison(ana, beto))
    assert beto.db.run_now(lambda tx: [tx.session(peer) for peer in tx.sessions()]) == before


# --- databases restored from a copy -----------------------------------------------------------------------------------


def backup(phone: Phone, folder: Path) -> Path:
    phone.reopen()
    folder.mkdir(exist_ok=True)
    for path in phone.path.parent.glob(phone.path.name + "*"):
        shutil.copy(path, folder)
    return folder


def restore(phone: Phone, folder: Path) -> None:
    phone.db.close()
    for path in phone.path.parent.glob(phone.path.name + "*"):
        path.unlink()
    for path in folder.iterdir():
        shutil.copy(path, phone.path.parent)
    phone.reopen()


def live_on(ana: Phone, beto: Phone, words: range) -> None:
    for number in words:
        ana.write(beto, f"a{number}")
        beto.write(ana, f"b{number}")
        settle(ana, beto, route=DIRECT)


def test_a_restored_database_that_nobody_noticed_heals_on_use(pair: Pair, tmp_path: Path) -> None:
    """The home was away, so no roll-back was told: the copy's ratchet repeats itself, and is asked for anew."""
    ana, beto = pair
    kept = backup(ana, tmp_path / "copy")
    live_on(ana, beto, range(5))
    restore(ana, kept)
    ana.write(beto, "da cópia")
    beto.write(ana, "para a cópia")
    settle(ana, beto)
    assert beto.texts(ana)[-1] == "da cópia"
    assert ana.texts(beto)[-1] == "para a cópia"
    assert (ana.unopened(beto), beto.unopened(ana)) == (0, 0)


def test_both_restored_and_told_so_converge(pair: Pair, tmp_path: Path) -> None:
    ana, beto = pair
    copies = [backup(phone, tmp_path / phone.name) for phone in pair]
    live_on(ana, beto, range(5))
    for phone, other, kept in zip(pair, (beto, ana), copies, strict=True):
        restore(phone, kept)
        assert phone.db.run_now(lambda tx: roll_forward(tx, 41)) == 42
        phone.db.run_now(lambda tx: stock_up(tx, phone.now, phone.rng))
        phone.handed_out.clear()
        assert phone.db.run_now(pending_upload).replace  # type: ignore[union-attr]  # there is one
        assert other is not phone
    ana.write(beto, "da Ana")
    beto.write(ana, "do Beto")
    settle(ana, beto)
    assert (beto.texts(ana)[-1], ana.texts(beto)[-1]) == ("da Ana", "do Beto")
    assert (ana.unopened(beto), beto.unopened(ana)) == (0, 0)


def test_what_waited_in_a_rolled_back_outbox_is_sealed_anew_and_shown_once(pair: Pair, tmp_path: Path) -> None:
    ana, beto = pair
    ana.write(beto, "esperando")
    kept = backup(ana, tmp_path / "copy")
    settle(ana, beto)
    restore(ana, kept)
    ana.db.run_now(lambda tx: roll_forward(tx, 7))
    assert [row.envelope for row in ana.outbox()] == [None]
    settle(ana, beto)
    assert beto.texts(ana).count("esperando") == 1
    assert [row.status for row in ana.screen(beto) if row.sender == ana.account] == [MessageStatus.DELIVERED] * 2


def test_the_run_counter_only_rises(ana: Phone) -> None:
    assert [ana.db.run_now(begin_run) for _ in range(3)] == [1, 2, 3]
    assert ana.db.run_now(lambda tx: roll_forward(tx, 2)) == 4
    assert ana.db.run_now(run_counter) == 4


def test_an_archived_session_waits_for_new_prekeys_and_then_sends(pair: Pair) -> None:
    ana, beto = pair
    record = ana.db.run_now(lambda tx: tx.session(beto.address))
    assert record is not None
    ana.db.run_now(lambda tx: tx.put_session(beto.address, archive(SessionRecord.from_bytes(record)).to_bytes()))
    ana.write(beto, "sessão nova")
    assert [row.envelope for row in ana.outbox()] == [None]
    settle(ana, beto)
    assert beto.texts(ana)[-1] == "sessão nova"


def test_a_sender_certificate_is_renewed_when_half_is_left(ana: Phone) -> None:
    def show() -> bytes:
        return ana.db.run_now(lambda tx: sender_certificate(tx, ana.own, ana.now))

    first = show()
    ana.clock.advance(days=29)
    assert show() == first
    ana.clock.advance(days=2)
    assert show() != first
