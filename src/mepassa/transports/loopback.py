"""Links in memory, for tests and the simulator: the real machine, session and hello over a pair of byte queues.

No IO and no clock but the running loop's, so that it works on a virtual one.
"""

import asyncio
import contextvars
import itertools
from collections import deque
from dataclasses import dataclass, field

from mepassa.identity import LinkRole
from mepassa.model.errors import LinkLostError, PathRefusedError
from mepassa.model.ids import Address
from mepassa.model.route import AddressClass, FoundBy, RouteKind, RouteTransport
from mepassa.ports.transport import Link, LinkFacts, LinkHandler, LinkIdentity
from mepassa.transports.link import LinkSession, LinkSet, LinkTiming

PIPE_BYTES = 256 * 1024
"""What one direction holds before its writer waits, as a socket would."""


class _Pipe:
    """One direction. What was written before `end` still arrives, then the end."""

    def __init__(self, latency_s: float) -> None:
        self._latency_s = latency_s
        self._loop = asyncio.get_running_loop()
        self._held = bytearray()
        self._on_the_way: deque[bytes | None] = deque()
        self._unread = 0
        self._changed = asyncio.Event()
        self._ended = self._abandoned = False
        self.cut = False

    async def write(self, data: bytes) -> None:
        while self._unread >= PIPE_BYTES and not self._closed:
            await self._wait()
        if self._closed:
            raise LinkLostError
        self._unread += len(data)
        self._put(data)

    async def read(self, limit_bytes: int) -> bytes:
        while not self._held and not self._closed:
            await self._wait()
        if self._abandoned:
            return b""
        data = bytes(self._held[:limit_bytes])
        del self._held[:limit_bytes]
        self._unread -= len(data)
        self._changed.set()
        return data

    def end(self) -> None:
        """The writer is done."""
        self._put(None)

    def abandon(self) -> None:
        """The reader is gone."""
        self._abandoned = True
        self._changed.set()

    @property
    def _closed(self) -> bool:
        return self._ended or self._abandoned

    def _put(self, data: bytes | None) -> None:
        self._on_the_way.append(data)
        if self._latency_s:
            self._loop.call_later(self._latency_s, self._arrive)
        else:
            self._arrive()

    def _arrive(self) -> None:
        """The oldest on the way, whichever timer it is that fires: a loop may shuffle those of one moment."""
        data = self._on_the_way.popleft()
        if self.cut:
            return
        if data is None:
            self._ended = True
        else:
            self._held += data
        self._changed.set()

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()


class LoopbackStream:
    """One end of a pair; a `transports.link.ByteStream`."""

    def __init__(self, incoming: _Pipe, outgoing: _Pipe) -> None:
        self._incoming, self._outgoing = incoming, outgoing

    async def read(self, limit_bytes: int) -> bytes:
        return await self._incoming.read(limit_bytes)

    async def write(self, data: bytes) -> None:
        await self._outgoing.write(data)

    async def close(self) -> None:
        self._incoming.abandon()
        self._outgoing.end()

    def cut(self) -> None:
        """From now on the pair swallows everything both ways, a close included: a cable pulled, a peer frozen."""
        self._incoming.cut = self._outgoing.cut = True


def stream_pair(*, latency_s: float = 0.0) -> tuple[LoopbackStream, LoopbackStream]:
    """Two ends of one channel; `latency_s` one way."""
    one, other = _Pipe(latency_s), _Pipe(latency_s)
    return LoopbackStream(one, other), LoopbackStream(other, one)


@dataclass
class LoopbackNetwork:
    """Who can reach whom. `register` is called in the peer's own context: all its tasks then run in that context.

    `relay`: its links call themselves relayed, by that HOST:PORT, and their transport QUIC; direct ones name `direct_by`.
    """

    latency_s: float = 0.0
    relay: str | None = None
    direct_by: RouteTransport = RouteTransport.LIBP2P
    timing: LinkTiming = field(default_factory=LinkTiming)
    _transports: "dict[Address, LoopbackTransport]" = field(default_factory=dict)
    _streams: dict[frozenset[Address], list[LoopbackStream]] = field(default_factory=dict)
    _cut: set[frozenset[Address]] = field(default_factory=set)
    _count: "itertools.count[int]" = field(default_factory=itertools.count)

    def facts(self, found_by: FoundBy | None) -> LinkFacts:
        if self.relay is None:
            return LinkFacts(RouteKind.DIRECT, self.direct_by, AddressClass.LOOPBACK, found_by)
        return LinkFacts(RouteKind.RELAYED, RouteTransport.QUIC, AddressClass.RELAY, found_by, self.relay)

    def register(self, identity: LinkIdentity, handler: LinkHandler) -> "LoopbackTransport":
        """A device appears (again: a restarted one takes the place of its former self)."""
        transport = LoopbackTransport(self, identity, handler)
        self._transports[identity.own] = transport
        return transport

    def unregister(self, transport: "LoopbackTransport") -> None:
        if self._transports.get(transport.identity.own) is transport:
            del self._transports[transport.identity.own]

    def cut(self, one: Address, other: Address) -> None:
        """Live links between the two go silent, new ones are not made, until `mend`."""
        pair = frozenset({one, other})
        self._cut.add(pair)
        for stream in self._streams.pop(pair, []):
            stream.cut()

    def mend(self, one: Address, other: Address) -> None:
        """New links can be made again; what was cut stays silent."""
        self._cut.discard(frozenset({one, other}))

    def connect(self, own: Address, peer: Address) -> "tuple[LoopbackStream, LoopbackTransport, LoopbackStream, bytes]":
        """Our end, the other transport, its end, the binding. Raises `LinkLostError` where nobody can be reached."""
        pair = frozenset({own, peer})
        other = self._transports.get(peer)
        if other is None or pair in self._cut:
            raise LinkLostError
        here, there = stream_pair(latency_s=self.latency_s)
        self._streams.setdefault(pair, []).append(here)
        return here, other, there, b"loopback" + next(self._count).to_bytes(8, "big")


class LoopbackTransport:
    """One device on a `LoopbackNetwork`. `direct` off: neither dials nor accepts."""

    def __init__(self, network: LoopbackNetwork, identity: LinkIdentity, handler: LinkHandler) -> None:
        self._network, self.identity, self._handler = network, identity, handler
        self._context = contextvars.copy_context()
        self._tasks: set[asyncio.Task[None]] = set()
        self.links = LinkSet()
        self.direct = True

    async def dial(self, peer: Address, *, found_by: FoundBy = FoundBy.SIGNAL) -> Link:
        """Raises `LinkLostError`, `PathRefusedError` or `HelloRefusedError`."""
        if not self.direct:
            raise PathRefusedError
        here, other, there, binding = self._network.connect(self.identity.own, peer)
        other.accept(there, binding)
        session = self._session(here, LinkRole.DIALLER, binding, found_by, peer)
        self._spawn(session)
        await session.wait_open()
        return session

    def accept(self, stream: LoopbackStream, binding: bytes) -> None:
        if self.direct:
            self._context.run(self._accept, stream, binding)

    async def stop(self) -> None:
        """Say bye on every link and leave the network."""
        self._network.unregister(self)
        await self.links.end_all("close")
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, stream: LoopbackStream, binding: bytes) -> None:
        self._spawn(self._session(stream, LinkRole.LISTENER, binding, None, None))

    def _session(
        self, stream: LoopbackStream, role: LinkRole, binding: bytes, found_by: FoundBy | None, peer: Address | None
    ) -> LinkSession:
        return LinkSession(
            stream,
            role=role,
            identity=self.identity,
            handler=self._handler,
            binding=binding,
            facts=self._network.facts(found_by),
            peer=peer,
            timing=self._network.timing,
            links=self.links,
        )

    def _spawn(self, session: LinkSession) -> None:
        task = asyncio.get_running_loop().create_task(session.run(), context=self._context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
