"""Data through the relay, both ways (RFC 8656 §11, §12): whatever is not permitted is dropped in silence.

Between two allocations of this relay data goes straight across, without a socket.
"""

from mepassa.model.addresses import IpAddress
from mepassa.model.errors import MalformedError
from mepassa.server.relay.allocation import Allocation, FiveTuple, Sockaddr, endpoint_of
from mepassa.server.relay.allocations import AllocationTable
from mepassa.server.relay.counters import RelayCounters
from mepassa.server.relay.outputs import Output, ToClient, ToPeer
from mepassa.server.relay.peers import PeerRules
from mepassa.wire.stun import (
    Data,
    Message,
    MessageClass,
    Method,
    XorPeerAddress,
    decode_channel_data,
    encode_channel_data,
    encode_message,
)


class Relaying:
    def __init__(
        self, table: AllocationTable, *, relayed_address: IpAddress, peers: PeerRules, counters: RelayCounters
    ) -> None:
        self._table, self._host, self._peers, self._counters = table, str(relayed_address), peers, counters
        self._indications = 0

    def channel_data(self, data: bytes, five_tuple: FiveTuple, now: float) -> list[Output]:
        """Raises `MalformedError`."""
        frame = decode_channel_data(data)
        allocation = self._table.live(five_tuple, now)
        peer = allocation.peer_of(frame.channel, now) if allocation is not None else None
        if allocation is None or peer is None:
            return self._drop()
        return self._to_peer(allocation, frame.data, peer, now)

    def send_indication(self, indication: Message, five_tuple: FiveTuple, now: float) -> list[Output]:
        allocation = self._table.live(five_tuple, now)
        peer, data = indication.first(XorPeerAddress), indication.first(Data)
        if allocation is None or peer is None or data is None or indication.unknown_required:
            return self._drop()
        return self._to_peer(allocation, data.raw, (str(peer.endpoint[0]), peer.endpoint[1]), now)

    def from_peer(self, data: bytes, five_tuple: FiveTuple, peer: Sockaddr, now: float) -> list[Output]:
        allocation = self._table.live(five_tuple, now)
        return self._to_client(allocation, data, peer, now) if allocation is not None else []

    def _to_peer(self, allocation: Allocation, data: bytes, peer: Sockaddr, now: float) -> list[Output]:
        host, port = peer
        if not allocation.permits(host, now) or port == 0:
            return self._drop()
        other = None
        if self._peers.is_own(host):
            other = self._table.at_port(port)
            if other is None or other.expires_at <= now:
                return self._drop()
        self._counters.bytes_to_peers += len(data)
        self._counters.datagrams_to_peers += 1
        if other is not None:
            return self._to_client(other, data, (self._host, allocation.relayed_port), now)
        return [ToPeer(allocation.five_tuple, data, peer)]

    def _to_client(self, allocation: Allocation, data: bytes, peer: Sockaddr, now: float) -> list[Output]:
        if not allocation.permits(peer[0], now):
            return self._drop()
        self._counters.bytes_to_clients += len(data)
        self._counters.datagrams_to_clients += 1
        five_tuple = allocation.five_tuple
        if (channel := allocation.channel_of(peer, now)) is not None:
            return [ToClient(five_tuple, encode_channel_data(channel, data, padded=five_tuple.transport == "tcp"))]
        self._indications += 1  # nobody answers an indication: its transaction id need only differ from the last
        attributes = (XorPeerAddress(endpoint_of(peer)), Data(data))
        message = Message(Method.DATA, MessageClass.INDICATION, self._indications.to_bytes(12), attributes)
        try:
            return [ToClient(five_tuple, encode_message(message))]
        except MalformedError:  # a datagram of nearly 64 KiB does not fit an indication
            return self._drop()

    def _drop(self) -> list[Output]:
        self._counters.datagrams_dropped += 1
        return []
