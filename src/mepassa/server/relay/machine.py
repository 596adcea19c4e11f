"""The TURN server as a pure machine: datagrams in, datagrams out (RFC 8656; docs/protocol/relay.md).

Opening a relay socket is asked for (`OpenRelay`) and answered by the shell (`relay_opened`, `relay_failed`); everything
else is decided here: `Requests` says who may have what, `AllocationTable` keeps it, `Relaying` moves data through it.
"""

from collections.abc import Callable

from mepassa.model.addresses import IpAddress
from mepassa.model.errors import MalformedError
from mepassa.server.relay.allocation import FiveTuple, Sockaddr
from mepassa.server.relay.allocations import AllocationTable
from mepassa.server.relay.config import RelayConfig
from mepassa.server.relay.counters import RelayCounters
from mepassa.server.relay.nonces import Nonces
from mepassa.server.relay.outputs import CloseRelay, Output
from mepassa.server.relay.peers import PeerRules
from mepassa.server.relay.relaying import Relaying
from mepassa.server.relay.requests import Requests
from mepassa.wire.stun import MessageClass, Method, decode_message, is_channel_data


class TurnServer:
    """`key_of(username)`: the HMAC key of a user whose credentials are valid now, else None."""

    def __init__(
        self,
        config: RelayConfig,
        *,
        relayed_address: IpAddress,
        key_of: Callable[[str], bytes | None],
        nonces: Nonces,
        peers: PeerRules,
        counters: RelayCounters,
    ) -> None:
        self.counters = counters
        self._table = AllocationTable(counters)
        self._requests = Requests(
            config,
            self._table,
            relayed_address=relayed_address,
            key_of=key_of,
            nonces=nonces,
            peers=peers,
            counters=counters,
        )
        self._relaying = Relaying(self._table, relayed_address=relayed_address, peers=peers, counters=counters)

    def receive_datagram(self, data: bytes, five_tuple: FiveTuple, now: float) -> list[Output]:
        """One UDP datagram, or one frame of a stream, from a client."""
        try:
            if is_channel_data(data):
                return self._relaying.channel_data(data, five_tuple, now)
            message = decode_message(data)
        except MalformedError:
            self.counters.malformed += 1
            return []
        if message.message_class is MessageClass.REQUEST:
            # What has ended goes first and in any case: the port and the place in the quota may be wanted again.
            return [*self._table.end_expired(now), *self._requests.receive(message, five_tuple, now)]
        if message.message_class is MessageClass.INDICATION and message.method is Method.SEND:
            return self._relaying.send_indication(message, five_tuple, now)
        return []

    def receive_from_peer(self, data: bytes, five_tuple: FiveTuple, peer: Sockaddr, now: float) -> list[Output]:
        """One datagram at the relay socket of that allocation."""
        return self._relaying.from_peer(data, five_tuple, peer, now)

    def relay_opened(self, five_tuple: FiveTuple, port: int, now: float) -> list[Output]:
        opened = self._table.opened(five_tuple, port, now)
        if opened is None:  # the client is gone
            return [CloseRelay(five_tuple)]
        return [self._requests.relay_opened(*opened, now)]

    def relay_failed(self, five_tuple: FiveTuple) -> list[Output]:
        """No port of the range is free."""
        request = self._table.give_up(five_tuple)
        return [] if request is None else [self._requests.relay_failed(request)]

    def connection_lost(self, five_tuple: FiveTuple) -> list[Output]:
        """A TCP client has gone: its allocation goes with it (RFC 8656 §5)."""
        self._table.give_up(five_tuple)
        return self._table.end(five_tuple)

    def next_timeout(self) -> float | None:
        return self._table.next_timeout()

    def handle_timeout(self, now: float) -> list[Output]:
        """Ends allocations whose time is up."""
        return self._table.end_expired(now)

    def has_allocation(self, five_tuple: FiveTuple) -> bool:
        return five_tuple in self._table
