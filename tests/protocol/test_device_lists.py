"""docs/protocol/identity.md, "Device list": which devices may speak for an account, and who says so."""

from dataclasses import replace

import pytest

from mepassa.identity import IdentityKeyPair, decode_device_list
from mepassa.model.device_list import DeviceEntry, SignedDeviceList
from mepassa.model.errors import DeviceListForkError, SignatureError
from mepassa.model.secret import SecretBytes
from mepassa.model.status import ChatState
from mepassa.protocol import contacts
from mepassa.protocol.devices import learn_list, listed_devices, wants_list
from mepassa.protocol.inbound import Fate
from tests.protocol.device_lists import alarms, become_second_device, next_list
from tests.protocol.phones import Phone, befriend


def learn(phone: Phone, other: Phone, signed: SignedDeviceList) -> int:
    contact = phone.contact(other)
    return phone.db.run_now(lambda tx: learn_list(tx, contact, signed)).list_version


def test_a_newer_list_counts_and_a_new_device_is_told(ana: Phone, beto: Phone) -> None:
    befriend(ana, beto)
    signed = next_list(beto, DeviceEntry(2, IdentityKeyPair(SecretBytes(b"2" * 32)).public, 7))
    learn(ana, beto, signed)
    devices = listed_devices(ana.contact(beto))
    assert devices is not None
    assert [entry.device for entry in devices.devices] == [1, 2]
    assert alarms(ana) == ["new_device"]
    ana.write(beto, "aos dois")
    assert [row.to.device for row in ana.outbox()] == [1, 2]


def test_an_older_list_changes_nothing(ana: Phone, beto: Phone) -> None:
    befriend(ana, beto)
    old = ana.contact(beto).device_list
    assert old is not None
    newer = learn(ana, beto, next_list(beto))
    assert learn(ana, beto, old) == newer
    assert ana.contact(beto).list_version == newer


def test_two_lists_of_one_version_are_an_alarm(ana: Phone, beto: Phone) -> None:
    befriend(ana, beto)
    version = ana.contact(beto).list_version
    with pytest.raises(DeviceListForkError):
        learn(ana, beto, next_list(beto, version=version, home_url="https://fork.test"))


def test_a_list_of_another_root_is_refused(ana: Phone, beto: Phone, caio: Phone) -> None:
    befriend(ana, beto)
    with pytest.raises(SignatureError):
        learn(ana, beto, next_list(caio))


def test_the_home_follows_the_list(ana: Phone, beto: Phone) -> None:
    befriend(ana, beto)
    learn(ana, beto, next_list(beto, home_url="https://moved.test"))
    assert ana.contact(beto).home.url == "https://moved.test"


def test_a_message_that_names_a_newer_list_makes_us_want_it(ana: Phone, beto: Phone) -> None:
    befriend(ana, beto)
    signed = next_list(beto)
    version = decode_device_list(signed.body).version
    beto.db.run_now(lambda tx: tx.put_own(replace(tx.own(), device_list=signed, list_version=version)))
    beto.write(ana, "tenho lista nova")
    received = [ana.take(envelope) for envelope in beto.post(ana)]
    assert [entry.list_wanted for entry in received] == [True]
    assert wants_list(ana.contact(beto))
    learn(ana, beto, signed)
    assert not wants_list(ana.contact(beto))


def test_an_unlisted_device_waits_for_the_list_unopened_and_unacknowledged(ana: Phone, beto: Phone) -> None:
    befriend(ana, beto)
    signed = become_second_device(beto)
    beto.write(ana, "do aparelho novo")
    (envelope,) = beto.post(ana)
    before = ana.db.run_now(lambda tx: tx.event_span())
    assert ana.take(envelope).fate is Fate.WAITS_FOR_LIST
    assert ana.take(envelope).fate is Fate.WAITS_FOR_LIST, "nothing was kept, not even its id"
    assert ana.db.run_now(lambda tx: tx.event_span()) == before
    learn(ana, beto, signed)
    # A session of Beto's first device does not fit the second: it is asked for again, which is what healing is for.
    assert ana.take(envelope, list_is_fresh=True).fate in {Fate.OPENED, Fate.COULD_NOT_OPEN}


def test_a_device_that_the_fetched_list_does_not_name_is_dropped_with_a_note(ana: Phone, beto: Phone) -> None:
    befriend(ana, beto)
    become_second_device(beto)
    beto.write(ana, "de ninguém")
    (envelope,) = beto.post(ana)
    assert ana.take(envelope, list_is_fresh=True).fate is Fate.DROPPED
    assert alarms(ana) == ["unlisted_device"]
    assert ana.take(envelope).fate is Fate.SEEN_BEFORE


def test_devices_that_no_list_names_are_told_once_whatever_comes_between(ana: Phone, beto: Phone) -> None:
    befriend(ana, beto)
    become_second_device(beto)
    for number in range(5):
        beto.write(ana, f"de ninguém, {number}")
        ana.write(beto, "enquanto isso")
        for envelope in beto.post(ana):
            assert ana.take(envelope, list_is_fresh=True).fate is Fate.DROPPED
    assert alarms(ana) == ["unlisted_device"]


def test_adding_somebody_again_does_not_bring_an_older_list_back(ana: Phone, beto: Phone) -> None:
    """A device that was removed meanwhile must not be let in by blocking and adding anew."""
    befriend(ana, beto)
    old = ana.contact(beto).device_list
    assert old is not None
    version = learn(ana, beto, next_list(beto, home_url="https://moved.test"))
    ana.db.run_now(lambda tx: contacts.block(tx, beto.account, ana.now, ana.rng))
    ana.add(beto.invite(), beto)  # its home hands out what it had before
    contact = ana.contact(beto)
    assert (contact.state, contact.list_version) == (ChatState.REQUESTED, version)
    assert contact.home.url == "https://moved.test"
    assert contact.profile_key is None


def test_a_removed_device_gets_nothing_more(ana: Phone, beto: Phone) -> None:
    befriend(ana, beto)
    spare = DeviceEntry(2, IdentityKeyPair(SecretBytes(b"2" * 32)).public, 7)
    signed = next_list(beto, spare)
    learn(ana, beto, signed)
    version = decode_device_list(signed.body).version
    beto.db.run_now(lambda tx: tx.put_own(replace(tx.own(), device_list=signed, list_version=version)))
    ana.write(beto, "para os dois")
    learn(ana, beto, next_list(beto, drop=2))
    assert [row.to.device for row in ana.ready(beto)] == [1]
    assert [row.to.device for row in ana.outbox()] == [1]
