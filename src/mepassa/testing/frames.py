"""Two ends of one `ports.frames.FrameStream` in memory: what a WebSocket between a device and a home is, without one."""

# ruff: noqa: SLF001  # two ends of one thing

import asyncio
from collections import deque

from mepassa.model.errors import LinkLostError


class MemoryFrames:
    """One end. `cut` makes both ends swallow what is sent, as a dead network does; `drop` closes both, as a RST does."""

    def __init__(self, latency_s: float) -> None:
        self._latency_s = latency_s
        self._frames: deque[bytes] = deque()
        self._under_way: deque[bytes | None] = deque()
        """On their way to this end; None: that the other has closed."""
        self._arrived = asyncio.Event()
        self._closed = False
        self._silent = False
        self._peer: MemoryFrames | None = None

    async def send(self, frame: bytes) -> None:
        """Raises `LinkLostError` once either end has closed."""
        peer = self._peer
        if self._closed or peer is None or peer._closed:
            raise LinkLostError
        # Timers of one moment fire in no particular order, so each brings the frame that has been under way longest.
        peer._under_way.append(bytes(frame))
        asyncio.get_running_loop().call_later(self._latency_s, peer._receive)

    async def receive(self) -> bytes | None:
        """The next frame; None once this or the other end has closed and nothing is left."""
        while not self._frames:
            if self._closed:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        return self._frames.popleft()

    async def close(self) -> None:
        if self._closed:
            return
        self._end()
        if self._peer is not None and not self._silent:
            self._peer._under_way.append(None)
            asyncio.get_running_loop().call_later(self._latency_s, self._peer._receive)

    def cut(self) -> None:
        """From now on neither end hears the other, nor that it has gone."""
        for end in (self, self._peer):
            if end is not None:
                end._silent = True

    def drop(self) -> None:
        """Both ends are closed at once; what was under way is lost."""
        for end in (self, self._peer):
            if end is not None:
                end._frames.clear()
                end._end()

    def _receive(self) -> None:
        frame = self._under_way.popleft()
        if frame is None:
            self._end()
        elif not self._closed and not self._silent:
            self._frames.append(frame)
            self._arrived.set()

    def _end(self) -> None:
        self._closed = True
        self._arrived.set()


def frame_pair(*, latency_s: float = 0.0) -> tuple[MemoryFrames, MemoryFrames]:
    """Two ends, whole frames in order, `latency_s` one way. Works on a virtual loop."""
    one, other = MemoryFrames(latency_s), MemoryFrames(latency_s)
    one._peer, other._peer = other, one
    return one, other
