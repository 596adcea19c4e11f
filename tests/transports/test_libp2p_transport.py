"""Links over real libp2p connections on loopback (docs/protocol/link.md)."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Address
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mepassa.model.addresses import IpAddress
from mepassa.model.errors import LinkLostError, PathRefusedError
from mepassa.model.route import AddressClass, FoundBy, RouteKind, RouteTransport
from mepassa.p2p.addresses import parse_multiaddr
from mepassa.p2p.hardening import HostLimits
from mepassa.p2p.host import P2pHost
from mepassa.ports.transport import LinkFacts
from mepassa.transports.libp2p import (
    DialFailedError,
    DialFailure,
    Libp2pConfig,
    Libp2pTransport,
    ListenFacts,
    TrioGuest,
)
from mepassa.transports.libp2p.transport import MAX_UNPROVEN_PER_NETWORK, PROTOCOL
from mepassa.transports.link import CloseCause, HelloRefusedError
from tests.transports.link_peers import Person, Recorder, envelope, two_friends

ROOT = Path(__file__).parents[2]
CONFIG = Libp2pConfig(listen=(IPv4Address("127.0.0.1"),), allow_loopback=True)


@pytest.fixture
async def guest() -> AsyncIterator[TrioGuest]:
    before = psutil.Process().net_connections()
    running = TrioGuest()
    await running.start()
    yield running
    await running.stop()
    assert psutil.Process().net_connections() == before


class Node:
    def __init__(self, guest: TrioGuest, me: Person, config: Libp2pConfig = CONFIG) -> None:
        self.me, self.recorder = me, Recorder()
        self.transport = Libp2pTransport(config, me, self.recorder, guest=guest)
        self.facts = ListenFacts("", ())

    async def dial(self, other: "Node", *, peer: Person | None = None) -> "asyncio.Future[None] | object":
        facts = other.facts
        return await self.transport.dial(
            (peer or other.me).own, facts.peer_id, facts.addresses, FoundBy.SIGNAL, timeout_s=5
        )


@asynccontextmanager
async def nodes(guest: TrioGuest, *people: Person) -> AsyncIterator[tuple[Node, ...]]:
    made = tuple(Node(guest, person) for person in people)
    for node in made:
        node.facts = await node.transport.start()
    try:
        yield made
    finally:
        for node in made:
            await node.transport.stop()


async def test_two_friends_link_and_exchange_acknowledged_envelopes_both_ways(guest: TrioGuest) -> None:
    async with nodes(guest, *two_friends()) as (ana, bruno):
        started = asyncio.get_running_loop().time()
        link = await ana.transport.dial(
            bruno.me.own, bruno.facts.peer_id, bruno.facts.addresses, FoundBy.LAST_KNOWN, timeout_s=5
        )
        print(f"connect, hellos included: {(asyncio.get_running_loop().time() - started) * 1000:.1f} ms")
        await asyncio.gather(*(link.send(envelope(number)) for number in range(50)))
        assert len(bruno.recorder.received) == 50
        assert link.peer == bruno.me.own
        assert link.facts == LinkFacts(
            RouteKind.DIRECT, RouteTransport.LIBP2P, AddressClass.LOOPBACK, FoundBy.LAST_KNOWN
        )
        back = bruno.transport.links.live(ana.me.own)[-1]
        assert back.facts.found_by is None
        await back.send(envelope(99, 36_000))
        assert ana.recorder.received == [envelope(99, 36_000)]
        await link.close()
        await back.wait_closed()


async def test_each_start_has_a_new_peer_id_and_concrete_addresses(guest: TrioGuest) -> None:
    async with nodes(guest, Person(1), Person(2)) as (first, second):
        assert first.facts.peer_id != second.facts.peer_id
        assert all(address.startswith("/ip4/127.0.0.1/tcp/") for address in first.facts.addresses)


async def test_loopback_is_neither_listened_on_nor_dialled_unless_allowed(guest: TrioGuest) -> None:
    ana, bruno = two_friends()
    careful = Node(guest, ana, Libp2pConfig(listen=(IPv4Address("127.0.0.1"),)))
    assert (await careful.transport.start()).addresses == ()
    async with nodes(guest, bruno) as (other,):
        with pytest.raises(DialFailedError) as caught:
            await careful.dial(other)
        assert set(caught.value.failures.values()) == {DialFailure.NOT_ALLOWED}
        assert caught.value.all_refused
    await careful.transport.stop()


async def test_a_dial_tries_all_addresses_and_says_what_became_of_each(guest: TrioGuest) -> None:
    ana, bruno = two_friends()

    def never_seven(ip: IpAddress) -> bool:
        return str(ip) != "127.0.0.7"

    async with nodes(guest, bruno) as (other,):
        transport = Libp2pTransport(CONFIG, ana, Recorder(), guest=guest, may_dial=never_seven)
        await transport.start()
        good = other.facts.addresses[0]
        bad = (
            "/ip4/127.0.0.1/tcp/1",
            "/ip4/127.0.0.7/tcp/9",
            "/dns4/example.org/tcp/1",
            "/ip4/169.254.1.1/tcp/1",
            f"{good}/p2p/{transport.listening.peer_id}",
        )
        offered = (*bad, f"{good}/p2p/{other.facts.peer_id}")
        link = await transport.dial(bruno.own, other.facts.peer_id, offered, FoundBy.DHT, timeout_s=5)
        assert link.is_open
        with pytest.raises(DialFailedError) as caught:
            await transport.dial(bruno.own, other.facts.peer_id, bad, FoundBy.DHT, timeout_s=5)
        assert caught.value.failures == {
            bad[0]: DialFailure.REFUSED,
            bad[1]: DialFailure.NOT_ALLOWED,
            bad[2]: DialFailure.NOT_ALLOWED,
            bad[3]: DialFailure.NOT_ALLOWED,
            bad[4]: DialFailure.WRONG_PEER,
        }
        assert caught.value.all_refused
        await transport.stop()


async def test_of_several_addresses_that_answer_one_carries_the_link_and_the_others_are_closed(
    guest: TrioGuest,
) -> None:
    ana, bruno = two_friends()
    local = Libp2pConfig(listen=tuple(IPv4Address(f"127.0.0.{n}") for n in range(1, 9)), allow_loopback=True)
    wide = Node(guest, bruno, local)
    wide.facts = await wide.transport.start()
    assert len(wide.facts.addresses) == 8
    async with nodes(guest, ana) as (dialler,):
        await dialler.dial(wide)
        assert len(wide.recorder.opened) == 1
        ports = {int(address.rpartition("/")[2]) for address in wide.facts.addresses}
        for _ in range(200):  # the losers close a moment later
            if len([one for one in psutil.Process().net_connections() if one.raddr and one.raddr.port in ports]) == 1:
                break
            await asyncio.sleep(0.05)
        else:
            pytest.fail("connections that lost the race stay open")
    await wide.transport.stop()


async def test_only_the_named_peer_id_will_do(guest: TrioGuest) -> None:
    ana, bruno = two_friends()
    async with nodes(guest, ana, bruno) as (dialler, other):
        for wrong in (dialler.facts.peer_id, "nonsense"):
            with pytest.raises(DialFailedError) as caught:
                await dialler.transport.dial(bruno.own, wrong, other.facts.addresses, FoundBy.SIGNAL, timeout_s=5)
            assert set(caught.value.failures.values()) == {DialFailure.WRONG_PEER}


async def test_strangers_unlisted_devices_and_hellos_for_others_are_refused(guest: TrioGuest) -> None:
    ana, bruno = two_friends()
    stranger, tablet = Person(3), Person(1, device=2)
    for outsider in (stranger, tablet):
        outsider.listed[bruno.own] = bruno.key.public
    async with nodes(guest, ana, bruno, stranger, tablet) as (friend, target, *outsiders):
        for outsider_node in outsiders:
            with pytest.raises(PathRefusedError):
                await outsider_node.dial(target)
        with pytest.raises(PathRefusedError):
            await friend.dial(target, peer=Person(7))
        assert target.recorder.opened == []
        await friend.dial(target)


async def test_a_stranger_who_says_nothing_does_not_take_every_place(guest: TrioGuest) -> None:
    ana, bruno = two_friends()
    async with nodes(guest, ana, bruno) as (friend, target):
        silent = P2pHost(guest, limits=HostLimits(max_connections=64))
        await silent.start()
        address, _ = parse_multiaddr(target.facts.addresses[0])
        streams = [
            await silent.dial(address, target.facts.peer_id, PROTOCOL) for _ in range(MAX_UNPROVEN_PER_NETWORK + 1)
        ]
        reads = [asyncio.ensure_future(stream.read(1)) for stream in streams]
        ended, waiting = await asyncio.wait(reads, return_when=asyncio.FIRST_COMPLETED)
        assert ended == {reads[-1]}
        assert reads[-1].result() == b""
        for stream in streams:
            await stream.close()
        await asyncio.gather(*waiting)
        while target.transport.unproven:
            await asyncio.sleep(0.01)
        await friend.dial(target)
        await silent.stop()


async def test_an_impostor_with_the_right_peer_id_is_unmasked_by_its_hello(guest: TrioGuest) -> None:
    ana, bruno = two_friends()
    impostor = Person(2)
    impostor.key, impostor.listed = Person(9).key, bruno.listed
    async with nodes(guest, ana, impostor) as (dialler, fake):
        with pytest.raises(HelloRefusedError):
            await dialler.dial(fake, peer=bruno)
        assert dialler.recorder.opened == []


async def test_switched_off_it_closes_links_and_neither_dials_nor_accepts(guest: TrioGuest) -> None:
    async with nodes(guest, *two_friends()) as (ana, bruno):
        await ana.dial(bruno)
        bruno.transport.set_direct(on=False)
        await ana.recorder.opened[0].wait_closed()
        with pytest.raises(PathRefusedError):
            await bruno.dial(ana)
        with pytest.raises(PathRefusedError):
            await ana.dial(bruno)
        bruno.transport.set_direct(on=True)
        await ana.dial(bruno)


@pytest.mark.slow
async def test_switched_to_silence_a_message_gets_no_acknowledgement_and_the_path_is_given_up(
    guest: TrioGuest,
) -> None:
    async with nodes(guest, *two_friends()) as (ana, bruno):
        await ana.dial(bruno)
        bruno.transport.set_direct(on=False, how="silence")
        await asyncio.sleep(0)  # it acts in the loop's next turn, a send at once
        link = ana.transport.links.live()[0]
        with pytest.raises(LinkLostError):
            await link.send(envelope(1))
        assert link.cause is CloseCause.SILENT
        assert bruno.recorder.received == []


async def test_garbage_on_the_stream_closes_it(guest: TrioGuest) -> None:
    async with nodes(guest, *two_friends()) as (ana, bruno):
        host = ana.transport._host
        address, _ = parse_multiaddr(bruno.facts.addresses[0])
        stream = await host.dial(address, bruno.facts.peer_id, PROTOCOL)
        await stream.write(b"\xff" * 64)
        assert await stream.read(100) == b""  # and not a byte before it
        await stream.close()
        await ana.dial(bruno)


@given(st.lists(st.text(max_size=80), max_size=20), st.text(max_size=60))
def test_whatever_addresses_a_contact_names_they_are_sorted_out_before_any_dial(
    addresses: list[str], extra: str
) -> None:
    sorter = object.__new__(Libp2pTransport)  # the sorting alone: no host, no loop
    sorter._config, sorter._may_dial = CONFIG, lambda _: True
    admitted, failures = sorter._admit([*addresses, f"/ip4/{extra}/tcp/1"], "peer")
    assert len(admitted) + len(failures) <= 16
    assert not set(admitted) & set(failures)


@asynccontextmanager
async def peer_process(number: int, friend: int) -> AsyncIterator[tuple[asyncio.subprocess.Process, ListenFacts]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.transports.libp2p_peer", str(number), str(friend)),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        ready = json.loads(await process.stdout.readline())
        yield process, ListenFacts(ready["peer_id"], tuple(ready["addresses"]))
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        await process.communicate()


@pytest.mark.slow
async def test_a_peer_that_is_killed_or_frozen_is_noticed(guest: TrioGuest) -> None:
    """SIGSTOP through link pings in less than five seconds, SIGKILL through its closed socket."""
    ana, bruno = two_friends()
    loop = asyncio.get_running_loop()
    async with nodes(guest, ana) as (dialler,), peer_process(2, 1) as (process, facts):
        link = await dialler.transport.dial(bruno.own, facts.peer_id, facts.addresses, FoundBy.SIGNAL, timeout_s=10)
        await link.send(envelope(1))
        process.send_signal(signal.SIGSTOP)
        started = loop.time()
        await link.wait_closed()
        print(f"frozen peer noticed after {loop.time() - started:.1f} s")
        assert link.cause is CloseCause.SILENT
        process.send_signal(signal.SIGCONT)
        again = await dialler.transport.dial(bruno.own, facts.peer_id, facts.addresses, FoundBy.SIGNAL, timeout_s=10)
        await again.send(envelope(2))
        process.kill()
        started = loop.time()
        await again.wait_closed()
        print(f"killed peer noticed after {(loop.time() - started) * 1000:.0f} ms")
        assert again.cause is CloseCause.STREAM_ENDED
