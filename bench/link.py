"""The round trip of an acknowledged envelope over a live link, without a database: what the link itself costs."""

import asyncio
import statistics
import time
from collections.abc import Iterator
from ipaddress import IPv4Address

import uvloop

from bench.figure import Figure
from mepassa.identity import IdentityKeyPair, LinkRole
from mepassa.model.envelope import SealedEnvelope
from mepassa.model.ids import AccountId, Address
from mepassa.model.keys import IdentityKey
from mepassa.model.route import AddressClass, FoundBy, RouteKind, RouteTransport
from mepassa.ports.transport import Link, LinkFacts
from mepassa.transports.libp2p import Libp2pConfig, Libp2pTransport, TrioGuest
from mepassa.transports.link import LinkSession, LinkTiming
from mepassa.transports.loopback import stream_pair

ROUNDS = 1_000
ENVELOPE_BYTES = 1_024
IN_FLIGHT = 32


class _Peer:
    """Both identity and handler of one side; takes every envelope at once."""

    def __init__(self, number: int) -> None:
        self.own = Address(AccountId(bytes([number]) * 16), 1)
        self.list_version = 1
        self.key = IdentityKeyPair.generate()
        self.friend: _Peer | None = None

    def sign(self, message: bytes) -> bytes:
        return self.key.sign(message)

    def peer_key(self, peer: Address) -> IdentityKey | None:
        return self.friend.key.public if self.friend is not None and self.friend.own == peer else None

    def unlisted_hello(self, peer: Address) -> None:
        pass

    async def link_opened(self, link: Link) -> None:
        pass

    async def envelope_received(self, link: Link, envelope: SealedEnvelope) -> bool:
        return True

    async def link_closed(self, link: Link) -> None:
        pass


def _friends() -> tuple[_Peer, _Peer]:
    one, other = _Peer(1), _Peer(2)
    one.friend, other.friend = other, one
    return one, other


async def _round_trips(link: LinkSession) -> tuple[list[float], float]:
    """Milliseconds of each, one at a time; then envelopes a second with 32 in flight."""
    count = iter(range(10**9))

    async def one() -> float:
        envelope = SealedEnvelope(next(count).to_bytes(8, "big").ljust(ENVELOPE_BYTES, b"e"))
        started = time.perf_counter()
        await link.send(envelope)
        return (time.perf_counter() - started) * 1000

    for _ in range(100):
        await one()
    alone = [await one() for _ in range(ROUNDS)]
    started = time.perf_counter()

    async def stream() -> None:
        for _ in range(ROUNDS // IN_FLIGHT):
            await one()

    await asyncio.gather(*(stream() for _ in range(IN_FLIGHT)))
    return alone, ROUNDS // IN_FLIGHT * IN_FLIGHT / (time.perf_counter() - started)


async def _libp2p() -> tuple[list[float], float, float]:
    ana, bruno = _friends()
    guest = TrioGuest()
    await guest.start()
    config = Libp2pConfig(listen=(IPv4Address("127.0.0.1"),), allow_loopback=True)
    one, other = (Libp2pTransport(config, peer, peer, guest=guest) for peer in (ana, bruno))
    await one.start()
    facts = await other.start()
    connects = []
    for _ in range(20):
        started = time.perf_counter()
        link = await one.dial(bruno.own, facts.peer_id, facts.addresses, FoundBy.SIGNAL, timeout_s=5)
        connects.append((time.perf_counter() - started) * 1000)
        await link.close()
    link = await one.dial(bruno.own, facts.peer_id, facts.addresses, FoundBy.SIGNAL, timeout_s=5)
    alone, rate = await _round_trips(link)
    for transport in (one, other):
        await transport.stop()
    await guest.stop()
    return alone, rate, statistics.median(connects)


async def _memory() -> tuple[list[float], float]:
    ana, bruno = _friends()
    here, there = stream_pair()
    facts = LinkFacts(RouteKind.DIRECT, RouteTransport.LIBP2P, AddressClass.LOOPBACK, None)
    dialling = LinkSession(
        here, role=LinkRole.DIALLER, identity=ana, handler=ana, binding=b"", facts=facts, peer=bruno.own,
        timing=LinkTiming(),
    )  # fmt: skip
    answering = LinkSession(there, role=LinkRole.LISTENER, identity=bruno, handler=bruno, binding=b"", facts=facts)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(dialling.run())
        tasks.create_task(answering.run())
        await dialling.wait_open()
        found = await _round_trips(dialling)
        await dialling.close()
    return found


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def run() -> Iterator[Figure]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        memory, memory_rate = runner.run(_memory())
        alone, rate, connect_ms = runner.run(_libp2p())
    rival = "the same session over memory"
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        yield Figure(
            figure=f"acknowledged 1 KiB envelope over libp2p on loopback, both ends in one process, {name}",
            value=_percentile(alone, share),
            unit="ms",
            rival=rival,
            rival_value=_percentile(memory, share),
        )
    yield Figure(
        figure=f"acknowledged 1 KiB envelopes over libp2p, {IN_FLIGHT} in flight",
        value=rate,
        unit="1/s",
        rival=rival,
        rival_value=memory_rate,
    )
    yield Figure(figure="link over libp2p on loopback, connect and hellos, median", value=connect_ms, unit="ms")
