"""Presence in the DHT: one bootstrap role, clients with throw-away hosts (docs/protocol/presence.md). Real sockets."""

import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path

import psutil
import pytest
from libp2p.kad_dht import common, kad_dht, peer_routing, provider_store, value_store

from mepassa.identity import IdentityKeyPair, PresenceKeyPair, utc_day
from mepassa.model.errors import PortTakenError
from mepassa.model.ids import AccountId, Address, Timestamp
from mepassa.p2p import dht as dht_module
from mepassa.p2p.addresses import TcpAddress
from mepassa.p2p.dht import KAD_PROTOCOL, DhtNode, _denied, any_near
from mepassa.p2p.guest import TrioGuest
from mepassa.p2p.host import DialFailure, HostDialError, P2pHost
from mepassa.p2p.presence import make_presence
from mepassa.ports.rng import SystemRng
from mepassa.server.bootstrap import BootstrapConfig, BootstrapRole
from mepassa.server.bootstrap.role import load_or_make_key
from mepassa.testing import ManualClock
from mepassa.transports.libp2p import DhtUnreachableError, ListenFacts, PresenceClient
from mepassa.wire.presence import LIFE_MS, PresenceBody

LOOPBACK = TcpAddress(IPv4Address("127.0.0.1"), 0)
OWN = Address(AccountId(b"a" * 16), 1)
LISTENING = ListenFacts("12D3KooWCSL1nq98jKeC1VUmcrXY6RbraubQcaMpFz3R2nj8Df73", ("/ip4/127.0.0.1/tcp/4001",))


class World:
    """A DHT server and a wall clock turned by hand, all in one process."""

    def __init__(self, guest: TrioGuest) -> None:
        self.guest, self.clock = guest, ManualClock()
        self.presence, self.device = PresenceKeyPair.generate(), IdentityKeyPair.generate()

    def node(self, *, server: bool) -> DhtNode:
        return DhtNode(self.guest, server=server, now_ms=self.clock.now_ms, allow_loopback=True)

    def client(self, *bootstrap: str) -> PresenceClient:
        return PresenceClient(guest=self.guest, clock=self.clock, bootstrap=bootstrap, allow_loopback=True)

    async def serve(self, *peers: str) -> tuple[DhtNode, str]:
        node = self.node(server=True)
        address = (await node.start([LOOPBACK]))[0]
        if peers:
            assert await node.join(peers) == len(peers)
        return node, f"{address}/p2p/{node.peer_id}"

    def record(self, sequence: int, *, day: int | None = None) -> tuple[str, bytes]:
        body = PresenceBody(LISTENING.peer_id, LISTENING.addresses)
        day = utc_day(self.clock.now_ms()) if day is None else day
        return make_presence(self.presence, OWN, day=day, body=body, sequence=sequence, sign=self.device.sign)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    before = psutil.Process().net_connections()
    guest = TrioGuest()
    await guest.start()
    yield World(guest)
    await guest.stop()
    assert psutil.Process().net_connections() == before


async def test_what_one_publishes_another_finds_by_the_dht_alone(world: World) -> None:
    server, multiaddr = await world.serve()
    took = await world.client(multiaddr).publish(world.presence, OWN, LISTENING, world.device.sign)
    assert took == 1
    found = await world.client(multiaddr).look_up(world.presence.public, [(OWN, world.device.public)])
    assert [(one.device, one.peer_id, one.addresses) for one in found] == [
        (OWN, LISTENING.peer_id, LISTENING.addresses)
    ]
    assert await world.client(multiaddr).look_up(PresenceKeyPair.generate().public, [(OWN, world.device.public)]) == ()
    assert (
        await world.client(multiaddr).look_up(world.presence.public, [(OWN, IdentityKeyPair.generate().public)]) == ()
    )
    await server.stop()


async def test_a_newer_record_replaces_the_older_and_not_the_other_way_round(world: World) -> None:
    server, multiaddr = await world.serve()
    now_ms = world.clock.now_ms()
    client = world.node(server=False)
    await client.start()
    await client.join([multiaddr])
    key, new = world.record(now_ms)
    _, old = world.record(now_ms - 1000)
    assert await client.put(key, old) == 1
    assert await client.put(key, new) == 1
    assert await client.put(key, old) == 0
    assert await client.get(key) == new
    await client.stop()
    await server.stop()


async def test_expired_forged_future_and_foreign_records_are_refused_by_the_receiver(world: World) -> None:
    """The client side checks nothing when it puts: these reach the server as an attacker's would."""
    server, multiaddr = await world.serve()
    now_ms = world.clock.now_ms()
    client = world.node(server=False)
    await client.start()
    await client.join([multiaddr])
    key, good = world.record(now_ms)
    other_key, _ = world.record(now_ms, day=1)
    for bad_key, bad in (
        world.record(now_ms - LIFE_MS),
        world.record(now_ms + 11 * 60_000),
        (key, good[:-1] + bytes([good[-1] ^ 1])),
        (other_key, good),
        (key, good + bytes(1025 - len(good))),
        (key, b"x"),
        ("/pk/" + "a" * 40, good),
        ("/ipns/" + "a" * 40, good),
        ("plain", good),
    ):
        assert await client.put(bad_key, bad) == 0
    assert server.values == 0
    assert await client.put(key, good) == 1
    await client.stop()
    await server.stop()


async def test_a_record_that_has_expired_is_found_no_more_and_then_forgotten(world: World) -> None:
    server, multiaddr = await world.serve()
    await world.client(multiaddr).publish(world.presence, OWN, LISTENING, world.device.sign)
    world.clock.advance(LIFE_MS / 1000)
    assert await world.client(multiaddr).look_up(world.presence.public, [(OWN, world.device.public)]) == ()
    assert server.values == 1
    server.forget_expired()
    assert server.values == 0
    await server.stop()


async def test_yesterdays_and_tomorrows_slots_are_looked_at_too(world: World) -> None:
    server, multiaddr = await world.serve()
    for days in (1, -1):
        client = world.node(server=False)
        await client.start()
        await client.join([multiaddr])
        presence = PresenceKeyPair.generate()
        world.presence = presence
        await client.put(*world.record(world.clock.now_ms(), day=utc_day(world.clock.now_ms()) + days))
        await client.stop()
        found = await world.client(multiaddr).look_up(presence.public, [(OWN, world.device.public)])
        assert [one.device for one in found] == [OWN]
    await server.stop()


async def test_servers_that_know_each_other_both_keep_it_so_one_may_go(world: World) -> None:
    first, first_address = await world.serve()
    second, second_address = await world.serve(first_address)
    assert await world.client(first_address).publish(world.presence, OWN, LISTENING, world.device.sign) == 2
    await first.stop()
    found = await world.client(first_address, second_address).look_up(
        world.presence.public, [(OWN, world.device.public)]
    )
    assert [one.device for one in found] == [OWN]
    await second.stop()


async def test_without_any_node_it_is_said_soon(world: World) -> None:
    for bootstrap in ((), ("/ip4/127.0.0.1/tcp/1/p2p/" + LISTENING.peer_id,), ("nonsense", "/ip4/127.0.0.1/tcp/1")):
        with pytest.raises(DhtUnreachableError):
            await world.client(*bootstrap).look_up(world.presence.public, [(OWN, world.device.public)])


async def test_streams_on_which_nothing_is_said_do_not_keep_others_out(world: World) -> None:
    server, multiaddr = await world.serve()
    address = TcpAddress(LOOPBACK.ip, int(multiaddr.split("/")[4]))
    idler = P2pHost(world.guest)
    await idler.start()
    idle = [await idler.dial(address, server.peer_id, KAD_PROTOCOL) for _ in range(dht_module.MAX_SERVED_PER_NETWORK)]
    assert sum(server._served.values()) == dht_module.MAX_SERVED_PER_NETWORK
    with suppress(HostDialError):  # the reset may come before the protocol is agreed on, or after
        extra = await idler.dial(address, server.peer_id, KAD_PROTOCOL)
        assert await extra.read(10) == b""
        await extra.close()
    for stream in idle:
        await stream.close()
    await idler.stop()
    await server.stop()


async def test_the_name_on_the_wire_is_our_own(world: World) -> None:
    assert {module.PROTOCOL_ID for module in (common, kad_dht, peer_routing, provider_store, value_store)} <= {
        "/ipfs/kad/1.0.0",
        KAD_PROTOCOL,
    }
    server, multiaddr = await world.serve()
    asker = P2pHost(world.guest)
    await asker.start()
    address = TcpAddress(LOOPBACK.ip, int(multiaddr.split("/")[4]))
    await (await asker.dial(address, server.peer_id, "/mepassa/kad/1")).close()
    with pytest.raises(HostDialError) as caught:
        await asker.dial(address, server.peer_id, "/ipfs/kad/1.0.0")
    assert caught.value.failure is DialFailure.FAILED
    await asker.stop()
    await server.stop()


def test_what_the_dht_names_in_ones_own_network_is_dialled_only_where_the_dht_is_there_too() -> None:
    assert {"127.0.0.0/8", "10.0.0.0/8"} <= set(_denied(allow_loopback=False, near=False))
    assert "10.0.0.0/8" not in _denied(allow_loopback=False, near=True)
    assert "127.0.0.0/8" not in _denied(allow_loopback=True, near=False)
    assert any_near(["nonsense", "/ip4/10.1.2.3/tcp/1"])
    assert not any_near(["/ip4/203.0.113.5/tcp/1"])


async def test_the_bootstrap_role_serves_says_where_and_keeps_its_name_over_a_restart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock(start_ms=Timestamp(1_790_000_000_000))
    config = BootstrapConfig(listen_host="127.0.0.1", port=0, data=tmp_path, peers=("/ip4/127.0.0.1/tcp/1",))
    names = []
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            role = BootstrapRole(config, clock=clock)
            (multiaddr,) = (await role.start()).multiaddrs
            assert multiaddr.startswith("/ip4/127.0.0.1/tcp/")
            names.append(multiaddr.rpartition("/")[2])
            await role.stop()
            await role.stop()
    assert names[0] == names[1]
    assert (tmp_path / "bootstrap-key").stat().st_mode & 0o777 == 0o600
    assert not caplog.records


async def test_a_taken_bootstrap_port_is_said(tmp_path: Path) -> None:
    first = BootstrapRole(BootstrapConfig(listen_host="127.0.0.1", port=0, data=tmp_path))
    (multiaddr,) = (await first.start()).multiaddrs
    port = int(multiaddr.split("/")[4])
    second = BootstrapRole(BootstrapConfig(listen_host="127.0.0.1", port=port, data=tmp_path))
    with pytest.raises(PortTakenError):
        await second.start()
    await second.stop()
    await first.stop()


async def test_a_role_that_listens_everywhere_tells_its_public_address(tmp_path: Path) -> None:
    role = BootstrapRole(BootstrapConfig(listen_host="0.0.0.0", port=0, data=tmp_path, public_address="203.0.113.9"))
    (multiaddr,) = (await role.start()).multiaddrs
    assert multiaddr.startswith("/ip4/203.0.113.9/tcp/")
    await role.stop()


def test_a_broken_key_file_is_replaced_and_a_good_one_kept(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "key"
    first = load_or_make_key(path, SystemRng())
    assert load_or_make_key(path, SystemRng()) == first
    path.write_bytes(b"short")
    assert len(load_or_make_key(path, SystemRng())) == 32


async def test_whatever_a_strange_node_makes_the_library_raise_is_no_more_than_an_unreachable_dht(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, multiaddr = await world.serve()

    async def confused(*_: object) -> None:
        raise KeyError("words from a stranger")

    monkeypatch.setattr("libp2p.kad_dht.peer_routing.PeerRouting.find_closest_peers_network", confused)
    with pytest.raises(DhtUnreachableError):
        await world.client(multiaddr).publish(world.presence, OWN, LISTENING, world.device.sign)
    with pytest.raises(DhtUnreachableError):
        await world.client(multiaddr).look_up(world.presence.public, [(OWN, world.device.public)])
    await server.stop()
