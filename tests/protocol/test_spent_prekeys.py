"""docs/protocol/session.md, "Prekeys": one transaction makes the session and spends what made it; a replay makes none."""

import pytest

from mepassa.model.envelope import SealedEnvelope
from mepassa.ports.stores import PrekeyKind, Tx
from mepassa.protocol import delivery, inbound
from mepassa.protocol.account import local_identity, sender_certificate
from mepassa.protocol.inbound import Arrival, Fate
from mepassa.protocol.own_prekeys import pending_upload, stock_up, uploaded
from mepassa.protocol.prekeys import KEEP_MS, ROTATE_AFTER_MS, ConsumedPrekeys, end_old_prekeys
from mepassa.protocol.sealing import open_sealed, seal
from mepassa.protocol.session_record import SessionRecord
from mepassa.protocol.session_rows import load_session
from tests.protocol.phones import STORED, Phone, befriend


def spent(phone: Phone) -> tuple[int, int]:
    """One-time keys that are gone, of each kind."""
    kinds = (PrekeyKind.ONE_TIME, PrekeyKind.KYBER_ONE_TIME)
    ec, kyber = (100 - phone.db.run_now(lambda tx: tx.prekey_count(kind)) for kind in kinds)
    return ec, kyber


def first_message(ana: Phone, beto: Phone, *, one_time: bool = True) -> SealedEnvelope:
    """A PreKey message, in a session that Beto does not know yet."""
    befriend(ana, beto)
    lose_session(ana, beto)
    lose_session(beto, ana)
    ana.write(beto, "oi")
    fetched = beto.fetched(one_time=one_time)
    ana.db.run_now(lambda tx: delivery.start_sessions(tx, beto.account, fetched, ana.now, ana.rng))
    (envelope,) = ana.post(beto)
    return envelope


def sealed_again(envelope: SealedEnvelope, sender: Phone, reader: Phone) -> SealedEnvelope:
    """The same Signal message in other sealed bytes: only its sender could make them, and no envelope id tells."""

    def work(tx: Tx) -> SealedEnvelope:
        own, inside = tx.own(), open_sealed(local_identity(reader.own), envelope)
        certificate = sender_certificate(tx, own, sender.now)
        return seal(local_identity(own), certificate, reader.own.identity_key, inside.type, inside.body, rng=sender.rng)

    again = sender.db.run_now(work)
    assert again.id != envelope.id
    return again


def lose_session(phone: Phone, other: Phone) -> None:
    phone.db.run_now(lambda tx: tx.put_session(other.address, SessionRecord.EMPTY.to_bytes()))


def test_a_session_and_its_one_time_prekeys_are_one_commit(ana: Phone, beto: Phone) -> None:
    envelope, before = first_message(ana, beto), spent(beto)
    assert beto.take(envelope).fate is Fate.OPENED
    assert spent(beto) == (before[0] + 1, before[1] + 1)
    assert beto.texts(ana) == ["oi"]


def test_a_commit_that_fails_spends_nothing(ana: Phone, beto: Phone) -> None:
    envelope, before = first_message(ana, beto), spent(beto)

    class PowerCut(Exception):
        pass

    def cut(tx: Tx) -> None:
        received = inbound.receive(tx, envelope, Arrival(STORED), beto.now, beto.rng)
        assert received.fate is Fate.OPENED
        raise PowerCut

    with pytest.raises(PowerCut):
        beto.db.run_now(cut)
    assert (spent(beto), beto.texts(ana)) == (before, [])
    assert beto.take(envelope).fate is Fate.OPENED


def test_a_session_that_spends_nothing_would_be_seen(ana: Phone, beto: Phone, monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted fault, so that the two tests above cannot pass by chance."""
    envelope, before = first_message(ana, beto), spent(beto)

    def forget(_tx: Tx, _consumed: ConsumedPrekeys) -> None: ...

    monkeypatch.setattr(inbound, "consume", forget)
    beto.take(envelope)
    assert spent(beto) == before


@pytest.mark.parametrize("one_time", [True, False])
def test_a_replayed_first_message_is_recognised_by_its_session(ana: Phone, beto: Phone, *, one_time: bool) -> None:
    envelope = first_message(ana, beto, one_time=one_time)
    again = sealed_again(envelope, ana, beto)
    beto.take(envelope)
    record, before = beto.db.run_now(lambda tx: tx.session(ana.address)), spent(beto)
    assert beto.take(envelope).fate is Fate.SEEN_BEFORE
    assert beto.take(again).fate is Fate.COULD_NOT_OPEN
    assert (beto.db.run_now(lambda tx: tx.session(ana.address)), spent(beto)) == (record, before)
    assert beto.texts(ana) == ["oi"]


@pytest.mark.parametrize("one_time", [True, False])
def test_a_replay_after_its_session_was_lost_makes_no_session(ana: Phone, beto: Phone, *, one_time: bool) -> None:
    """By the one-time prekey that is gone, or by what is remembered of the last-resort one."""
    envelope = first_message(ana, beto, one_time=one_time)
    again = sealed_again(envelope, ana, beto)
    beto.take(envelope)
    lose_session(beto, ana)
    assert beto.take(again).fate is Fate.COULD_NOT_OPEN
    assert not has_session(beto, ana)


def test_a_replay_is_refused_for_as_long_as_the_last_resort_prekey_is_kept_and_after(ana: Phone, beto: Phone) -> None:
    """The memory ends with the prekey, which then opens nothing any more."""
    envelope = first_message(ana, beto, one_time=False)
    replays = [sealed_again(envelope, ana, beto) for _ in range(2)]
    beto.take(envelope)
    lose_session(beto, ana)
    beto.clock.advance(ROTATE_AFTER_MS / 1000)
    told(beto)
    for replay, passed_ms, kept in ((replays[0], KEEP_MS - 1, 2), (replays[1], 1, 1)):
        beto.clock.advance(passed_ms / 1000)
        beto.db.run_now(lambda tx: end_old_prekeys(tx, beto.now))
        assert len(beto.db.run_now(lambda tx: tx.prekeys(PrekeyKind.KYBER_LAST_RESORT))) == kept
        assert beto.take(replay).fate is Fate.COULD_NOT_OPEN
        assert not has_session(beto, ana)


def told(phone: Phone) -> None:
    """New signed and last-resort keys, known to the home."""
    phone.db.run_now(lambda tx: stock_up(tx, phone.now, phone.rng))
    upload = phone.db.run_now(pending_upload)
    assert upload is not None
    phone.db.run_now(lambda tx: uploaded(tx, upload))


def has_session(phone: Phone, other: Phone) -> bool:
    return phone.db.run_now(lambda tx: load_session(tx, other.address)) != SessionRecord.EMPTY


def test_a_prekey_opens_what_was_sealed_just_before_it_ended(ana: Phone, beto: Phone) -> None:
    """Thirty days after its successor came to the home, less a millisecond; not a millisecond later."""
    envelope = first_message(ana, beto, one_time=False)
    beto.clock.advance(ROTATE_AFTER_MS / 1000)
    told(beto)
    beto.clock.advance((KEEP_MS - 1) / 1000)
    beto.db.run_now(lambda tx: end_old_prekeys(tx, beto.now))
    assert_would(beto, envelope, Fate.OPENED)
    beto.clock.advance(0.001)
    beto.db.run_now(lambda tx: end_old_prekeys(tx, beto.now))
    assert_would(beto, envelope, Fate.COULD_NOT_OPEN)


def assert_would(phone: Phone, envelope: SealedEnvelope, fate: Fate) -> None:
    """On a copy: the transaction is rolled back."""

    class Back(Exception):
        pass

    def work(tx: Tx) -> None:
        assert inbound.receive(tx, envelope, Arrival(STORED), phone.now, phone.rng).fate is fate
        raise Back

    with pytest.raises(Back):
        phone.db.run_now(work)
