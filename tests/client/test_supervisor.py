"""A node is not ended from outside: a service that fails runs again, a network that cannot be used is tried again."""

import asyncio
import logging
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from mepassa.client.home import HomeState
from mepassa.client.link_identity import DbLinkIdentity
from mepassa.client.network import NetworkWatch, OwnNetwork
from mepassa.client.supervisor import keep_running
from mepassa.client.transports import Transports
from mepassa.model.errors import MalformedError
from mepassa.model.route import Policy
from mepassa.ports.clock import SystemClock
from mepassa.protocol import contacts
from mepassa.storage import SqlDb, open_database
from mepassa.testing import ManualClock, SeededRng
from mepassa.transports.ice import IceTransport, QuicCertificate
from mepassa.transports.libp2p import Libp2pConfig, Libp2pTransport, TrioGuest
from tests.protocol.phones import HOME, KEY, Phone, befriend
from tests.transports.link_peers import Person, Recorder


async def test_a_service_that_fails_runs_again_and_its_error_is_told_by_class_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    runs, third = 0, asyncio.Event()

    async def service() -> None:
        nonlocal runs
        runs += 1
        if runs == 3:
            third.set()
            await asyncio.Event().wait()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fail())

    async def fail() -> None:
        raise OverflowError("198.51.100.7")

    with caplog.at_level(logging.ERROR):
        task = asyncio.create_task(keep_running(service))
        await asyncio.wait_for(third.wait(), 20)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert [record.__dict__["errors"] for record in caplog.records] == ["OverflowError", "OverflowError"]


async def test_a_node_whose_addresses_cannot_be_bound_dials_all_the_same() -> None:
    """An IPv6 address that the router has just announced is in the list and cannot be listened on for a second."""
    guest = TrioGuest()
    await guest.start()
    ana, bruno = Person(1), Person(2)
    ana.befriend(bruno)

    def make(network: OwnNetwork) -> Libp2pTransport:
        return Libp2pTransport(Libp2pConfig(network.listen, allow_loopback=True), ana, Recorder(), guest=guest)

    clock = SystemClock()
    ice = IceTransport(identity=ana, handler=Recorder(), certificate=QuicCertificate.make(clock.now_ms()))
    watch = NetworkWatch(allow_loopback=True)
    transports = Transports(
        ice, HomeState(HOME), watch, make, rng=SeededRng(1), allow_loopback_paths=True, private_home=True
    )
    await transports.start()
    nobodys = OwnNetwork((IPv4Address("192.0.2.1"),), (), frozenset())
    assert not await transports.listen_anew(nobodys)
    assert not list(transports.listening.addresses)
    assert await transports.listen_anew(OwnNetwork((IPv4Address("127.0.0.1"),), (), frozenset()))
    assert len(transports.listening.addresses) == 1
    await transports.stop()
    await guest.stop()


async def test_what_could_not_be_listened_on_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = NetworkWatch(allow_loopback=True)
    looks: Iterator[OwnNetwork | None] = iter([None, *[OwnNetwork((), (), frozenset())] * 9])

    def look(*, allow_loopback: bool) -> OwnNetwork:
        assert allow_loopback
        seen = next(looks)
        if seen is None:
            raise MalformedError
        return seen

    monkeypatch.setattr("mepassa.client.network.look_at_network", look)
    monkeypatch.setattr("mepassa.client.network.LOOK_EVERY_S", 0.01)
    told, enough = 0, asyncio.Event()

    async def on_change(_network: OwnNetwork) -> bool:
        nonlocal told
        told += 1
        if told == 3:
            enough.set()
        return told >= 3

    task = asyncio.create_task(watch.run(on_change))
    await asyncio.wait_for(enough.wait(), 20)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_contact_from_whom_we_hide_is_a_stranger_to_direct_links(tmp_path: Path) -> None:
    clock = ManualClock()
    ana, beto = (Phone(name, tmp_path / f"{name}.db", clock) for name in ("ana", "beto"))
    befriend(ana, beto)
    ana.db.close()
    db: SqlDb = await open_database(ana.path, KEY)
    identity = DbLinkIdentity(db, ana.own)
    direct = identity.for_direct_links()
    await identity.refresh()
    assert direct.peer_key(beto.address) == identity.peer_key(beto.address) is not None
    await db.run(lambda tx: contacts.set_policy(tx, beto.account, Policy.HIDE_MY_IP, ana.now, ana.rng))
    await identity.refresh()
    assert direct.peer_key(beto.address) is None
    assert identity.peer_key(beto.address) is not None
    assert (direct.own, direct.list_version) == (identity.own, identity.list_version)
    assert direct.sign(b"x") == identity.sign(b"x") or len(direct.sign(b"x")) == 64
    await db.close()
    beto.db.close()
