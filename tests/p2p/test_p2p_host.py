"""The libp2p host and what it is hardened against (docs/decisions/0050). Real sockets on loopback."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address

import psutil
import pytest
import trio
import uvloop
from hypothesis import given
from hypothesis import strategies as st
from libp2p.abc import INetStream
from libp2p.network.stream.exceptions import StreamError
from libp2p.peer.peerstore import PeerStore
from multiaddr import Multiaddr

from mepassa.model.errors import LinkLostError, MalformedError
from mepassa.model.route import AddressClass
from mepassa.p2p.addresses import TcpAddress, parse_multiaddr
from mepassa.p2p.guest import TrioGuest
from mepassa.p2p.hardening import HostLimits, LastingPeerStore, network_of
from mepassa.p2p.host import DialFailure, HostDialError, ListenError, P2pHost
from mepassa.p2p.stream import HostStream
from mepassa.p2p.yamux import WIDE_WINDOW_BYTES

ECHO = "/mepassa/test/1"
LOOPBACK = TcpAddress(IPv4Address("127.0.0.1"), 0)


@pytest.fixture
async def guest() -> AsyncIterator[TrioGuest]:
    running = TrioGuest()
    await running.start()
    yield running
    await running.stop()


@pytest.fixture(autouse=True)
def no_socket_is_left() -> Iterator[None]:
    before = psutil.Process().net_connections()
    yield
    assert psutil.Process().net_connections() == before


class Listener:
    """A host that keeps what it accepts."""

    def __init__(self, guest: TrioGuest, limits: HostLimits | None = None) -> None:
        self.host = P2pHost(guest, limits=limits)
        self.streams: asyncio.Queue[HostStream] = asyncio.Queue()
        self.host.on_stream(ECHO, self.streams.put_nowait)

    async def start(self) -> TcpAddress:
        return (await self.host.start([LOOPBACK]))[0]


async def test_bytes_go_both_ways_and_both_sides_know_the_proven_peer(guest: TrioGuest) -> None:
    dialler, listener = P2pHost(guest), Listener(guest)
    address = await listener.start()
    await dialler.start()
    near = await dialler.dial(address, listener.host.peer_id, ECHO)
    await near.write(b"ping")
    far = await listener.streams.get()
    assert await far.read(100) == b"ping"
    assert (near.peer_id, far.peer_id) == (listener.host.peer_id_bytes, dialler.peer_id_bytes)
    assert near.remote == address
    await far.write(b"pong" * 100_000)
    received = b""
    while len(received) < 400_000:
        received += await near.read(50_000)
    assert received == b"pong" * 100_000
    await near.close()
    assert await far.read(100) == b""
    with pytest.raises(LinkLostError):
        await near.write(b"x")
    await dialler.stop()
    await listener.host.stop()


async def test_both_address_families_are_listened_on_and_known_at_the_other_end(guest: TrioGuest) -> None:
    dialler, listener = P2pHost(guest), Listener(guest)
    await dialler.start()
    for address in await listener.host.start([LOOPBACK, TcpAddress(IPv6Address("::1"), 0)]):
        near = await dialler.dial(address, listener.host.peer_id, ECHO)
        far = await listener.streams.get()
        assert near.remote == address
        assert far.remote is not None
        assert far.remote.ip == address.ip
        await near.close()
    await dialler.stop()
    await listener.host.stop()


async def test_only_the_exact_peer_id_is_accepted_and_a_closed_port_says_refused(guest: TrioGuest) -> None:
    dialler, listener = P2pHost(guest), Listener(guest)
    address = await listener.start()
    await dialler.start()
    stranger = P2pHost(guest)
    for target, peer_id, expected in (
        (address, stranger.peer_id, DialFailure.WRONG_PEER),
        (address, "nonsense", DialFailure.WRONG_PEER),
        (TcpAddress(address.ip, 1), listener.host.peer_id, DialFailure.REFUSED),
    ):
        with pytest.raises(HostDialError) as caught:
            await dialler.dial(target, peer_id, ECHO)
        assert caught.value.failure is expected
    with pytest.raises(HostDialError) as caught:
        await dialler.dial(address, listener.host.peer_id, "/mepassa/other/1")
    assert caught.value.failure is DialFailure.FAILED
    await (await dialler.dial(address, listener.host.peer_id, ECHO)).close()  # a failure blocks nothing
    await dialler.stop()
    await listener.host.stop()


async def test_a_taken_port_is_said_and_leaves_nothing_behind(guest: TrioGuest) -> None:
    host = P2pHost(guest)
    with pytest.raises(ListenError):
        await host.start([TcpAddress(IPv4Address("203.0.113.77"), 0)])  # nobody's address here


async def test_a_host_accepts_again_after_more_connections_than_it_may_hold_at_once(guest: TrioGuest) -> None:
    """The library never gave an inbound place back."""
    dialler, listener = P2pHost(guest), Listener(guest, HostLimits(max_connections=4))
    address = await listener.start()
    await dialler.start()

    async def dial_until_there_is_room() -> HostStream:
        while True:  # a place comes back a moment after its connection has ended
            try:
                return await dialler.dial(address, listener.host.peer_id, ECHO)
            except HostDialError:
                await asyncio.sleep(0.05)

    for _ in range(12):
        stream = await dial_until_there_is_room()
        far = await listener.streams.get()
        await stream.close()
        assert await far.read(10) == b""
        await far.close()
    await dialler.stop()
    await listener.host.stop()


async def test_one_address_cannot_take_all_places(guest: TrioGuest) -> None:
    listener = Listener(guest, HostLimits(max_per_address=2, upgrade_timeout_s=30))
    address = await listener.start()
    connections = [await asyncio.open_connection(str(address.ip), address.port) for _ in range(5)]
    greeted = [await reader.read(100) for reader, _ in connections]
    assert [bool(greeting) for greeting in greeted] == [True, True, False, False, False]
    for _, writer in connections:
        writer.close()
    await listener.host.stop()


async def test_garbage_and_plaintext_on_the_port_are_closed_and_others_still_served(guest: TrioGuest) -> None:
    listener = Listener(guest, HostLimits(upgrade_timeout_s=0.5))
    address = await listener.start()
    for first_bytes in (b"GET / HTTP/1.1\r\n\r\n", b"\x13/multistream/1.0.0\n\x11/plaintext/2.0.0\n", bytes(4096)):
        reader, writer = await asyncio.open_connection(str(address.ip), address.port)
        writer.write(first_bytes)
        answer = b""
        with suppress(ConnectionResetError):
            while chunk := await reader.read(4096):
                answer += chunk
        assert b"/plaintext/2.0.0" not in answer
        writer.close()
        with suppress(ConnectionResetError):
            await writer.wait_closed()
    dialler = P2pHost(guest)
    await dialler.start()
    stream = await dialler.dial(address, listener.host.peer_id, ECHO)
    await stream.close()
    await dialler.stop()
    await listener.host.stop()


async def test_a_link_host_tells_a_stranger_neither_addresses_nor_protocols(guest: TrioGuest) -> None:
    dialler, listener = P2pHost(guest), Listener(guest)
    address = await listener.start()
    await dialler.start()
    for protocol in ("/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0", "/ipfs/kad/1.0.0"):
        with pytest.raises(HostDialError) as caught:
            await dialler.dial(address, listener.host.peer_id, protocol)
        assert caught.value.failure is DialFailure.FAILED
    await dialler.stop()
    await listener.host.stop()


async def test_a_reader_that_does_not_read_stops_the_writer(guest: TrioGuest) -> None:
    dialler, listener = P2pHost(guest), Listener(guest)
    address = await listener.start()
    await dialler.start()
    near = await dialler.dial(address, listener.host.peer_id, ECHO)
    writing = asyncio.ensure_future(near.write(bytes(64 * 2**20)))
    far = await listener.streams.get()
    done, _ = await asyncio.wait({writing}, timeout=0.5)
    assert not done
    assert len(far._stream._held) <= WIDE_WINDOW_BYTES
    writing.cancel()
    await asyncio.wait({writing})
    await near.close()
    await dialler.stop()
    await listener.host.stop()


async def test_a_small_write_is_the_kernels_when_it_returns_and_comes_after_what_still_waits(guest: TrioGuest) -> None:
    dialler, listener = P2pHost(guest), Listener(guest)
    address = await listener.start()
    await dialler.start()
    near = await dialler.dial(address, listener.host.peer_id, ECHO)
    assert near.write(b"small").done()
    large = near.write(bytes(4 * WIDE_WINDOW_BYTES))
    last = near.write(b"last")
    assert not large.done()
    assert not last.done()
    far = await listener.streams.get()
    read = b""
    while len(read) < 4 * WIDE_WINDOW_BYTES + 9:
        read += await far.read(100_000)
    assert (read[:5], read[-4:]) == (b"small", b"last")
    await asyncio.gather(large, last)
    assert near.write(b"again").done()
    await near.close()
    await dialler.stop()
    await listener.host.stop()


async def test_what_goes_wrong_in_trio_reaches_the_caller_and_a_cancelled_caller_cancels_the_work(
    guest: TrioGuest,
) -> None:
    async def fail() -> None:
        raise LinkLostError

    with pytest.raises(LinkLostError):
        await guest.call(fail)
    ended: list[str] = []

    async def wait() -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append("tidy")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await guest.call(wait)
    assert ended == ["tidy"]


async def test_ending_trio_under_a_running_host_leaves_no_socket(guest: TrioGuest) -> None:
    dialler, listener = P2pHost(guest), Listener(guest)
    address = await listener.start()
    await dialler.start()
    near = await dialler.dial(address, listener.host.peer_id, ECHO)
    await listener.streams.get()
    await guest.stop()
    assert await near.read(1) == b""
    await near.close()


def test_it_runs_in_uvloop_too() -> None:
    async def main() -> None:
        guest = TrioGuest()
        await guest.start()
        await test_bytes_go_both_ways_and_both_sides_know_the_proven_peer(guest)
        await guest.stop()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


@pytest.mark.parametrize("store_class", [PeerStore, LastingPeerStore])
async def test_the_peer_store_forgets_the_oldest_and_never_itself(
    store_class: type[PeerStore], guest: TrioGuest
) -> None:
    """The first parameter shows the library's own trouble: if it stops failing, our remedy can go."""
    own = P2pHost(guest).host.get_id()
    others = [P2pHost(guest).host.get_id() for _ in range(4)]
    store = (
        LastingPeerStore(own, HostLimits(max_peers=3))
        if store_class is LastingPeerStore
        else PeerStore(max_peers=3, max_records=3)
    )
    for other in [own, *others]:
        store.add_addrs(other, [Multiaddr("/ip4/127.0.0.1/tcp/1")], 100)
    assert (own in store.peer_data_map) is (store_class is LastingPeerStore)
    assert len(store.peer_data_map) == 3
    assert others[-1] in store.peer_data_map


@pytest.mark.parametrize(
    "text, expected",
    [
        ("/ip4/192.0.2.7/tcp/4001", AddressClass.PUBLIC),
        ("/ip4/10.1.2.3/tcp/1", AddressClass.LAN),
        ("/ip4/127.0.0.1/tcp/65535", AddressClass.LOOPBACK),
        ("/ip6/2001:db8::7/tcp/4001", AddressClass.IPV6),
        ("/ip6/fd00::7/tcp/4001", AddressClass.LAN),
    ],
)
def test_an_address_says_its_class_and_comes_back_as_it_was(text: str, expected: AddressClass) -> None:
    address, peer_id = parse_multiaddr(text)
    assert (str(address), address.address_class, peer_id) == (text, expected, None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "/ip4/1.2.3.4",
        "/dns4/example.org/tcp/1",
        "/ip4/1.2.3.4/udp/1",
        "/ip4/1.2.3.4/tcp/0",
        "/ip4/1.2.3.4/tcp/65536",
        "/ip4/1.2.3.4/tcp/٣",
        "/ip4/::1/tcp/1",
        "/ip6/fe80::1%eth0/tcp/1",
        "/ip4/1.2.3.4/tcp/1/p2p/x",
        "/ip4/1.2.3.4/tcp/1/p2p-circuit",
        "/ip4/1.2.3.4/tcp/1/",
        "/ip4/" + "1" * 300 + "/tcp/1",
    ],
)
def test_what_is_not_exactly_an_address_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_multiaddr(text)


@given(
    st.text(max_size=60)
    | st.from_regex(r"/ip[46]/[0-9a-f.:]{1,20}/tcp/[0-9]{1,6}(/p2p/[A-Za-z0-9]{1,60})?", fullmatch=True)
)
def test_any_text_gives_an_address_or_a_documented_error(text: str) -> None:
    try:
        address, _ = parse_multiaddr(text)
    except MalformedError:
        return
    assert isinstance(address.ip, IPv4Address | IPv6Address)
    assert 0 < address.port < 65_536


async def test_a_task_that_fails_in_trio_ends_alone(guest: TrioGuest) -> None:
    async def fails() -> None:
        raise KeyError("what a stranger made a library raise")

    async def answers() -> int:
        return 7

    guest.spawn(fails)
    assert await guest.call(answers) == 7
    assert await guest.call(answers) == 7


@pytest.mark.parametrize(
    "said",
    [b"\x03\xff\xfe\n", b"\xff" * 10, b"\x00", b"\x01x", b"\x80\x80\x80\x80\x10" + bytes(200_000)],
    ids=["not text", "no length", "nothing", "no end of line", "a message of 4 GiB"],
)
async def test_a_stranger_who_negotiates_badly_ends_a_stream_and_not_the_host(guest: TrioGuest, said: bytes) -> None:
    listener, stranger = Listener(guest), P2pHost(guest)
    address = await listener.start()
    await stranger.start()

    async def read_on(stream: INetStream) -> None:
        while True:
            await stream.read(1_000)

    async def negotiate_badly() -> None:
        network = network_of(stranger.host)
        connection = await network.dial_addr(Multiaddr(str(address)), listener.host.host.get_id())
        stream = await connection.new_stream()
        await stream.write(said)
        with trio.fail_after(4), pytest.raises(StreamError):
            await read_on(stream)
        await connection.close()

    await guest.call(negotiate_badly)
    friend = await stranger.dial(address, listener.host.peer_id, ECHO)
    await friend.close()
    await stranger.stop()
    await listener.host.stop()
