"""The relay as a role of the home: sockets and timers around the machine, nothing decided here."""

import asyncio
import errno
import logging
import socket
from collections import Counter
from collections.abc import Iterator
from typing import assert_never

from mepassa.model.addresses import IpAddress, parse_ip
from mepassa.model.errors import InvalidInputError, MalformedError, MepassaError, PortTakenError
from mepassa.model.secret import SecretBytes
from mepassa.ports.clock import Clock
from mepassa.ports.rng import Rng
from mepassa.server.limits import address_group
from mepassa.server.relay.allocation import FiveTuple, Sockaddr
from mepassa.server.relay.config import RelayConfig, RelayFacts
from mepassa.server.relay.counters import RelayCounters
from mepassa.server.relay.credentials import RelayCredentials, key_of, make_credentials
from mepassa.server.relay.machine import TurnServer
from mepassa.server.relay.nonces import KEY_BYTES, Nonces
from mepassa.server.relay.outputs import CloseRelay, OpenRelay, Output, ToClient, ToPeer
from mepassa.server.relay.peers import PeerRules, own_address_check
from mepassa.server.relay.tcp import TcpClient
from mepassa.server.relay.udp import UdpPort, bound_socket

log = logging.getLogger(__name__)

CLIENT_BATCH = 64
PEER_BATCH = 16
MAX_PORT_TRIES = 512
UNSPECIFIED = {"0.0.0.0": "192.0.2.1", "::": "2001:db8::1"}  # noqa: S104 - listening everywhere is a person's choice
"""Every interface -> an address that nobody has, to ask the kernel which interface leads outside (no packet is sent)."""


def _relayed_address(config: RelayConfig) -> tuple[IpAddress, frozenset[str]]:
    """What clients are told, and every address that stands for the relay itself."""
    own = config.listen_host
    if outside := UNSPECIFIED.get(own):
        family = socket.AF_INET6 if ":" in own else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((outside, 9))
                own = probe.getsockname()[0]
            except OSError:  # no way outside: a relay for this host alone
                own = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    try:
        told, local = parse_ip(config.public_address or own), parse_ip(own)
    except MalformedError as error:
        raise InvalidInputError("The relay's address must be written as numbers.", field="public_address") from error
    return told, frozenset({str(told), str(local)})


def _why_not_listening(error: OSError, port: int) -> MepassaError:
    if error.errno in {errno.EADDRINUSE, errno.EACCES}:
        return PortTakenError(port)
    return InvalidInputError("The relay cannot listen there; is it an address of this machine?", field="listen_host")


class RelayRole:
    """`secret` makes and checks credentials; the home and its relay share it (or the home and coturn)."""

    def __init__(self, config: RelayConfig, secret: SecretBytes, clock: Clock, rng: Rng) -> None:
        self.config, self._secret, self._clock, self._rng = config, secret, clock, rng
        self.counters = RelayCounters()
        address, own = _relayed_address(config)
        self._machine = TurnServer(
            config,
            relayed_address=address,
            key_of=lambda username: key_of(self._secret, username, config.realm, clock.now_ms()),
            nonces=Nonces(rng.token(KEY_BYTES), config.nonce_s),
            peers=PeerRules(
                own,
                allow_private=config.allow_private_peers,
                is_of_this_host=own_address_check(),
            ),
            counters=self.counters,
        )
        self._facts: RelayFacts | None = None
        self._ports: dict[Sockaddr, UdpPort] = {}
        self._server: asyncio.Server | None = None
        self._clients: dict[FiveTuple, TcpClient] = {}
        self._tcp_of: Counter[str] = Counter()
        self._relays: dict[FiveTuple, UdpPort] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._idle_timer: asyncio.TimerHandle | None = None

    # --- what the home calls -----------------------------------------------------------------------------------------

    async def start(self) -> RelayFacts:
        """Opens two UDP ports and one TCP port. Raises `PortTakenError` or `InvalidInputError`, with nothing left open."""
        try:
            wanted = self.config.turn_port
            udp = tuple(self._listen_udp(wanted + offset if wanted else 0) for offset in (0, 1))
            tcp = await self._listen_tcp(wanted)
        except MepassaError:
            await self.stop()
            raise
        self._facts = RelayFacts((udp[0], udp[1]), tcp)
        self._watch_idle()
        log.info("relay.started")
        return self._facts

    async def stop(self) -> None:
        """Closes every socket. May be called twice."""
        for timer in (self._timer, self._idle_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._idle_timer = None
        if self._server is not None:
            self._server.close()
        for client in list(self._clients.values()):
            client.abort()
        for port in (*self._ports.values(), *self._relays.values()):
            port.close()
        self._ports.clear()
        self._relays.clear()
        if self._server is not None:
            await self._server.wait_closed()
            self._server = None
            log.info("relay.stopped")

    @property
    def facts(self) -> RelayFacts:
        """Only after `start`."""
        if self._facts is None:
            raise InvalidInputError("The relay has not been started.")
        return self._facts

    def credentials(self, holder: bytes | None = None) -> RelayCredentials:
        """A fresh set for one log-in of `holder` (an account's id); they share one quota of allocations."""
        return make_credentials(self._secret, now_ms=self._clock.now_ms(), rng=self._rng, holder=holder)

    def turn_urls(self, host: str) -> tuple[str, ...]:
        """RFC 7065; `host` as clients reach it."""
        name = f"[{host}]" if ":" in host else host
        return (
            f"turn:{name}:{self.facts.udp[0]}?transport=udp",
            f"turn:{name}:{self.facts.tcp}?transport=tcp",
        )

    def stun_urls(self, host: str) -> tuple[str, ...]:
        """RFC 7064; two ports, so that clients can tell a symmetric NAT."""
        name = f"[{host}]" if ":" in host else host
        return tuple(f"stun:{name}:{port}" for port in self.facts.udp)

    # --- sockets -----------------------------------------------------------------------------------------------------

    def _listen_udp(self, port: int) -> int:
        try:
            sock = bound_socket(self.config.listen_host, port)
        except OSError as error:
            raise _why_not_listening(error, port) from error
        name = sock.getsockname()
        address: Sockaddr = (name[0], name[1])

        def receive(data: bytes, source: Sockaddr) -> None:
            self._from_client(FiveTuple("udp", source, address), data)

        self._ports[address] = UdpPort(sock, receive, batch=CLIENT_BATCH, large_buffer=True)
        return address[1]

    async def _listen_tcp(self, port: int) -> int:
        def client() -> TcpClient:
            return TcpClient(
                accepted=self._accepted,
                receive=self._from_client,
                lost=self._lost,
                send_buffer_bytes=self.config.send_buffer_bytes,
            )

        try:
            self._server = await asyncio.get_running_loop().create_server(client, self.config.listen_host, port)
        except OSError as error:
            raise _why_not_listening(error, port) from error
        found: int = self._server.sockets[0].getsockname()[1]
        return found

    def _accepted(self, client: TcpClient) -> bool:
        group = address_group(client.five_tuple.client[0])
        if len(self._clients) >= self.config.max_tcp_connections or self._server is None:
            return False
        if self._tcp_of[group] >= self.config.max_tcp_per_address:
            return False
        self._tcp_of[group] += 1
        self._clients[client.five_tuple] = client
        self.counters.tcp_connections = len(self._clients)
        return True

    def _lost(self, five_tuple: FiveTuple) -> None:
        if self._clients.pop(five_tuple, None) is not None:
            group = address_group(five_tuple.client[0])
            self._tcp_of[group] -= 1
            if not self._tcp_of[group]:
                del self._tcp_of[group]
        self.counters.tcp_connections = len(self._clients)
        self._carry_out(self._machine.connection_lost(five_tuple))

    def _from_client(self, five_tuple: FiveTuple, data: bytes) -> None:
        self._carry_out(self._machine.receive_datagram(data, five_tuple, self._clock.monotonic()))

    # --- what the machine asks for -----------------------------------------------------------------------------------

    def _carry_out(self, outputs: list[Output]) -> None:
        for output in outputs:
            match output:
                case ToPeer():
                    relay = self._relays.get(output.five_tuple)
                    self._count_drop(relay is not None and relay.send(output.data, output.peer))
                case ToClient():
                    self._count_drop(self._to_client(output))
                case OpenRelay():
                    self._open_relay(output)
                case CloseRelay():
                    if (relay := self._relays.pop(output.five_tuple, None)) is not None:
                        relay.close()
                case _:
                    assert_never(output)

    def _to_client(self, output: ToClient) -> bool:
        five_tuple = output.five_tuple
        if five_tuple.transport == "tcp":
            client = self._clients.get(five_tuple)
            return client is not None and client.send(output.data)
        port = self._ports.get(five_tuple.server)
        return port is not None and port.send(output.data, five_tuple.client)

    def _count_drop(self, taken: bool) -> None:
        if not taken:
            self.counters.datagrams_dropped += 1

    def _open_relay(self, wanted: OpenRelay) -> None:
        five_tuple = wanted.five_tuple
        sock = self._free_port(even=wanted.even)
        if sock is None:
            self._carry_out(self._machine.relay_failed(five_tuple))
            return

        def receive(data: bytes, source: Sockaddr) -> None:
            self._carry_out(self._machine.receive_from_peer(data, five_tuple, source, self._clock.monotonic()))

        relay = UdpPort(sock, receive, batch=PEER_BATCH)
        self._relays[five_tuple] = relay
        self._carry_out(self._machine.relay_opened(five_tuple, relay.address[1], self._clock.monotonic()))
        self._arm()

    def _free_port(self, *, even: bool) -> socket.socket | None:
        for port in self._port_tries():
            if even and port % 2:
                continue
            try:
                sock = bound_socket(self.config.listen_host, port)
            except OSError:
                continue
            if not even or sock.getsockname()[1] % 2 == 0:
                return sock
            sock.close()
        return None

    def _port_tries(self) -> Iterator[int]:
        """Ports in random order: a relayed address should not be guessable from the one before."""
        if self.config.relay_ports is None:
            yield from [0] * 32
            return
        low, high = self.config.relay_ports
        count = high - low + 1
        start = self._rng.below(count)
        for step in range(min(count, MAX_PORT_TRIES)):
            yield low + (start + step) % count

    # --- timers ------------------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        due = self._machine.next_timeout()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if due is not None and self._ports:
            delay_s = max(0.0, due - self._clock.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._expire)

    def _expire(self) -> None:
        self._carry_out(self._machine.handle_timeout(self._clock.monotonic()))
        self._arm()

    def _watch_idle(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for client in list(self._clients.values()):
            if now - client.last_heard > self.config.tcp_idle_s and not self._machine.has_allocation(client.five_tuple):
                client.abort()
        self._idle_timer = loop.call_later(self.config.tcp_idle_s / 2, self._watch_idle)
