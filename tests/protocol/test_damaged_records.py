"""docs/protocol/session.md, "Saved form": one damaged record costs one set-up, told once; nothing stops and nothing is lost."""

from collections.abc import Callable

import pytest

from mepassa.ports.stores import EventKind, Tx
from mepassa.protocol.account import begin_run, roll_forward
from mepassa.protocol.inbound import Fate
from mepassa.protocol.own_prekeys import stock_up
from mepassa.protocol.session import SessionRecord
from tests.protocol.phones import Phone, befriend, settle

Pair = tuple[Phone, Phone]


@pytest.fixture
def pair(ana: Phone, beto: Phone) -> Pair:
    befriend(ana, beto)
    ana.write(beto, "antes")
    beto.write(ana, "antes")
    settle(ana, beto)
    return ana, beto


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _record: b"",
    "cut": lambda record: record[:100],
    "another version": lambda record: b"\x7f" + record[1:],
    "longer": lambda record: record + b"\x00",
    "zeros": lambda record: bytes(len(record)),
}


def damage(phone: Phone, peer: Phone, how: Callable[[bytes], bytes]) -> None:
    def work(tx: Tx) -> None:
        record = tx.session(peer.address)
        assert record is not None
        tx.put_session(peer.address, how(record))

    phone.db.run_now(work)


def alarms(phone: Phone) -> list[str | None]:
    events = phone.db.run_now(lambda tx: tx.events_after(0))
    return [event.note for event in events if event.kind is EventKind.ALARM]


@pytest.mark.parametrize("how", DAMAGES.values(), ids=DAMAGES.keys())
def test_what_a_damaged_record_does_not_open_comes_again(pair: Pair, how: Callable[[bytes], bytes]) -> None:
    ana, beto = pair
    ana.write(beto, "chega?")
    envelope = ana.post(beto)[0]
    damage(beto, ana, how)
    assert beto.take(envelope).fate is Fate.COULD_NOT_OPEN
    assert beto.unopened(ana) == 1
    settle(ana, beto)
    assert beto.texts(ana) == ["antes", "chega?"]
    assert beto.unopened(ana) == 0
    assert alarms(beto) == ["session_damaged"]


def test_sending_goes_on_in_a_new_session(pair: Pair) -> None:
    ana, beto = pair
    damage(ana, beto, DAMAGES["cut"])
    ana.write(beto, "e agora?")
    settle(ana, beto)
    beto.write(ana, "agora sim")
    settle(ana, beto)
    assert (beto.texts(ana), ana.texts(beto)) == (["antes", "e agora?"], ["antes", "agora sim"])
    assert alarms(ana) == ["session_damaged"]
    assert alarms(beto) == []


def test_a_new_session_begins_over_a_record_that_was_damaged_meanwhile(pair: Pair) -> None:
    """`start_sessions` meets it: the row was composed while the record was gone, and the record is damaged since."""
    ana, beto = pair
    ana.db.run_now(lambda tx: tx.put_session(beto.address, SessionRecord.EMPTY.to_bytes()))
    ana.write(beto, "espera a chave")
    damage(ana, beto, DAMAGES["another version"])
    settle(ana, beto)
    assert beto.texts(ana) == ["antes", "espera a chave"]
    assert alarms(ana) == ["session_damaged"]


def test_a_resend_request_is_answered_over_a_damaged_record(pair: Pair) -> None:
    ana, beto = pair
    ana.write(beto, "de novo?")
    envelope = ana.post(beto)[0]
    damage(beto, ana, DAMAGES["cut"])
    beto.take(envelope)
    damage(ana, beto, DAMAGES["zeros"])
    settle(ana, beto)
    assert beto.texts(ana) == ["antes", "de novo?"]
    assert alarms(ana) == ["session_damaged"]


def test_a_roll_back_archives_the_other_sessions_all_the_same(pair: Pair, caio: Phone) -> None:
    ana, beto = pair
    befriend(ana, caio)
    damage(ana, beto, DAMAGES["cut"])
    ana.db.run_now(begin_run)
    assert ana.db.run_now(lambda tx: roll_forward(tx, 7)) == 8
    ana.db.run_now(lambda tx: stock_up(tx, ana.now, ana.rng))
    for peer in (beto, caio):
        ana.write(peer, "voltei")
        settle(ana, peer)
        assert peer.texts(ana)[-1] == "voltei"
    assert alarms(ana) == ["session_damaged", "state_rolled_back"]


def test_a_strangers_envelope_for_a_damaged_record_is_dropped_and_the_next_one_opens(ana: Phone, beto: Phone) -> None:
    ana.add(beto.invite(), beto)
    ana.write(beto, "oi")
    for envelope in ana.post(beto):
        beto.take(envelope)
    damage(beto, ana, DAMAGES["cut"])
    ana.write(beto, "tudo bem?")
    assert [beto.take(envelope).fate for envelope in ana.post(beto)] == [Fate.DROPPED]
    assert alarms(beto) == ["session_damaged"]
