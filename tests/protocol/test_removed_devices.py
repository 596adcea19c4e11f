"""docs/protocol/identity.md: what a device that was removed, or was never listed, can still say and lift."""

from dataclasses import replace

from mepassa.model.status import ChatState, MessageStatus
from mepassa.ports.mailbox import FetchedAccount
from mepassa.protocol import delivery, own_devices
from mepassa.protocol.inbound import Fate
from mepassa.protocol.session_record import SessionRecord
from mepassa.protocol.session_rows import load_session
from mepassa.protocol.status import StatusEvent
from tests.protocol.phones import DIRECT, Phone, befriend
from tests.protocol.street import current_list, learn, link


def test_the_late_acknowledgement_of_a_removed_device_lifts_nothing(ana: Phone, beto: Phone) -> None:
    befriend(ana, beto)
    second = link(beto, "beto2")
    learn(ana, beto.account, current_list(beto))
    sent = ana.write(beto, "para quem está na lista")
    fetched = FetchedAccount(current_list(beto), beto.fetched().bundles + second.fetched().bundles)
    ana.db.run_now(lambda tx: delivery.start_sessions(tx, beto.account, fetched, ana.now, ana.rng))
    under_way = next(row for row in ana.outbox() if row.to == second.address and row.message_id == sent.id)
    beto.clock.advance(10)
    beto.db.run_now(lambda tx: own_devices.remove_device(tx, beto.root, second.address.device, beto.now, beto.rng))
    learn(ana, beto.account, current_list(beto))
    ana.taken(under_way, StatusEvent.OPENED_ON_PATH, DIRECT)
    assert ana.message(sent.id).status is MessageStatus.QUEUED


def test_a_removed_device_does_not_speak_to_who_has_not_accepted_yet(ana: Phone, beto: Phone) -> None:
    card = ana.invite()
    second = link(beto, "beto2")
    beto.add(card, ana)
    second.add(card, ana)
    beto.clock.advance(10)
    beto.db.run_now(lambda tx: own_devices.remove_device(tx, beto.root, second.address.device, beto.now, beto.rng))
    beto.own = beto.db.run_now(lambda tx: tx.own())
    beto.write(ana, "oi")
    assert [ana.take(envelope).fate for envelope in beto.post(ana)] == [Fate.OPENED]
    assert ana.contact(beto).state is ChatState.REQUEST
    second.write(ana, "eu também sou o Beto")
    assert [ana.take(envelope).fate for envelope in second.post(ana)] == [Fate.DROPPED]
    assert ana.texts(beto) == ["oi"]
    assert ana.db.run_now(lambda tx: tx.session(second.address)) is None


def test_a_list_version_of_the_far_future_is_not_believed(ana: Phone, beto: Phone) -> None:
    befriend(ana, beto)
    own = beto.own
    beto.db.run_now(lambda tx: tx.put_own(replace(own, list_version=2**53)))
    beto.write(ana, "da versão do fim dos tempos")
    assert [ana.take(envelope).list_wanted for envelope in beto.post(ana)] == [False]
    beto.db.run_now(lambda tx: tx.put_own(own))
    beto.clock.advance(100)
    link(beto, "beto2")
    assert learn(ana, beto.account, current_list(beto)), "the true list counts"


def test_prekeys_that_came_for_another_device_replace_no_session_that_sends(ana: Phone, beto: Phone) -> None:
    befriend(ana, beto)
    second = link(beto, "beto2")
    learn(ana, beto.account, current_list(beto))
    before = ana.db.run_now(lambda tx: load_session(tx, beto.address))
    ana.write(beto, "oi")
    stepped = ana.db.run_now(lambda tx: load_session(tx, beto.address))
    beto.write(ana, "recibo à espera")
    for envelope in beto.post(ana):
        ana.take(envelope)
    bundles = beto.fetched().bundles + second.fetched().bundles
    fetched = FetchedAccount(current_list(beto), bundles)
    ana.db.run_now(lambda tx: delivery.start_sessions(tx, beto.account, fetched, ana.now, ana.rng))
    after = ana.db.run_now(lambda tx: load_session(tx, beto.address))
    assert base_key(before) == base_key(stepped) == base_key(after)
    assert ana.db.run_now(lambda tx: load_session(tx, second.address)).has_current


def base_key(record: SessionRecord) -> bytes:
    assert record.current is not None
    return record.current.base_key
