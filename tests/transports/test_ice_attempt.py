"""docs/protocol/ice.md: two attempts on loopback, with real sockets and a real relay (coturn)."""

import asyncio
import gc
import socket
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from mepassa.model.errors import ConflictError
from mepassa.model.route import AddressClass, FoundBy, NatKind, RouteKind, RouteTransport
from mepassa.model.secret import SecretBytes
from mepassa.ports.clock import SystemClock
from mepassa.ports.mailbox import TurnCredentials
from mepassa.server.relay import RelayConfig, RelayRole
from mepassa.testing import LineProcess, SeededRng
from mepassa.testing.natlab import Coturn
from mepassa.transports.ice import (
    CandidateKind,
    IceAttempt,
    IceFailedError,
    RemoteSide,
    ServerRules,
    decode_candidate,
    gathering,
)
from mepassa.wire.stun import Message, MessageClass, Method, XorMappedAddress, decode_message, encode_message
from tests.conftest import Needs
from tests.transports.ice_peers import config, connect_two, credentials, gather_two, signal_of, two_paths


@pytest.fixture(scope="module")
def coturn(needs: Needs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TurnCredentials]:
    needs("turnserver", "coturn")
    server = Coturn(tmp_path_factory.mktemp("coturn"), "127.0.0.1", free_port_pair(), extra=("--allow-loopback-peers",))
    with LineProcess(server.command()) as process:
        wait_for_port(process, server.port)
        yield credentials(server.turn_uris, server.stun_uris, server.credentials())


@pytest.fixture
async def embedded() -> AsyncIterator[TurnCredentials]:
    secret = SecretBytes(bytes(32))
    relay = RelayRole(RelayConfig(allow_private_peers=True), secret, SystemClock(), SeededRng("relay"))
    await relay.start()
    given = relay.credentials()
    user = (given.username, given.password.expose().decode())
    yield credentials(relay.turn_urls("127.0.0.1"), relay.stun_urls("127.0.0.1"), user)
    await relay.stop()


@pytest.fixture(params=["embedded", "coturn"])
def servers(request: pytest.FixtureRequest) -> TurnCredentials:
    """The relay that a small home embeds, and the one that a large home puts in its place."""
    chosen: TurnCredentials = request.getfixturevalue(request.param)
    return chosen


def free_port_pair() -> int:
    """A port that is free together with its successor, for UDP and TCP."""
    while True:
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            port: int = one.getsockname()[1]
            try:
                two.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port


def wait_for_port(process: LineProcess, port: int) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until and process.returncode is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    pytest.fail(f"coturn did not start: {process.stderr_tail()}")


def kinds(attempt: IceAttempt) -> set[CandidateKind]:
    return {decode_candidate(line).kind for line in attempt.local.lines}


async def heard(path_from: object, path_to: object, data: bytes) -> bytes:
    got: asyncio.Queue[bytes] = asyncio.Queue()
    path_to.read_into(got.put_nowait)  # type: ignore[attr-defined]  # both are IcePaths
    path_from.send(data)  # type: ignore[attr-defined]  # as above
    async with asyncio.timeout(5):
        return await got.get()


async def test_two_attempts_on_loopback_make_a_direct_path() -> None:
    async with two_paths() as (one, other):
        for path in (one, other):
            assert not path.facts.relayed
            assert path.facts.address_class is AddressClass.LOOPBACK
            assert path.facts.rtt_s is not None
        facts = one.facts.link_facts(FoundBy.SIGNAL)
        assert (facts.kind, facts.transport) == (RouteKind.DIRECT, RouteTransport.QUIC)
        assert await heard(one, other, b"@ is no STUN") == b"@ is no STUN"
        assert await heard(other, one, b"\xff nor this") == b"\xff nor this"


async def test_datagrams_that_come_before_anybody_reads_are_kept() -> None:
    async with two_paths() as (one, other):
        one.send(b"@early")
        await asyncio.sleep(0.05)
        assert await heard(one, other, b"@later") == b"@early"


async def test_bytes_from_an_address_that_passed_no_check_are_dropped() -> None:
    one, other = await gather_two(config(), config(), 3)
    paths = await connect_two(one, other)
    port = next(c.port for c in map(decode_candidate, other.local.lines) if str(c.address) == "127.0.0.1")
    with socket.socket(type=socket.SOCK_DGRAM) as stranger:
        for junk in (b"@stranger", b"\x00\x01", b"\x00\x01\x00\x04" + bytes(20), bytes(1)):
            stranger.sendto(junk, ("127.0.0.1", port))
        await asyncio.sleep(0.05)
        assert await heard(*paths, b"@friend") == b"@friend"
    await one.close()
    await other.close()


async def test_an_address_that_is_not_admitted_is_neither_called_nor_answered() -> None:
    strict = config(admit=lambda address: address == ip_address("203.0.113.9"))
    one, other = await gather_two(strict, strict, 5)
    with pytest.raises(IceFailedError):
        await connect_two(one, other, deadline_s=0.5)


async def test_an_attempt_without_an_answering_peer_ends_at_its_deadline_with_everything_closed() -> None:
    one, other = await gather_two(config(), config(), 7)
    remote = RemoteSide.from_signal(signal_of(other))
    await other.close()
    with pytest.raises(IceFailedError):
        await one.connect(remote, controlling=True, deadline_s=0.3)
    with pytest.raises(ConflictError):
        await one.connect(remote, controlling=True)
    gc.collect()  # an open socket would be a ResourceWarning, an error here
    assert len(asyncio.all_tasks()) == 1


async def test_an_attempt_that_may_use_no_path_has_no_candidates_and_fails_at_once() -> None:
    one, other = await gather_two(config(direct=False, relay=False), config(), 9)
    assert one.local.lines == ()
    with pytest.raises(IceFailedError):
        await one.connect(RemoteSide.from_signal(signal_of(other)), controlling=True)
    await other.close()


async def test_a_silenced_path_swallows_both_ways_and_closes_later() -> None:
    async with two_paths(11) as (one, other):
        got: list[bytes] = []
        one.read_into(got.append)
        other.read_into(got.append)
        one.silence(for_s=0.2)
        one.send(b"@out")
        other.send(b"@in")
        await asyncio.sleep(0.05)
        assert got == []
        async with asyncio.timeout(5):
            await one.wait_closed()


async def test_cancelled_gathering_leaves_nothing_open() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        servers = credentials((f"turn:127.0.0.1:{port}",), (f"stun:127.0.0.1:{port}",))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await IceAttempt.gather(config(servers), rng=SeededRng(1))
    gc.collect()
    assert len(asyncio.all_tasks()) == 1


async def test_an_attempt_that_waits_keeps_its_mapping_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mepassa.transports.ice.attempt.KEEP_MAPPING_S", 0.02)
    loop = asyncio.get_running_loop()
    with socket.socket(type=socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.setblocking(False)
        gathering = asyncio.create_task(
            IceAttempt.gather(config(credentials((), (f"stun:127.0.0.1:{server.getsockname()[1]}",))), rng=SeededRng(1))
        )
        request, client = await loop.sock_recvfrom(server, 2_000)
        answer = Message(
            Method.BINDING,
            MessageClass.SUCCESS,
            decode_message(request).transaction_id,
            (XorMappedAddress((ip_address("203.0.113.7"), 5_000)),),
        )
        server.sendto(encode_message(answer), client)
        attempt = await gathering
        assert kinds(attempt) == {CandidateKind.HOST, CandidateKind.SRFLX}
        while decode_message(await loop.sock_recv(server, 2_000)).message_class is not MessageClass.INDICATION:
            pass
        await attempt.close()


# --- with a relay ------------------------------------------------------------------------------------------------------


async def test_a_relay_carries_the_path_when_one_side_takes_no_direct_one(servers: TurnCredentials) -> None:
    one, other = await gather_two(config(servers, direct=False), config(servers), 21)
    assert kinds(one) == {CandidateKind.RELAY}
    paths = await connect_two(one, other)
    for path in paths:
        assert path.facts.relayed
        assert path.facts.address_class is AddressClass.RELAY
        assert path.facts.link_facts(None).kind is RouteKind.RELAYED
    assert paths[0].facts.via == servers.servers[0].removeprefix("turn:").partition("?")[0]
    assert await heard(*paths, b"@through the relay") == b"@through the relay"
    await one.close()
    await other.close()


async def test_who_hides_the_address_offers_the_relay_alone_and_shows_no_own_address(servers: TurnCredentials) -> None:
    one, other = await gather_two(config(servers, relay_only=True), config(servers, relay_only=True), 23)
    for attempt in (one, other):
        assert kinds(attempt) == {CandidateKind.RELAY}
        assert all("raddr 0.0.0.0 rport 9" in line for line in attempt.local.lines)
    path, _ = await connect_two(one, other)
    assert path.facts.relayed
    await one.close()
    await other.close()


async def test_direct_wins_over_the_relay_where_both_work(servers: TurnCredentials) -> None:
    one, other = await gather_two(config(servers), config(servers), 25)
    assert kinds(one) == {CandidateKind.HOST, CandidateKind.RELAY}
    paths = await connect_two(one, other)
    assert [path.facts.relayed for path in paths] == [False, False]
    for attempt in (one, other):  # what the path does not need is given back, the relay's allocation above all
        assert len(attempt._connection._protocols) == 1
    await one.close()
    await other.close()


async def test_turn_over_tcp_is_used_where_udp_gets_no_answer(servers: TurnCredentials) -> None:
    """The UDP address leads to a socket that never speaks, as a firewall would."""
    with socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        dead = f"127.0.0.1:{silent.getsockname()[1]}"
        blocked = credentials(
            (f"turn:{dead}?transport=udp", servers.servers[1]),
            (f"stun:{dead}",),
            (servers.username, servers.password.expose().decode()),
        )
        one, other = await gather_two(config(blocked), config(servers), 27)
        assert one.local.nat_kind is NatKind.UDP_BLOCKED
        assert CandidateKind.RELAY in kinds(one)
        await one.close()
        await other.close()


async def test_servers_that_the_home_may_not_name_are_neither_looked_up_nor_asked(
    servers: TurnCredentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The relay at 127.0.0.1 works, but this home is elsewhere; and another name is not given to the resolver."""
    asked: list[str] = []

    async def look_up(name: str) -> str:
        asked.append(name)
        return "127.0.0.1"

    monkeypatch.setattr(gathering, "_look_up", look_up)
    named = credentials(
        (*servers.servers[:1], "turn:intranet.example:3478"),
        ("stun:intranet.example:3478", "stun:casa.example:3478"),
        (servers.username, servers.password.expose().decode()),
    )
    elsewhere = replace(config(named), server_rules=ServerRules.of("https://casa.example", inside=False))
    attempt = await IceAttempt.gather(elsewhere, rng=SeededRng(33))
    assert kinds(attempt) == {CandidateKind.HOST}
    assert asked == ["casa.example"], "and what that name stands for is not admitted either"
    await attempt.close()


async def test_without_relay_allowed_none_is_allocated(servers: TurnCredentials) -> None:
    one, other = await gather_two(config(servers, relay=False), config(servers), 29)
    assert kinds(one) == {CandidateKind.HOST}
    path, _ = await connect_two(one, other)
    assert not path.facts.relayed
    await one.close()
    await other.close()


async def test_wrong_relay_credentials_cost_the_relay_and_nothing_else(servers: TurnCredentials) -> None:
    wrong = credentials(servers.servers[:1], servers.stun_servers, (servers.username, "wrong"))
    attempt = await IceAttempt.gather(config(wrong), rng=SeededRng(31))
    assert kinds(attempt) == {CandidateKind.HOST}
    await attempt.close()


async def test_a_relay_that_is_gone_delays_closing_by_little(needs: Needs, tmp_path: Path) -> None:
    needs("turnserver", "coturn")
    server = Coturn(tmp_path, "127.0.0.1", free_port_pair(), extra=("--allow-loopback-peers",))
    with LineProcess(server.command()) as process:
        wait_for_port(process, server.port)
        servers = credentials(server.turn_uris, server.stun_uris, server.credentials())
        attempt = await IceAttempt.gather(config(servers, relay_only=True), rng=SeededRng(33))
    assert kinds(attempt) == {CandidateKind.RELAY}
    async with asyncio.timeout(5):  # aioice alone asks the dead relay for a minute
        await attempt.close()
