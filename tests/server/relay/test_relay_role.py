"""The relay with real sockets: every refusal provoked from outside, UDP and TCP, start and stop."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address

import pytest

from mepassa.model.errors import InvalidInputError, PortTakenError
from mepassa.server.relay import RelayRole
from mepassa.wire.stun import (
    Attribute,
    ChannelNumber,
    Data,
    Lifetime,
    Message,
    MessageClass,
    Method,
    RequestedAddressFamily,
    RequestedTransport,
    XorMappedAddress,
    XorPeerAddress,
    decode_channel_data,
    decode_message,
    encode_channel_data,
    encode_message,
)
from tests.server.relay.turn_client import UDP, Dialogue, RealClock, TcpStream, UdpClient, code_of, loopback_relay

PEER_HOST = "127.0.0.2"
"""A loopback address that is not the relay's own."""


@asynccontextmanager
async def running(role: RelayRole) -> AsyncIterator[RelayRole]:
    await role.start()
    try:
        yield role
    finally:
        await role.stop()


@asynccontextmanager
async def client_of(role: RelayRole) -> AsyncIterator[UdpClient]:
    client = UdpClient(("127.0.0.1", role.facts.udp[0]))
    try:
        yield client
    finally:
        client.close()


@asynccontextmanager
async def stream_of(role: RelayRole) -> AsyncIterator[TcpStream]:
    stream = TcpStream(*await asyncio.open_connection("127.0.0.1", role.facts.tcp))
    try:
        yield stream
    finally:
        await stream.close()


@asynccontextmanager
async def echo_peer() -> AsyncIterator[XorPeerAddress]:
    """Answers every datagram with the same bytes, in upper case."""
    loop = asyncio.get_running_loop()
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind((PEER_HOST, 0))

    async def answer() -> None:
        while True:
            data, source = await loop.sock_recvfrom(sock, 65_535)
            await loop.sock_sendto(sock, data.upper(), source)

    task = asyncio.create_task(answer())
    try:
        yield XorPeerAddress((ip_address(PEER_HOST), sock.getsockname()[1]))
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        sock.close()


async def test_binding_is_answered_on_two_udp_ports_and_on_tcp() -> None:
    async with running(loopback_relay()) as role, client_of(role) as client, stream_of(role) as stream:
        seen = set()
        for port in role.facts.udp:
            client.server = ("127.0.0.1", port)
            seen.add((await client.ask(Method.BINDING)).first(XorMappedAddress))
        assert seen == {XorMappedAddress((ip_address("127.0.0.1"), client.sock.getsockname()[1]))}
        assert code_of(await stream.ask(Method.BINDING)) == 0
        assert role.facts.as_json() == {"udp": list(role.facts.udp), "tcp": role.facts.tcp}


async def test_data_goes_both_ways_by_indication_and_by_channel_over_udp() -> None:
    async with running(loopback_relay()) as role, client_of(role) as client, echo_peer() as peer:
        host, port = await client.allocate()
        assert host == "127.0.0.1"
        assert port not in role.facts.udp
        assert code_of(await client.ask(Method.CREATE_PERMISSION, peer)) == 0
        await client.send(encode_message(Message(Method.SEND, MessageClass.INDICATION, bytes(12), (peer, Data(b"oi")))))
        assert decode_message(await client.receive()).first(Data) == Data(b"OI")
        assert code_of(await client.ask(Method.CHANNEL_BIND, ChannelNumber(0x4000), peer)) == 0
        await client.send(encode_channel_data(0x4000, b"tudo bem?"))
        assert decode_channel_data(await client.receive()).data == b"TUDO BEM?"
        assert role.counters.snapshot()["relayed_bytes"] == 2 * (2 + 9)


async def test_data_goes_both_ways_over_tcp_and_ends_with_the_connection() -> None:
    async with running(loopback_relay()) as role, echo_peer() as peer:
        async with stream_of(role) as stream:
            assert code_of(await stream.ask(Method.ALLOCATE, UDP)) == 401
            assert code_of(await stream.ask(Method.ALLOCATE, UDP)) == 0
            assert code_of(await stream.ask(Method.CHANNEL_BIND, ChannelNumber(0x4000), peer)) == 0
            stream.writer.write(encode_channel_data(0x4000, b"um", padded=True))
            stream.writer.write(encode_channel_data(0x4000, b"dois", padded=True))
            assert decode_channel_data(await stream.frame()).data == b"UM"
            assert decode_channel_data(await stream.frame()).data == b"DOIS"
            assert role.counters.allocations_live == 1
        while role.counters.tcp_connections:
            await asyncio.sleep(0.01)
        assert role.counters.allocations_live == 0


REFUSED: list[tuple[int, Method, tuple[Attribute, ...]]] = [
    (437, Method.ALLOCATE, (UDP,)),
    (400, Method.CREATE_PERMISSION, ()),
    (403, Method.CREATE_PERMISSION, (XorPeerAddress((ip_address("169.254.1.1"), 1)),)),
    (403, Method.CHANNEL_BIND, (ChannelNumber(0x4000), XorPeerAddress((ip_address("127.0.0.1"), 22)))),
    (443, Method.CREATE_PERMISSION, (XorPeerAddress((ip_address("2001:db8::1"), 1)),)),
]


async def test_each_refusal_reaches_a_real_client_and_is_counted() -> None:
    class DontFragment(Data):
        TYPE = 0x001A

    async with running(loopback_relay(user_quota=1, total_quota=2)) as role, client_of(role) as client:
        assert code_of(await client.ask(Method.ALLOCATE, UDP, signed=False)) == 401
        assert code_of(await client.ask(Method.ALLOCATE, RequestedTransport(6))) == 442
        assert code_of(await client.ask(Method.ALLOCATE, UDP, RequestedAddressFamily(2))) == 440
        assert code_of(await client.ask(Method.ALLOCATE, UDP, DontFragment(b""))) == 420
        assert code_of(await client.ask(Method.REFRESH)) == 437
        await client.allocate()
        for code, method, attributes in REFUSED:
            assert code_of(await client.ask(method, *attributes)) == code
        client.talk.nonce = b"0-old"
        assert code_of(await client.ask(Method.REFRESH)) == 438
        own = client.talk.username, client.talk.password
        other = Dialogue.with_credentials(RealClock().now_ms(), name="bruno")
        client.talk.username, client.talk.password = other.username, other.password
        assert code_of(await client.ask(Method.REFRESH)) == 441
        client.talk.username, client.talk.password = own
        async with client_of(role) as second, client_of(role) as third, client_of(role) as fourth:
            assert code_of(await second.ask(Method.ALLOCATE, UDP)) == 401
            assert code_of(await second.ask(Method.ALLOCATE, UDP)) == 486
            for name, refused in ((third, 0), (fourth, 508)):
                name.talk = Dialogue.with_credentials(RealClock().now_ms(), name=str(refused))
                assert code_of(await name.ask(Method.ALLOCATE, UDP)) == 401
                assert code_of(await name.ask(Method.ALLOCATE, UDP)) == refused
        seen = set(role.counters.refusals)
        assert seen == {400, 401, 403, 420, 437, 438, 440, 441, 442, 443, 486, 508}


async def test_private_peers_are_refused_without_the_flag() -> None:
    async with running(loopback_relay(allow_private_peers=False)) as role, client_of(role) as client:
        await client.allocate()
        for host in ("127.0.0.2", "10.0.0.1", "192.168.0.1", "100.64.0.1"):
            assert code_of(await client.ask(Method.CREATE_PERMISSION, XorPeerAddress((ip_address(host), 9)))) == 403


async def test_expired_credentials_are_401() -> None:
    async with running(loopback_relay()) as role, client_of(role) as client:
        client.talk = Dialogue.with_credentials(RealClock().now_ms(), lifetime_s=-10)
        assert code_of(await client.ask(Method.ALLOCATE, UDP)) == 401
        assert code_of(await client.ask(Method.ALLOCATE, UDP)) == 401


async def test_relay_ports_come_from_the_range_and_come_back_to_it() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    role = loopback_relay(relay_ports=(free, free))
    async with running(role), client_of(role) as first, client_of(role) as second:
        assert (await first.allocate())[1] == free
        assert code_of(await second.ask(Method.ALLOCATE, UDP)) == 401
        assert code_of(await second.ask(Method.ALLOCATE, UDP)) == 508
        assert code_of(await first.ask(Method.REFRESH, Lifetime(0))) == 0
        assert (await second.allocate())[1] == free


async def test_the_public_address_is_what_clients_are_told() -> None:
    async with running(loopback_relay(public_address="203.0.113.5")) as role, client_of(role) as client:
        assert (await client.allocate())[0] == "203.0.113.5"


async def test_a_taken_port_is_said_in_one_sentence_and_nothing_stays_open() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        role = loopback_relay(turn_port=port)
        with pytest.raises(PortTakenError, match=str(port)):
            await role.start()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free_again:
            free_again.bind(("127.0.0.1", port))


async def test_an_address_of_another_machine_is_said_in_one_sentence() -> None:
    with pytest.raises(InvalidInputError):
        await loopback_relay(listen_host="203.0.113.99").start()
    with pytest.raises(InvalidInputError):
        loopback_relay(public_address="turn.example")


async def test_a_stream_that_is_no_turn_is_closed() -> None:
    async with running(loopback_relay()) as role, stream_of(role) as stream:
        stream.writer.write(b"\x16\x03\x01\x00\xff")
        assert await asyncio.wait_for(stream.reader.read(), 5) == b""


async def test_idle_streams_are_closed_and_a_full_house_takes_no_more() -> None:
    async with running(loopback_relay(tcp_idle_s=0.1, max_tcp_connections=1)) as role, stream_of(role) as idle:
        assert code_of(await idle.ask(Method.BINDING)) == 0
        async with stream_of(role) as refused:
            with pytest.raises((AssertionError, ConnectionError)):
                await refused.ask(Method.BINDING)
        assert await asyncio.wait_for(idle.reader.read(), 5) == b""


async def test_a_client_that_does_not_read_loses_data_and_not_our_memory() -> None:
    async with running(loopback_relay(send_buffer_bytes=65_536)) as role, stream_of(role) as stream:
        assert code_of(await stream.ask(Method.ALLOCATE, UDP)) == 401
        answer = await stream.ask(Method.ALLOCATE, UDP)
        assert code_of(answer) == 0
        client = next(iter(role._clients.values()))
        relay = next(iter(role._relays.values()))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind((PEER_HOST, 0))
            port = peer.getsockname()[1]
            bound = await stream.ask(
                Method.CHANNEL_BIND, ChannelNumber(0x4000), XorPeerAddress((ip_address(PEER_HOST), port))
            )
            assert code_of(bound) == 0
            stream.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a read transport, typed as a write one
            for _ in range(20_000):  # 20 MB at most: far more than kernel buffers hold
                peer.sendto(bytes(1000), ("127.0.0.1", relay.address[1]))
                await asyncio.sleep(0)
                if role.counters.datagrams_dropped:
                    break
            assert role.counters.datagrams_dropped
            assert client._transport is not None
            assert client._transport.get_write_buffer_size() <= 65_536
            stream.writer.transport.abort()


async def test_stop_closes_everything_and_may_be_called_twice() -> None:
    role = loopback_relay()
    async with running(role), client_of(role) as client, stream_of(role) as stream:
        await client.allocate()
        await stream.ask(Method.BINDING)
        await role.stop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
            again.bind(("127.0.0.1", role.facts.udp[0]))
    await role.stop()


async def test_urls_name_host_ports_and_transports() -> None:
    async with running(loopback_relay()) as role:
        (first, second), tcp = role.facts.udp, role.facts.tcp
        assert role.turn_urls("2001:db8::1") == (
            f"turn:[2001:db8::1]:{first}?transport=udp",
            f"turn:[2001:db8::1]:{tcp}?transport=tcp",
        )
        assert role.stun_urls("home.example") == (f"stun:home.example:{first}", f"stun:home.example:{second}")


async def test_logs_carry_no_address_and_no_user(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", logger="mepassa")
    async with running(loopback_relay()) as role, client_of(role) as client:
        await client.allocate()
        await client.ask(Method.CREATE_PERMISSION, XorPeerAddress((ip_address("169.254.1.1"), 1)))
    said = " ".join(record.getMessage() + str(record.__dict__.get("args")) for record in caplog.records)
    assert "relay.started" in said
    for secret in ("127.0.0.1", "169.254", client.talk.username):
        assert secret not in said


def test_turn_over_tcp_works_on_the_loop_that_homes_run_on() -> None:
    """uvloop's transports are not instances of asyncio's classes."""
    uvloop = pytest.importorskip("uvloop", reason="uvloop is not for Windows, and homes there run without it")

    async def bind() -> Message:
        async with running(loopback_relay()) as role, stream_of(role) as stream:
            return await stream.ask(Method.BINDING)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(bind()).message_class is MessageClass.SUCCESS


async def test_one_address_cannot_take_all_streams() -> None:
    async with running(loopback_relay(max_tcp_per_address=2)) as role, stream_of(role) as one, stream_of(role) as two:
        assert [code_of(await each.ask(Method.BINDING)) for each in (one, two)] == [0, 0]
        async with stream_of(role) as third:
            with pytest.raises((AssertionError, ConnectionError)):
                await third.ask(Method.BINDING)
        port = role.facts.tcp
        other = TcpStream(*await asyncio.open_connection("127.0.0.1", port, local_addr=(PEER_HOST, 0)))
        assert code_of(await other.ask(Method.BINDING)) == 0
        await other.close()
        await one.close()
        while role.counters.tcp_connections > 1:
            await asyncio.sleep(0.01)
        async with stream_of(role) as again:
            assert code_of(await again.ask(Method.BINDING)) == 0
