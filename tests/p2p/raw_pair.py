"""Two ends of a raw connection in memory, handshaken; each end with our session and muxer, or with the library's."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import trio
from libp2p.abc import IRawConnection, ISecureConn
from libp2p.connection_types import ConnectionType
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.peer.id import ID
from libp2p.security.noise.transport import Transport
from libp2p.stream_muxer.yamux.yamux import Yamux as TheirYamux
from multiaddr import Multiaddr

from mepassa.p2p.noise import PromptNoise, SendNow
from mepassa.p2p.yamux import Yamux

OURS, THEIRS = "ours", "theirs"
BOTH_WAYS = [(OURS, OURS), (OURS, THEIRS), (THEIRS, OURS)]


class RawEnd(IRawConnection):
    """`cut`: how many bytes one read gives at most; `takes`: how many one `send_now` takes, of what is offered."""

    def __init__(self, is_initiator: bool, cut: Callable[[], int], takes: Callable[[int], int]) -> None:
        self.is_initiator = is_initiator
        self.peer: RawEnd | None = None
        self.came = bytearray()
        self.seen = bytearray()
        """All that ever came."""
        self.is_open = True
        self._cut, self._takes = cut, takes
        self._changed = trio.lowlevel.ParkingLot()
        self.gate = trio.Event()
        """Until it is set, the kernel waits."""
        self.gate.set()

    async def read(self, n: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        while not self.came and self.is_open:
            await self._changed.park()
        size = min(len(self.came), self._cut(), n or 2**30)
        data = bytes(self.came[:size])
        del self.came[:size]
        return data

    async def write(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        await self.gate.wait()
        self._put(data)

    def send_now(self, data: bytearray) -> int:
        size = self._takes(len(data)) if self.gate.is_set() else 0
        if not size:
            raise BlockingIOError
        self._put(bytes(data[:size]))
        return size

    def _put(self, data: bytes) -> None:
        if not self.is_open or self.peer is None or not self.peer.is_open:
            raise ConnectionResetError
        self.peer.came += data
        self.peer.seen += data
        self.peer._changed.unpark_all()

    async def close(self) -> None:
        for end in (self, self.peer):
            if end is not None:
                end.is_open = False
                end._changed.unpark_all()
        await trio.lowlevel.checkpoint()

    def get_remote_address(self) -> tuple[str, int] | None:
        return None

    def get_transport_addresses(self) -> list[Multiaddr]:
        return []

    def get_connection_type(self) -> ConnectionType:
        return ConnectionType.DIRECT


def all_of(size: int) -> int:
    return size


def raw_pair(cut: Callable[[], int] = lambda: 2**30, takes: Callable[[int], int] = all_of) -> tuple[RawEnd, RawEnd]:
    near, far = RawEnd(True, cut, takes), RawEnd(False, cut, takes)
    near.peer, far.peer = far, near
    return near, far


def chance(seed: int) -> tuple[Callable[[], int], Callable[[int], int]]:
    """Reads of any size, and a kernel that takes nothing, something or all."""
    rng = Random(seed)
    return (lambda: rng.choice((1, 3, 40, 5_000, 2**30))), (lambda size: rng.choice((0, size // 2, size)))


async def shake_hands(near: RawEnd, far: RawEnd, kinds: tuple[str, str] = (OURS, OURS)) -> list[Any]:
    """The secure sessions of both, the dialler's first."""
    keys = [create_new_key_pair(bytes([number]) * 32) for number in (1, 2)]
    sessions: list[ISecureConn | None] = [None, None]

    def noise(number: int) -> Transport:
        own_key = create_noise_key_pair().private_key
        return (
            PromptNoise(keys[number], own_key, _send_now) if kinds[number] == OURS else Transport(keys[number], own_key)
        )

    async def dial() -> None:
        sessions[0] = await noise(0).secure_outbound(near, ID.from_pubkey(keys[1].public_key))

    async def answer() -> None:
        sessions[1] = await noise(1).secure_inbound(far)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(dial)
        nursery.start_soon(answer)
    return sessions


def _send_now(raw: IRawConnection) -> SendNow:
    assert isinstance(raw, RawEnd)
    return raw.send_now


@dataclass
class Muxed:
    near: Any
    far: Any
    near_raw: RawEnd
    far_raw: RawEnd


@asynccontextmanager
async def muxed_pair(
    kinds: tuple[str, str] = (OURS, OURS), cut: Callable[[], int] = lambda: 2**30, takes: Callable[[int], int] = all_of
) -> AsyncIterator[Muxed]:
    """Both muxers run until the end."""
    raws = raw_pair(cut, takes)
    sessions = await shake_hands(*raws, kinds)
    muxers = [
        Yamux(session, session.get_remote_peer()) if kind == OURS else TheirYamux(session, session.get_remote_peer())
        for kind, session in zip(kinds, sessions, strict=True)
    ]
    async with trio.open_nursery() as nursery:
        for muxer in muxers:
            nursery.start_soon(muxer.start)
            await muxer.event_started.wait()
        near, far = muxers
        yield Muxed(near, far, *raws)
        for muxer in muxers:
            await muxer.close()
