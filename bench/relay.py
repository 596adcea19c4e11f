"""What relaying costs: datagrams of 1 200 bytes to a peer and back, through our relay and through coturn, in one run.

The load is the same loop for both (a Python client, 32 datagrams in flight), so the rate says what one client gets and
the CPU time a datagram says what the host pays. `first data` is a cold start: allocate, bind a channel, one echo.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from ipaddress import ip_address
from pathlib import Path
from statistics import median

import psutil

from bench.figure import Figure
from mepassa.model.ids import Timestamp
from mepassa.model.secret import SecretBytes
from mepassa.server.relay import make_credentials
from mepassa.testing import SeededRng
from mepassa.wire.stun import (
    Attribute,
    ChannelNumber,
    ErrorCode,
    Message,
    MessageClass,
    Method,
    Nonce,
    Realm,
    RequestedTransport,
    Username,
    XorPeerAddress,
    decode_message,
    encode_channel_data,
    encode_message,
    long_term_key,
)

SECRET = "thirty-two letters of a secret ok"  # noqa: S105 - lives for one run
PAYLOAD_BYTES = 1_200
IN_FLIGHT = 32
SECONDS = 3.0
PEER_HOST = "127.0.0.2"

OURS = f"""
import asyncio, os, time
from mepassa.model.secret import SecretBytes
from mepassa.server.relay import RelayConfig, RelayRole

class Clock:
    monotonic = staticmethod(time.monotonic)
    now_ms = staticmethod(lambda: time.time_ns() // 1_000_000)

class Rng:
    token = staticmethod(os.urandom)
    uniform = staticmethod(lambda low, high: low)
    below = staticmethod(lambda limit: 0)

async def main():
    role = RelayRole(RelayConfig(allow_private_peers=True, user_quota=1000), SecretBytes({SECRET.encode()!r}), Clock(), Rng())
    print((await role.start()).udp[0], flush=True)
    await asyncio.Event().wait()

try:
    import uvloop
    uvloop.run(main())
except ImportError:
    asyncio.run(main())
"""


@contextmanager
def our_relay() -> Iterator[tuple[psutil.Process, int]]:
    with subprocess.Popen([sys.executable, "-c", OURS], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield psutil.Process(process.pid), int(process.stdout.readline())
        finally:
            process.kill()


@contextmanager
def coturn() -> Iterator[tuple[psutil.Process, int]]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        files = [f"--{name}={Path(folder) / name}" for name in ("userdb", "pidfile")]
        command = ["turnserver", "-n", "--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1", f"--listening-port={port}"]
        command += ["--no-tls", "--no-dtls", "--no-tcp", "--no-cli", "--use-auth-secret", "--realm=mepassa", *files]
        command += [f"--static-auth-secret={SECRET}", "--allow-loopback-peers", "--log-file=stdout", "--simple-log"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                time.sleep(1.0)
                yield psutil.Process(process.pid), port
            finally:
                process.kill()


class Client:
    def __init__(self, port: int) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.settimeout(2)
        self.sock.connect(("127.0.0.1", port))
        made = make_credentials(
            SecretBytes(SECRET.encode()), now_ms=Timestamp(time.time_ns() // 1_000_000), rng=SeededRng(os.getpid())
        )
        self.user, self.password = made.username, made.password.expose().decode()
        self.realm, self.nonce = "", b""

    def close(self) -> None:
        self.sock.close()

    def ask(self, method: Method, *attributes: Attribute) -> Message:
        said, key = attributes, None
        if self.realm:
            said = (*attributes, Username(self.user), Realm(self.realm), Nonce(self.nonce))
            key = long_term_key(self.user, self.realm, self.password)
        self.sock.send(encode_message(Message(method, MessageClass.REQUEST, os.urandom(12), said), key=key))
        answer = decode_message(self.sock.recv(4096))
        realm, nonce = answer.first(Realm), answer.first(Nonce)
        if realm is not None and nonce is not None:
            self.realm, self.nonce = realm.text, nonce.raw
        return answer

    def open_channel(self, peer: tuple[str, int]) -> None:
        self.ask(Method.ALLOCATE, RequestedTransport(17))
        for method, attributes in (
            (Method.ALLOCATE, (RequestedTransport(17),)),
            (Method.CHANNEL_BIND, (ChannelNumber(0x4000), XorPeerAddress((ip_address(peer[0]), peer[1])))),
        ):
            error = self.ask(method, *attributes).first(ErrorCode)
            assert error is None, error


def measure(relay: psutil.Process, port: int) -> tuple[float, float, float, float]:
    """Datagrams relayed a second (each way counts), µs of the relay's CPU a datagram, first data in ms, memory in MiB."""
    frame = encode_channel_data(0x4000, bytes(PAYLOAD_BYTES))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind((PEER_HOST, 0))
        peer.settimeout(2)
        firsts: list[float] = []
        for _ in range(20):
            begun = time.perf_counter()
            with closing(Client(port)) as client:
                client.open_channel(peer.getsockname())
                exchange(client.sock, peer, frame, 1)
            firsts.append((time.perf_counter() - begun) * 1000)
        with closing(Client(port)) as client:
            client.open_channel(peer.getsockname())
            cpu, begun, count = cpu_s(relay), time.perf_counter(), 0
            while time.perf_counter() - begun < SECONDS:
                count += exchange(client.sock, peer, frame, IN_FLIGHT)
            spent_s = time.perf_counter() - begun
        memory_mib = relay.memory_info().rss / 2**20
        return count / spent_s, (cpu_s(relay) - cpu) / count * 1e6, median(firsts), memory_mib


def exchange(client: socket.socket, peer: socket.socket, frame: bytes, count: int) -> int:
    """`count` datagrams there and back; how many were relayed."""
    for _ in range(count):
        client.send(frame)
    for _ in range(count):
        data, relayed = peer.recvfrom(2048)
        peer.sendto(data, relayed)
    for _ in range(count):
        client.recv(2048)
    return 2 * count


def cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def run() -> Iterable[Figure]:
    with our_relay() as (process, port):
        ours = measure(process, port)
    theirs: tuple[float, ...] | None = None
    if shutil.which("turnserver"):
        with coturn() as (process, port):
            theirs = measure(process, port)
    named = [
        ("relayed datagrams of 1200 B", "1/s"),
        ("relay CPU a datagram", "µs"),
        ("first data, cold", "ms"),
        ("relay process", "MiB"),
    ]
    for index, (name, unit) in enumerate(named):
        yield Figure(
            figure=name,
            value=ours[index],
            unit=unit,
            rival="coturn" if theirs else None,
            rival_value=theirs[index] if theirs else None,
        )
    yield Figure(figure="relayed throughput", value=ours[0] * PAYLOAD_BYTES / 1e6, unit="MB/s")
