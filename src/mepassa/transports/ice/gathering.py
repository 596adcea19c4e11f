"""Gathering local candidates (RFC 8445 §5.1.1): host, srflx and relay at once, with an end that does not wait for the dead.

aioice knows one STUN and one TURN server and waits five seconds where UDP is blocked; this asks both STUN ports of the
home, allocates over UDP first and over TCP only where UDP keeps silent, and stops as soon as nothing better can come.
"""

import asyncio
import socket
from dataclasses import dataclass, field

from aioice import stun
from aioice.candidate import Candidate, candidate_foundation, candidate_priority
from aioice.ice import StunProtocol, get_host_addresses
from aioice.turn import UDP_SOCKET_BUFFER_SIZE

from mepassa.model.addresses import IpAddress, is_never_dialled, parse_ip
from mepassa.model.errors import MalformedError
from mepassa.model.route import NatKind
from mepassa.ports.mailbox import TurnCredentials
from mepassa.transports.ice.connection import CheckedProtocol, StagedConnection
from mepassa.transports.ice.nat import Endpoint, classify_nat
from mepassa.transports.ice.servers import (
    ServerRules,
    StunServer,
    TurnServer,
    decode_stun_uri,
    decode_turn_uri,
    usable,
)
from mepassa.transports.ice.sockets import open_udp
from mepassa.transports.ice.turn_client import MALFORMED, relay_candidate

GATHER_CAP_S = 1.5
"""Seconds after which what has come is used. Two STUN transmissions and their answers fit (0 and 0.5 s)."""
TURN_TCP_AFTER_S = 0.3
"""Seconds without any answer over UDP before TURN over TCP is tried beside it. Where UDP works its two round trips are over
before TCP's three; where it is blocked nobody should wait longer, since the offer leaves after the gathering…"""
TURN_TCP_ANYWAY_S = 0.9
"""…and this long where a STUN port has answered, so that UDP works and only a datagram to TURN was lost."""
TCP_CAP_S = 2.0
"""Where only TCP can work, the connection, the challenge and the allocation (three round trips) get until then."""
STRAGGLERS_S = 0.1
"""Once a relay and a mapped address are there, others (further interfaces that lead nowhere) get this much longer."""
MAX_HOST_SOCKETS = 8
"""Own addresses used: enough for two networks with IPv4 and IPv6, bounded on a machine full of bridges."""

RESOLVE_CAP_S = 1.0
"""For the home's name, before anything else; it was looked up a moment ago to log in, so it is usually at hand."""

_FAILED = (OSError, stun.TransactionError, TimeoutError, MalformedError, *MALFORMED)
"""How one server or socket can fail; the others go on."""


@dataclass(slots=True)
class Gathered:
    """What one gathering brought; `protocols` are the sockets and allocations behind the candidates."""

    candidates: list[Candidate] = field(default_factory=list)
    protocols: list[StunProtocol] = field(default_factory=list)
    relays: dict[tuple[str, int], TurnServer] = field(default_factory=dict)
    """Which server a relayed address was allocated at."""
    nat_kind: NatKind = NatKind.UNKNOWN
    mapped: list[tuple[StunProtocol, tuple[str, int]]] = field(default_factory=list)
    """Sockets with a srflx candidate, and the STUN port that saw it: whom to write to so that the mapping stays."""


async def gather(
    connection: StagedConnection,
    servers: TurnCredentials | None,
    rules: ServerRules,
    *,
    hosts: bool,
    relay: bool,
    allow_loopback: bool,
) -> Gathered:
    """`rules`: which of the servers may be asked. `hosts`: offer own addresses (host and srflx) at all; `relay`: allocate at the home's relay.

    Does not raise for what the network does; every socket opened is in the result or closed.
    """
    work = _Gathering(connection, servers, rules, allow_loopback)
    try:
        return await work.run(hosts=hosts, relay=relay)
    except BaseException:
        for protocol in work.result.protocols:
            protocol.transport.close()
        raise


class _Gathering:
    def __init__(
        self,
        connection: StagedConnection,
        servers: TurnCredentials | None,
        rules: ServerRules,
        allow_loopback: bool,
    ) -> None:
        self.result = Gathered()
        self._connection, self._allow_loopback = connection, allow_loopback
        self._credentials, self._rules = servers, rules
        self._stun = usable(decode_stun_uri, servers.stun_servers if servers else ())[:2]
        self._turn = usable(decode_turn_uri, servers.servers if servers else ())
        self._answers: dict[Endpoint, list[Endpoint | None]] = {}
        self._mapped = asyncio.Event()
        self._relayed = asyncio.Event()
        self._addresses: dict[str, str] = {}

    async def run(self, *, hosts: bool, relay: bool) -> Gathered:
        self._addresses = await _resolve({s.host for s in self._stun} | {t.host for t in self._turn}, self._rules)
        if hosts:
            await self._open_hosts()
        tasks = [
            asyncio.create_task(self._probe(protocol, index, server))
            for protocol in list(self.result.protocols)
            for index, server in enumerate(self._stun)
            if server.host in self._addresses
        ]
        relay_task = asyncio.create_task(self._allocate()) if relay and self._turn else None
        try:
            await self._wait(tasks, relay_task)
        finally:
            unfinished = [*tasks, *([relay_task] if relay_task else [])]
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)
        self.result.nat_kind = classify_nat(self._answers)
        return self.result

    async def _wait(self, tasks: list[asyncio.Task[None]], relay_task: asyncio.Task[None] | None) -> None:
        pending = {*tasks, *([relay_task] if relay_task else [])}
        if not pending:
            return
        loop = asyncio.get_running_loop()
        begun = loop.time()
        end = begun + GATHER_CAP_S
        while pending and (left := end - loop.time()) > 0:
            _, pending = await asyncio.wait(pending, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if self._enough(tasks, relay_task):
                end = min(end, loop.time() + STRAGGLERS_S)
        only_tcp_left = relay_task in pending and not self._mapped.is_set()
        if relay_task and only_tcp_left:
            await asyncio.wait({relay_task}, timeout=begun + TCP_CAP_S - loop.time())

    def _enough(self, tasks: list[asyncio.Task[None]], relay_task: asyncio.Task[None] | None) -> bool:
        """Only interfaces that lead nowhere can still be pending. A relay over TCP means that UDP had its time."""
        if any(server.transport == "tcp" for server in self.result.relays.values()):
            return True
        relay_settled = relay_task is None or relay_task.done()
        return relay_settled and (not tasks or self._mapped.is_set())

    # host and srflx

    async def _open_hosts(self) -> None:
        for address in self._own_addresses():
            try:
                transport, protocol = await open_udp(
                    lambda: CheckedProtocol(self._connection), local_addr=(str(address), 0)
                )
            except OSError:
                continue  # the address went away, or cannot be bound to
            raw = transport.get_extra_info("socket")
            if raw is not None:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UDP_SOCKET_BUFFER_SIZE)
            host, port = transport.get_extra_info("sockname")[:2]
            protocol.local_candidate = _candidate("host", host, port, host, len(self.result.candidates))
            self.result.protocols.append(protocol)
            self.result.candidates.append(protocol.local_candidate)

    def _own_addresses(self) -> list[IpAddress]:
        texts = get_host_addresses(use_ipv4=True, use_ipv6=True)
        if self._allow_loopback:
            texts.append("127.0.0.1")
        own: list[IpAddress] = []
        for text in texts:
            try:
                address = parse_ip(text)
            except MalformedError:
                continue
            if address not in own and not is_never_dialled(address, allow_loopback=self._allow_loopback):
                own.append(address)
        return own[:MAX_HOST_SOCKETS]

    async def _probe(self, protocol: StunProtocol, index: int, server: StunServer) -> None:
        """One Binding request; its answer is a srflx candidate unless it tells nothing new."""
        base = protocol.local_candidate
        own, asked = parse_ip(base.host), parse_ip(self._addresses[server.host])
        if own.version != asked.version or own.is_loopback != asked.is_loopback:
            return  # could not get there, or would come back under another of our addresses
        answers = self._answers.setdefault((own, base.port), [])
        slot = len(answers)
        answers.append(None)
        request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
        try:
            response, _ = await protocol.request(request, (str(asked), server.port))
            host, port = response.attributes["XOR-MAPPED-ADDRESS"]
            seen = (parse_ip(host), port)
            if port == 0:
                return
            answers[slot] = seen
        except _FAILED:
            return
        known = {(candidate.host, candidate.port) for candidate in self.result.candidates}
        has_srflx = any(c.type == "srflx" and c.related_address == base.host for c in self.result.candidates)
        if (host, port) not in known and not has_srflx:
            self.result.candidates.append(_candidate("srflx", host, port, base.host, index))
            self.result.mapped.append((protocol, (str(asked), server.port)))
        if len([answer for answer in answers if answer is not None]) == len(answers):
            self._mapped.set()

    # relay

    async def _allocate(self) -> None:
        """TURN over UDP; over TCP when UDP has failed or kept silent for a while. The first wins."""
        over_udp = next((server for server in self._turn if server.transport == "udp"), None)
        over_tcp = next((server for server in self._turn if server.transport == "tcp"), None)
        first = asyncio.create_task(self._allocate_at(over_udp)) if over_udp else None
        tasks = {first} if first else set()
        try:
            if first:
                await asyncio.wait({first}, timeout=TURN_TCP_AFTER_S if over_tcp else None)
                if over_tcp and not first.done() and self._udp_works():
                    await asyncio.wait({first}, timeout=TURN_TCP_ANYWAY_S - TURN_TCP_AFTER_S)
            if over_tcp and not (first and first.done() and first.result()):
                tasks.add(asyncio.create_task(self._allocate_at(over_tcp)))
            pending = set(tasks)
            while pending and not self._relayed.is_set():
                _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _udp_works(self) -> bool:
        return any(seen is not None for answers in self._answers.values() for seen in answers)

    async def _allocate_at(self, server: TurnServer) -> bool:
        credentials = self._credentials
        if credentials is None or server.host not in self._addresses:
            return False
        try:
            candidate, protocol = await relay_candidate(
                TurnServer(self._addresses[server.host], server.port, server.transport),
                username=credentials.username,
                password=credentials.password.expose().decode(),
                local_preference=65_535 if server.transport == "udp" else 65_000,
                protocol_factory=lambda: CheckedProtocol(self._connection),
            )
        except _FAILED:
            return False
        self.result.protocols.append(protocol)
        self.result.candidates.append(candidate)
        self.result.relays[candidate.host, candidate.port] = server
        self._relayed.set()
        return True


def _candidate(kind: str, host: str, port: int, base: str, rank: int) -> Candidate:
    """`rank` orders candidates of one kind: the first found is tried first (RFC 8445 §5.1.2.1, local preference)."""
    related = (base, 9) if kind == "srflx" else (None, None)
    return Candidate(
        foundation=candidate_foundation(kind, "udp", base),
        component=1,
        transport="udp",
        priority=candidate_priority(1, kind, 65_535 - rank),
        host=host,
        port=port,
        type=kind,
        related_address=related[0],
        related_port=related[1],
    )


async def _resolve(hosts: set[str], rules: ServerRules) -> dict[str, str]:
    """host -> address as text: literals as they are, the home's name by the system's resolver, within `RESOLVE_CAP_S`.

    What the rules do not admit is left out, a name before anybody is asked for it.
    """
    found: dict[str, str] = {}
    names: set[str] = set()
    for host in hosts:
        try:
            found[host] = str(parse_ip(host))
        except MalformedError:
            if rules.admits_name(host):
                names.add(host)
    if names:
        tasks = {name: asyncio.create_task(_look_up(name)) for name in names}
        done, pending = await asyncio.wait(tasks.values(), timeout=RESOLVE_CAP_S)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        found |= {name: task.result() for name, task in tasks.items() if task in done and not task.exception()}
    return {host: address for host, address in found.items() if rules.admits(parse_ip(address))}


async def _look_up(name: str) -> str:
    """IPv4 first: srflx candidates and our relay speak it. Raises `OSError` or `MalformedError`."""
    entries = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_DGRAM)
    addresses = [parse_ip(str(entry[4][0])) for entry in entries]
    return str(min(addresses, key=lambda address: address.version))
