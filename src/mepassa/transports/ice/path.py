"""A path that ICE has found: datagrams both ways, and what the route record says of it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address

from aioice.ice import CandidatePair

from mepassa.model.addresses import is_private, parse_ip
from mepassa.model.route import AddressClass, FoundBy, RouteKind, RouteTransport
from mepassa.ports.transport import LinkFacts
from mepassa.transports.ice.connection import StagedConnection, has_relay_end

SILENCE_S = 10.0
"""How long a silenced path swallows bytes before it closes (docs: local API, `PUT /paths`)."""


@dataclass(frozen=True, slots=True)
class IceFacts:
    """`via` is the relay's host:port when relayed: our own home's server if it is our end, else the peer's relayed
    address. `rtt_s` is the quickest answer to a check, in seconds.
    """

    relayed: bool
    address_class: AddressClass
    via: str | None
    rtt_s: float | None

    def link_facts(self, found_by: FoundBy | None) -> LinkFacts:
        return LinkFacts(
            kind=RouteKind.RELAYED if self.relayed else RouteKind.DIRECT,
            transport=RouteTransport.QUIC,
            address_class=self.address_class,
            found_by=found_by,
            via=self.via,
        )


class IcePath:
    """Owns the connection below it from now on. Datagrams may be lost, doubled or swapped, as UDP does."""

    def __init__(self, connection: StagedConnection, facts: IceFacts) -> None:
        self.facts = facts
        self._connection = connection
        self._silence: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None

    def send(self, data: bytes) -> None:
        """Best effort; silently nothing once the path is gone."""
        self._connection.send_payload(data)

    def read_into(self, sink: Callable[[bytes], None] | None) -> None:
        """Hand every datagram to `sink` as it comes (on the event loop); None: stop."""
        self._connection.read_into(sink)

    def silence(self, for_s: float = SILENCE_S) -> None:
        """Swallow all bytes both ways without a word, STUN included, and close after `for_s`: what a cut cable does."""
        self._connection.silenced = True
        if self._silence is None:
            self._silence = asyncio.get_running_loop().call_later(for_s, self._start_closing)

    @property
    def silenced(self) -> bool:
        return self._connection.silenced

    async def wait_lost(self) -> None:
        """Until nothing will pass any more: closed here, consent expired, or the relay's connection broke."""
        await asyncio.shield(self._connection.lost)

    async def wait_closed(self) -> None:
        """Until every socket and allocation below is closed."""
        await self.wait_lost()
        await self.close()

    async def close(self) -> None:
        """Idempotent. Frees the relay's allocation."""
        if self._silence is not None:
            self._silence.cancel()
        self._start_closing()
        if self._closing is not None:
            await asyncio.shield(self._closing)

    def _start_closing(self) -> None:
        if self._closing is None:
            self._closing = asyncio.create_task(self._connection.close())


def describe_pair(
    pair: CandidatePair, *, relay_names: dict[tuple[str, int], str], behind_nat: bool, rtt_s: float | None
) -> IceFacts:
    """The facts of a nominated pair. `relay_names`: our relayed addresses -> the server's host:port; `behind_nat`:
    a STUN server saw the local socket under another address.
    """
    if has_relay_end(pair):
        if pair.local_candidate.type == "relay":
            via = relay_names.get(pair.local_addr)
        else:
            via = f"{pair.remote_addr[0]}:{pair.remote_addr[1]}"
        return IceFacts(relayed=True, address_class=AddressClass.RELAY, via=via, rtt_s=rtt_s)
    return IceFacts(relayed=False, address_class=_direct_class(pair, behind_nat=behind_nat), via=None, rtt_s=rtt_s)


def _direct_class(pair: CandidatePair, *, behind_nat: bool) -> AddressClass:
    """Hole punched means that both ends sit behind a NAT; where one can be reached as it is, the other just called."""
    remote = parse_ip(pair.remote_addr[0])
    if remote.is_loopback or pair.remote_addr[0] == pair.local_addr[0]:
        return AddressClass.LOOPBACK
    if is_private(remote):
        return AddressClass.LAN
    if isinstance(remote, IPv6Address):
        return AddressClass.IPV6
    if behind_nat and pair.remote_candidate.type != "host":
        return AddressClass.HOLE_PUNCHED
    return AddressClass.PUBLIC
