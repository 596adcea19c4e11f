"""Unmodified others against our relay: Debian coturn's client, aioice; and our credentials at coturn's own server."""

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aioice.turn
import pytest

from mepassa.server.relay import RelayRole, make_credentials
from mepassa.testing import SeededRng
from mepassa.wire.stun import Method
from tests.server.relay.turn_client import (
    SECRET,
    UDP,
    Dialogue,
    RealClock,
    UdpClient,
    code_of,
    loopback_relay,
)

MESSAGES = 25
CLIENTS = 2


@pytest.fixture
async def relay() -> AsyncIterator[RelayRole]:
    role = loopback_relay()
    await role.start()
    yield role
    await role.stop()


def free_udp_port(host: str) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


async def run(program: str, *arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        program, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), 30)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, output.decode()


@asynccontextmanager
async def program(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


@pytest.mark.slow  # the program itself sleeps some four seconds
@pytest.mark.needs("turnutils_uclient", "coturn")
class TestCoturnsClient:
    """Two clients send 25 messages each; every one comes back, none is lost."""

    @pytest.mark.parametrize(
        "transport, way", [("udp", []), ("tcp", ["-s"])], ids=["channel over udp", "indication over tcp"]
    )
    async def test_client_to_client_through_two_allocations_loses_nothing(
        self, relay: RelayRole, transport: str, way: list[str]
    ) -> None:
        """`-y`: both ends are allocations of ours. `-W`: coturn's own code makes the password that ours checks."""
        user = ["-W", SECRET.expose().decode(), "-u", "ana"]
        await self.exchange(relay, transport, [*user, "-y", *way])

    @pytest.mark.needs("turnutils_peer", "coturn")
    @pytest.mark.parametrize(
        "transport, way", [("udp", ["-s"]), ("tcp", [])], ids=["indication over udp", "channel over tcp"]
    )
    async def test_to_a_peer_outside_and_back_loses_nothing(
        self, relay: RelayRole, transport: str, way: list[str]
    ) -> None:
        credentials = relay.credentials()
        user = ["-u", credentials.username, "-w", credentials.password.expose().decode()]
        port = str(free_udp_port("127.0.0.2"))
        async with program("turnutils_peer", "-p", port, "-L", "127.0.0.2"):
            await wait_for_udp("127.0.0.2", int(port))
            await self.exchange(relay, transport, [*user, "-e", "127.0.0.2", "-r", port, *way])

    async def exchange(self, relay: RelayRole, transport: str, extra: list[str]) -> None:
        stream, port = (["-t"], relay.facts.tcp) if transport == "tcp" else ([], relay.facts.udp[0])
        load = ["-c", "-n", str(MESSAGES), "-m", str(CLIENTS), "-z", "2", "-l", "171"]
        code, output = await run("turnutils_uclient", *stream, "-p", str(port), *load, *extra, "127.0.0.1")
        assert code == 0, output
        total = CLIENTS * MESSAGES
        assert f"tot_send_msgs={total}, tot_recv_msgs={total}" in output
        assert re.search(r"Total lost packets 0 ", output)
        assert relay.counters.datagrams_dropped == 0
        assert relay.counters.bytes_to_clients == relay.counters.bytes_to_peers >= total * 171


class TestAioice:
    @pytest.mark.parametrize("transport", ["udp", "tcp"])
    async def test_an_allocation_carries_data_both_ways(self, relay: RelayRole, transport: str) -> None:
        loop = asyncio.get_running_loop()
        credentials = relay.credentials()
        got: asyncio.Queue[bytes] = asyncio.Queue()

        class Receiver(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes | str, _source: object) -> None:
                assert isinstance(data, bytes)
                got.put_nowait(data)

        server = ("127.0.0.1", relay.facts.tcp if transport == "tcp" else relay.facts.udp[0])
        turn, _protocol = await aioice.turn.create_turn_endpoint(
            Receiver,
            server_addr=server,
            username=credentials.username,
            password=credentials.password.expose().decode(),
            transport=transport,
        )
        try:
            relayed = turn.get_extra_info("sockname")
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
                peer.setblocking(False)
                peer.bind(("127.0.0.2", 0))
                turn.sendto(b"ida", peer.getsockname())
                data, source = await asyncio.wait_for(loop.sock_recvfrom(peer, 100), 5)
                assert (data, source) == (b"ida", relayed)
                await loop.sock_sendto(peer, b"volta", relayed)
                assert await asyncio.wait_for(got.get(), 5) == b"volta"
            assert relay.counters.allocations_live == 1
        finally:
            await turn._close()
        assert relay.counters.allocations_live == 0

    async def test_two_ice_agents_that_have_only_relay_candidates_connect(self, relay: RelayRole) -> None:
        agents = [self.agent(relay, controlling=controlling) for controlling in (True, False)]
        try:
            for agent in agents:
                await agent.gather_candidates()
            for agent, other in (agents, reversed(agents)):
                agent.remote_username, agent.remote_password = other.local_username, other.local_password
                for candidate in other.local_candidates:
                    if candidate.type == "relay":
                        await agent.add_remote_candidate(candidate)
                await agent.add_remote_candidate(None)
            await asyncio.wait_for(asyncio.gather(*(agent.connect() for agent in agents)), 10)
            await agents[0].send(b"oi")
            assert await asyncio.wait_for(agents[1].recv(), 5) == b"oi"
            await agents[1].send(b"tudo bem?")
            assert await asyncio.wait_for(agents[0].recv(), 5) == b"tudo bem?"
        finally:
            for agent in agents:
                await agent.close()

    @staticmethod
    def agent(relay: RelayRole, *, controlling: bool) -> aioice.Connection:
        credentials = relay.credentials()
        return aioice.Connection(
            ice_controlling=controlling,
            turn_server=("127.0.0.1", relay.facts.udp[0]),
            turn_username=credentials.username,
            turn_password=credentials.password.expose().decode(),
            transport_policy=aioice.TransportPolicy.RELAY,
        )


async def wait_for_udp(host: str, port: int) -> None:
    """Until a program answers there: a closed UDP port refuses by ICMP."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.setblocking(False)
        probe.connect((host, port))
        for _ in range(200):
            with contextlib.suppress(ConnectionError, TimeoutError):
                await loop.sock_sendall(probe, b"?")
                return_to = await asyncio.wait_for(loop.sock_recv(probe, 100), 0.1)
                assert return_to
                return
            await asyncio.sleep(0.02)
    pytest.fail(f"nothing answers at {host}")


@pytest.mark.needs("turnserver", "coturn")
async def test_coturns_server_accepts_our_credentials_and_refuses_the_same_ones_expired(tmp_path: Path) -> None:
    """So that a large home may relay with coturn, without a change at the devices."""
    port = free_udp_port("127.0.0.1")
    files = [f"--{name}={tmp_path / name}" for name in ("userdb", "pidfile")]
    async with program(
        "turnserver",
        *("-n", "--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1", f"--listening-port={port}", "--no-tls"),
        *("--no-dtls", "--no-cli", "--use-auth-secret", f"--static-auth-secret={SECRET.expose().decode()}"),
        *("--realm=mepassa", "--allow-loopback-peers", "--log-file=stdout", "--simple-log", "--no-tcp"),
        *("--min-port=20000", "--max-port=20999", *files),
    ):
        client = UdpClient(("127.0.0.1", port))
        try:
            await answered(client)
            now_ms = RealClock().now_ms()
            made = make_credentials(SECRET, now_ms=now_ms, rng=SeededRng("coturn"))
            client.talk.username, client.talk.password = made.username, made.password.expose().decode()
            assert (await client.allocate())[0] == "127.0.0.1"
            client.close()
            client = UdpClient(("127.0.0.1", port), Dialogue.with_credentials(now_ms, lifetime_s=-60))
            assert code_of(await client.ask(Method.ALLOCATE, UDP)) == 401
            assert code_of(await client.ask(Method.ALLOCATE, UDP)) == 401
        finally:
            client.close()


async def answered(client: UdpClient) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(100):
        with contextlib.suppress(TimeoutError):
            await client.send(client.talk.request(Method.BINDING, signed=False))
            await asyncio.wait_for(loop.sock_recv(client.sock, 2000), 0.1)
            return
    pytest.fail("coturn does not answer")
