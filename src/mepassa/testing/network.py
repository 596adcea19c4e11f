"""A network of frame streams in virtual time: latency, connections that die at any frame, peers that are cut off.

A stream is reliable until it breaks, as TCP is: what is lost is lost with its connection, and whoever tries again may
be heard twice. Order is kept within a connection only.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mepassa.model.errors import HomeUnreachableError, LinkLostError
from mepassa.ports.frames import FrameStream
from mepassa.ports.rng import Rng
from mepassa.testing.frames import MemoryFrames, frame_pair

Serve = Callable[[str, FrameStream, str], None]
"""(path, the server's end, who dials): starts whatever serves the stream."""


@dataclass(frozen=True, slots=True)
class Weather:
    """How bad the network is. `dies_per_frame`: the chance that a connection ends with a frame, which is then lost."""

    latency_s: tuple[float, float] = (0.005, 0.03)
    dies_per_frame: float = 0.0
    refuses_dial: float = 0.0


CLEAR = Weather()


class VirtualNetwork:
    """Servers by URL, dialers by name."""

    def __init__(self, rng: Rng, weather: Weather = CLEAR) -> None:
        self.weather = weather
        self._rng = rng
        self._servers: dict[str, Serve] = {}
        self._lines: dict[str, list[MemoryFrames]] = {}
        self._away: set[str] = set()
        self._addresses: dict[str, str] = {}
        self.dials: list[tuple[str, str]] = []
        """Who dialled which URL: what a test asserts of homes that must not be contacted."""

    def listen(self, url: str, serve: Serve) -> None:
        self._servers[url] = serve

    def stop_listening(self, url: str) -> None:
        """Dials are refused from now on, open connections end."""
        self._servers.pop(url, None)
        for who in list(self._lines):
            self.hang_up(who)

    def dialer(self, who: str) -> "Dialer":
        """A `transports.mailbox.DialHome` for one peer."""
        return Dialer(self, who)

    def address_of(self, who: str) -> str:
        """Each peer dials from an internet address of its own."""
        return self._addresses.setdefault(who, f"198.51.100.{len(self._addresses) + 1}")

    def cut_off(self, who: str) -> None:
        """The peer's network is gone: connections die unheard, dials fail."""
        self._away.add(who)
        self.hang_up(who)

    def bring_back(self, who: str) -> None:
        self._away.discard(who)

    def hang_up(self, who: str) -> None:
        """All of a peer's connections end, as a kernel ends those of a process that has died."""
        for line in self._lines.pop(who, []):
            line.drop()

    def dial(self, who: str, home_url: str, path: str) -> FrameStream:
        self.dials.append((who, home_url))
        serve = self._servers.get(home_url)
        if serve is None or who in self._away or self._rng.uniform(0, 1) < self.weather.refuses_dial:
            raise HomeUnreachableError
        ours, theirs = frame_pair(latency_s=self._rng.uniform(*self.weather.latency_s))
        self._lines.setdefault(who, []).append(ours)
        serve(path, self._rough(theirs), who)
        return self._rough(ours)

    def _rough(self, end: MemoryFrames) -> FrameStream:
        return _Line(end, self)

    def dies_now(self) -> bool:
        return self._rng.uniform(0, 1) < self.weather.dies_per_frame


@dataclass(frozen=True, slots=True)
class Dialer:
    """One peer's way out. Raises `HomeUnreachableError`."""

    network: VirtualNetwork
    who: str

    async def __call__(self, home_url: str, path: str) -> FrameStream:
        return self.network.dial(self.who, home_url, path)


class _Line:
    """One end of a connection that may die with any frame."""

    def __init__(self, end: MemoryFrames, network: VirtualNetwork) -> None:
        self._end, self._network = end, network

    async def send(self, frame: bytes) -> None:
        if self._network.dies_now():
            self._end.drop()
            raise LinkLostError
        await self._end.send(frame)

    async def receive(self) -> bytes | None:
        return await self._end.receive()

    async def close(self) -> None:
        await self._end.close()
