"""Whose keys may answer a link hello, and which devices nothing goes to any more (docs/protocol/identity.md)."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from mepassa.client.link_identity import DbLinkIdentity
from mepassa.identity import IdentityKeyPair
from mepassa.model.device_list import DeviceEntry
from mepassa.model.ids import Address
from mepassa.model.route import Policy
from mepassa.model.secret import SecretBytes
from mepassa.protocol import contacts, own_devices
from mepassa.protocol.signalling import open_signal, seal_signal
from mepassa.testing import ManualClock
from tests.protocol.device_lists import next_list
from tests.protocol.phones import Phone, befriend
from tests.protocol.street import current_list, learn, link
from tests.protocol.test_signalling import offer


@pytest.fixture
def friends(tmp_path: Path) -> Iterator[tuple[Phone, Phone]]:
    clock = ManualClock()
    ana, beto = (Phone(name, tmp_path / f"{name}.db", clock) for name in ("ana", "beto"))
    befriend(ana, beto)
    yield ana, beto
    for phone in (ana, beto):
        phone.db.close()


@pytest.fixture
def ana(friends: tuple[Phone, Phone]) -> Phone:
    return friends[0]


@pytest.fixture
def beto(friends: tuple[Phone, Phone]) -> Phone:
    return friends[1]


def identity_of(phone: Phone) -> DbLinkIdentity:
    identity = DbLinkIdentity(phone.db, phone.own)
    asyncio.run(identity.refresh())
    return identity


def test_our_other_devices_may_open_links_and_this_one_may_not(ana: Phone, beto: Phone) -> None:
    ana2 = link(ana, "ana2")
    identity = identity_of(ana)
    assert identity.peer_key(beto.address) == beto.own.identity_key
    assert identity.peer_key(ana2.address) == ana2.own.identity_key
    assert identity.direct_peer_key(ana2.address) == ana2.own.identity_key
    assert identity.peer_key(ana.address) is None
    ana2.db.close()


def test_what_ends_is_told_once(ana: Phone, beto: Phone) -> None:
    ana2 = link(ana, "ana2")
    identity = identity_of(ana)
    assert identity.ended == frozenset()
    fresh = IdentityKeyPair(SecretBytes(b"f" * 32))
    spare = IdentityKeyPair(SecretBytes(b"g" * 32))
    learn(ana, beto.account, next_list(beto, DeviceEntry(2, spare.public, 5)))
    asyncio.run(identity.refresh())
    assert identity.ended == frozenset(), "a new device ends nothing"
    ana.clock.advance(1)
    entries = (DeviceEntry(1, beto.own.identity_key, beto.own.registration_id), DeviceEntry(2, fresh.public, 5))
    learn(ana, beto.account, next_list(beto, *entries, drop=1))
    asyncio.run(identity.refresh())
    assert identity.ended == {Address(beto.account, 2)}, "set up anew: a link with the old key must not stay"
    assert identity.peer_key(Address(beto.account, 2)) == fresh.public
    ana.db.run_now(lambda tx: own_devices.remove_device(tx, ana.root, 2, ana.now, ana.rng))
    asyncio.run(identity.refresh())
    assert identity.ended == {ana2.address}
    ana.block(beto)
    asyncio.run(identity.refresh())
    assert identity.ended == {beto.address, Address(beto.account, 2)}
    asyncio.run(identity.refresh())
    assert identity.ended == frozenset()
    ana2.db.close()


def test_a_policy_ends_nothing(ana: Phone, beto: Phone) -> None:
    identity = identity_of(ana)
    ana.db.run_now(lambda tx: contacts.set_policy(tx, beto.account, Policy.HIDE_MY_IP, ana.now, ana.rng))
    asyncio.run(identity.refresh())
    assert identity.ended == frozenset()
    assert identity.peer_key(beto.address) is not None
    assert identity.direct_peer_key(beto.address) is None


def test_own_devices_signal_each_other(ana: Phone) -> None:
    ana2 = link(ana, "ana2")
    signal = offer(ana.now)
    sealed, _ = ana.db.run_now(lambda tx: seal_signal(tx, ana2.address, signal, ana.now, ana.rng))
    assert ana2.db.run_now(lambda tx: open_signal(tx, sealed, ana2.now)) == (ana.address, signal)
    assert current_list(ana2) == current_list(ana)
    ana2.db.close()
