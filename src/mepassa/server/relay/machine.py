"""The TURN server as a pure machine: datagrams in, datagrams out (RFC 8656; docs/protocol/relay.md).

Opening a relay socket is asked for (`OpenRelay`) and answered by the shell (`relay_opened`, `relay_failed`); everything
else is decided here. Between two allocations of this relay data goes straight across, without a socket.
"""

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address

from mepassa.model.addresses import IpAddress
from mepassa.model.errors import MalformedError
from mepassa.server.relay.allocation import Allocation, FiveTuple, Sockaddr
from mepassa.server.relay.config import RelayConfig
from mepassa.server.relay.counters import RelayCounters
from mepassa.server.relay.credentials import holder_of
from mepassa.server.relay.nonces import Nonces
from mepassa.server.relay.peers import PeerRules
from mepassa.wire.stun import (
    MAX_CHANNEL,
    MIN_CHANNEL,
    Attribute,
    ChannelNumber,
    Data,
    Endpoint,
    ErrorCode,
    EvenPort,
    Lifetime,
    Message,
    MessageClass,
    Method,
    Nonce,
    Realm,
    RequestedAddressFamily,
    RequestedTransport,
    ReservationToken,
    UnknownAttributes,
    Username,
    XorMappedAddress,
    XorPeerAddress,
    XorRelayedAddress,
    decode_channel_data,
    decode_message,
    encode_channel_data,
    encode_message,
    is_channel_data,
)

UDP_PROTOCOL = 17
FAMILIES = {4: 0x01, 6: 0x02}
CHANNELS = range(MIN_CHANNEL, MAX_CHANNEL + 1)

REASONS = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    420: "Unknown Attribute",
    437: "Allocation Mismatch",
    438: "Stale Nonce",
    440: "Address Family not Supported",
    441: "Wrong Credentials",
    442: "Unsupported Transport Protocol",
    443: "Peer Address Family Mismatch",
    486: "Allocation Quota Reached",
    508: "Insufficient Capacity",
}


@dataclass(frozen=True, slots=True)
class ToClient:
    five_tuple: FiveTuple
    data: bytes


@dataclass(frozen=True, slots=True)
class ToPeer:
    """From the relay socket of that allocation."""

    five_tuple: FiveTuple
    data: bytes
    peer: Sockaddr


@dataclass(frozen=True, slots=True)
class OpenRelay:
    """Answer with `relay_opened` or `relay_failed`. `even`: the port must be even (RFC 8656 §18.7)."""

    five_tuple: FiveTuple
    even: bool


@dataclass(frozen=True, slots=True)
class CloseRelay:
    five_tuple: FiveTuple


Output = ToClient | ToPeer | OpenRelay | CloseRelay


class _Refusal(Exception):
    def __init__(self, code: int, *attributes: Attribute) -> None:
        self.code, self.attributes = code, attributes


@dataclass(frozen=True, slots=True)
class _Pending:
    """An Allocate that waits for its socket."""

    request: Message
    key: bytes
    username: str
    lifetime_s: int


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
        self._config, self._key_of, self._nonces, self._peers = config, key_of, nonces, peers
        self._address, self._host = relayed_address, str(relayed_address)
        self.counters = counters
        self._allocations: dict[FiveTuple, Allocation] = {}
        self._by_port: dict[int, Allocation] = {}
        self._pending: dict[FiveTuple, _Pending] = {}
        self._per_user: Counter[str] = Counter()
        self._expiries: list[tuple[float, FiveTuple]] = []
        self._indications = 0
        self._requests: dict[int, Callable[[Message, FiveTuple, str, bytes, float], list[Output]]] = {
            Method.ALLOCATE: self._allocate,
            Method.REFRESH: self._refresh,
            Method.CREATE_PERMISSION: self._create_permission,
            Method.CHANNEL_BIND: self._channel_bind,
        }

    # --- in ----------------------------------------------------------------------------------------------------------

    def receive_datagram(self, data: bytes, five_tuple: FiveTuple, now: float) -> list[Output]:
        """One UDP datagram, or one frame of a stream, from a client."""
        try:
            if is_channel_data(data):
                return self._channel_data(data, five_tuple, now)
            message = decode_message(data)
        except MalformedError:
            self.counters.malformed += 1
            return []
        if message.message_class is MessageClass.REQUEST:
            return self._request(message, five_tuple, now)
        if message.message_class is MessageClass.INDICATION and message.method is Method.SEND:
            return self._send(message, five_tuple, now)
        return []

    def receive_from_peer(self, data: bytes, five_tuple: FiveTuple, peer: Sockaddr, now: float) -> list[Output]:
        """One datagram at the relay socket of that allocation."""
        allocation = self._live(five_tuple, now)
        return self._to_client(allocation, data, peer, now) if allocation is not None else []

    def relay_opened(self, five_tuple: FiveTuple, port: int, now: float) -> list[Output]:
        pending = self._pending.pop(five_tuple, None)
        if pending is None:  # the client is gone
            return [CloseRelay(five_tuple)]
        allocation = Allocation(
            five_tuple, port, pending.username, pending.request.transaction_id, now + pending.lifetime_s
        )
        self._allocations[five_tuple] = self._by_port[port] = allocation
        heapq.heappush(self._expiries, (allocation.expires_at, five_tuple))
        self.counters.allocations_total += 1
        self.counters.allocations_live = len(self._allocations)
        return [self._allocated(allocation, pending.request, pending.key, pending.lifetime_s)]

    def relay_failed(self, five_tuple: FiveTuple) -> list[Output]:
        """No port of the range is free."""
        pending = self._pending.pop(five_tuple, None)
        if pending is None:
            return []
        self._release_user(pending.username)
        return [self._refuse(pending.request, five_tuple, 508, pending.key)]

    def connection_lost(self, five_tuple: FiveTuple) -> list[Output]:
        """A TCP client has gone: its allocation goes with it (RFC 8656 §5)."""
        if (pending := self._pending.pop(five_tuple, None)) is not None:
            self._release_user(pending.username)
        return self._delete(five_tuple)

    def next_timeout(self) -> float | None:
        return self._expiries[0][0] if self._expiries else None

    def handle_timeout(self, now: float) -> list[Output]:
        """Ends allocations whose time is up."""
        outputs: list[Output] = []
        while self._expiries and self._expiries[0][0] <= now:
            _due, five_tuple = heapq.heappop(self._expiries)
            allocation = self._allocations.get(five_tuple)
            if allocation is None:
                continue
            if allocation.expires_at <= now:
                outputs += self._delete(five_tuple)
            else:  # refreshed since
                heapq.heappush(self._expiries, (allocation.expires_at, five_tuple))
        return outputs

    def has_allocation(self, five_tuple: FiveTuple) -> bool:
        return five_tuple in self._allocations or five_tuple in self._pending

    # --- requests ----------------------------------------------------------------------------------------------------

    def _request(self, request: Message, five_tuple: FiveTuple, now: float) -> list[Output]:
        if request.method is Method.BINDING:
            return [self._binding(request, five_tuple)]
        key: bytes | None = None
        try:
            username, key = self._authenticate(request, five_tuple, now)
            if request.unknown_required:
                raise _Refusal(420, UnknownAttributes(request.unknown_required))
            if (handler := self._requests.get(request.method)) is None:
                raise _Refusal(400)
            return handler(request, five_tuple, username, key, now)
        except _Refusal as refusal:
            return [self._refuse(request, five_tuple, refusal.code, key, *refusal.attributes)]

    def _binding(self, request: Message, five_tuple: FiveTuple) -> Output:
        if request.unknown_required:
            return self._refuse(request, five_tuple, 420, None, UnknownAttributes(request.unknown_required))
        self.counters.binding_requests += 1
        return self._answer(request, five_tuple, None, XorMappedAddress(_endpoint(five_tuple.client)))

    def _authenticate(self, request: Message, five_tuple: FiveTuple, now: float) -> tuple[str, bytes]:
        """The long-term mechanism (RFC 8489 §9.2.4); returns user name and key."""
        challenge = Realm(self._config.realm), Nonce(self._nonces.make(five_tuple, now))
        if not request.has_integrity:
            raise _Refusal(401, *challenge)
        username, realm, nonce = request.first(Username), request.first(Realm), request.first(Nonce)
        if username is None or realm is None or nonce is None:
            raise _Refusal(400)
        if not self._nonces.is_fresh(nonce.raw, five_tuple, now):
            raise _Refusal(438, *challenge)
        key = self._key_of(username.text)
        if key is None or realm.text != self._config.realm or not request.verify_integrity(key):
            raise _Refusal(401, *challenge)
        return username.text, key

    def _allocate(self, request: Message, five_tuple: FiveTuple, username: str, key: bytes, now: float) -> list[Output]:
        """RFC 8656 §7.2."""
        if (existing := self._live(five_tuple, now)) is not None:
            if existing.transaction_id == request.transaction_id and existing.username == username:
                return [self._allocated(existing, request, key, round(existing.expires_at - now))]
            raise _Refusal(437)
        if five_tuple in self._pending:
            return []
        ended = self.handle_timeout(now) if five_tuple in self._allocations else []
        even = self._check_wishes(request)
        holder = holder_of(username)
        if self._per_user[holder] >= self._config.user_quota:
            raise _Refusal(486)
        if len(self._allocations) + len(self._pending) >= self._config.total_quota:
            raise _Refusal(508)
        self._per_user[holder] += 1
        self._pending[five_tuple] = _Pending(request, key, username, self._lifetime_s(request))
        return [*ended, OpenRelay(five_tuple, even)]

    def _check_wishes(self, request: Message) -> bool:
        """Refuses what we cannot give; returns whether the port must be even."""
        transport = request.first(RequestedTransport)
        family, even_port = request.first(RequestedAddressFamily), request.first(EvenPort)
        if transport is None:
            raise _Refusal(400)
        if transport.number != UDP_PROTOCOL:
            raise _Refusal(442)
        if request.first(ReservationToken) is not None:
            # We give no reservations, so no token can be one of ours.
            raise _Refusal(400 if family is not None or even_port is not None else 508)
        if (family.number if family is not None else FAMILIES[4]) != FAMILIES[self._address.version]:
            raise _Refusal(440)
        if even_port is not None and even_port.reserve_next:
            raise _Refusal(508)
        return even_port is not None

    def _lifetime_s(self, request: Message) -> int:
        wished = request.first(Lifetime)
        low, high = self._config.default_lifetime_s, self._config.max_lifetime_s
        return low if wished is None else max(low, min(wished.number, high))

    def _allocated(self, allocation: Allocation, request: Message, key: bytes, lifetime_s: int) -> Output:
        return self._answer(
            request,
            allocation.five_tuple,
            key,
            XorRelayedAddress((self._address, allocation.relayed_port)),
            Lifetime(max(0, lifetime_s)),
            XorMappedAddress(_endpoint(allocation.five_tuple.client)),
        )

    def _live(self, five_tuple: FiveTuple, now: float) -> Allocation | None:
        """The allocation unless its time is up, whether or not the timer has said so yet."""
        allocation = self._allocations.get(five_tuple)
        return allocation if allocation is not None and allocation.expires_at > now else None

    def _own_allocation(self, five_tuple: FiveTuple, username: str, now: float) -> Allocation:
        allocation = self._live(five_tuple, now)
        if allocation is None:
            raise _Refusal(437)
        if allocation.username != username:
            raise _Refusal(441)
        return allocation

    def _refresh(self, request: Message, five_tuple: FiveTuple, username: str, key: bytes, now: float) -> list[Output]:
        """RFC 8656 §8.2; LIFETIME 0 ends the allocation."""
        allocation = self._own_allocation(five_tuple, username, now)
        family = request.first(RequestedAddressFamily)
        if family is not None and family.number != FAMILIES[self._address.version]:
            raise _Refusal(443)
        wished = request.first(Lifetime)
        if wished is not None and wished.number == 0:
            return [*self._delete(five_tuple), self._answer(request, five_tuple, key, Lifetime(0))]
        lifetime_s = self._lifetime_s(request)
        allocation.expires_at = now + lifetime_s
        return [self._answer(request, five_tuple, key, Lifetime(lifetime_s))]

    def _create_permission(
        self, request: Message, five_tuple: FiveTuple, username: str, key: bytes, now: float
    ) -> list[Output]:
        """RFC 8656 §10.2: all of the addresses or none."""
        allocation = self._own_allocation(five_tuple, username, now)
        peers = [attribute.endpoint for attribute in request.every(XorPeerAddress)]
        if not peers:
            raise _Refusal(400)
        for address, _port in peers:
            self._check_peer(address)
        self._permit(allocation, {str(address) for address, _port in peers}, now)
        return [self._answer(request, five_tuple, key)]

    def _channel_bind(
        self, request: Message, five_tuple: FiveTuple, username: str, key: bytes, now: float
    ) -> list[Output]:
        """RFC 8656 §12.2."""
        allocation = self._own_allocation(five_tuple, username, now)
        number, wanted = request.first(ChannelNumber), request.first(XorPeerAddress)
        if number is None or wanted is None or number.number not in CHANNELS:
            raise _Refusal(400)
        address, port = wanted.endpoint
        peer = (str(address), port)
        if allocation.peer_of(number.number, now) not in {None, peer}:
            raise _Refusal(400)
        if allocation.channel_of(peer, now) not in {None, number.number}:
            raise _Refusal(400)
        self._check_peer(address)
        if self._peers.is_own(peer[0]) and port not in self._by_port:
            raise _Refusal(403)
        if number.number not in allocation.channels and len(allocation.channels) >= self._config.max_channels:
            allocation.forget_expired(now)
            if len(allocation.channels) >= self._config.max_channels:
                raise _Refusal(508)
        self._permit(allocation, {peer[0]}, now)
        allocation.bind(number.number, peer, now + self._config.channel_s)
        return [self._answer(request, five_tuple, key)]

    def _check_peer(self, address: IpAddress) -> None:
        if address.version != self._address.version or (address.version == 6 and address.ipv4_mapped is not None):
            raise _Refusal(443)  # a mapped address is IPv4: a dual-stack socket would send it there
        if self._peers.refuses(address):
            raise _Refusal(403)

    def _permit(self, allocation: Allocation, hosts: set[str], now: float) -> None:
        if len(allocation.permissions.keys() | hosts) > self._config.max_permissions:
            allocation.forget_expired(now)
            if len(allocation.permissions.keys() | hosts) > self._config.max_permissions:
                raise _Refusal(508)
        for host in hosts:
            allocation.permissions[host] = now + self._config.permission_s

    # --- data --------------------------------------------------------------------------------------------------------

    def _channel_data(self, data: bytes, five_tuple: FiveTuple, now: float) -> list[Output]:
        frame = decode_channel_data(data)
        allocation = self._live(five_tuple, now)
        peer = allocation.peer_of(frame.channel, now) if allocation is not None else None
        if allocation is None or peer is None:
            self.counters.datagrams_dropped += 1
            return []
        return self._to_peer(allocation, frame.data, peer, now)

    def _send(self, indication: Message, five_tuple: FiveTuple, now: float) -> list[Output]:
        """RFC 8656 §11.2: whatever is wrong with a Send indication, it is dropped in silence."""
        allocation = self._live(five_tuple, now)
        peer, data = indication.first(XorPeerAddress), indication.first(Data)
        if allocation is None or peer is None or data is None or indication.unknown_required:
            self.counters.datagrams_dropped += 1
            return []
        return self._to_peer(allocation, data.raw, (str(peer.endpoint[0]), peer.endpoint[1]), now)

    def _to_peer(self, allocation: Allocation, data: bytes, peer: Sockaddr, now: float) -> list[Output]:
        host, port = peer
        if not allocation.permits(host, now) or port == 0:
            self.counters.datagrams_dropped += 1
            return []
        if self._peers.is_own(host):
            other = self._by_port.get(port)
            if other is None or other.expires_at <= now:
                self.counters.datagrams_dropped += 1
                return []
            self._count_to_peer(data)
            return self._to_client(other, data, (self._host, allocation.relayed_port), now)
        self._count_to_peer(data)
        return [ToPeer(allocation.five_tuple, data, peer)]

    def _count_to_peer(self, data: bytes) -> None:
        self.counters.bytes_to_peers += len(data)
        self.counters.datagrams_to_peers += 1

    def _to_client(self, allocation: Allocation, data: bytes, peer: Sockaddr, now: float) -> list[Output]:
        if not allocation.permits(peer[0], now):
            self.counters.datagrams_dropped += 1
            return []
        self.counters.bytes_to_clients += len(data)
        self.counters.datagrams_to_clients += 1
        five_tuple = allocation.five_tuple
        if (channel := allocation.channel_of(peer, now)) is not None:
            return [ToClient(five_tuple, encode_channel_data(channel, data, padded=five_tuple.transport == "tcp"))]
        self._indications += 1  # nobody answers an indication: its transaction id need only differ from the last
        attributes = (XorPeerAddress(_endpoint(peer)), Data(data))
        message = Message(Method.DATA, MessageClass.INDICATION, self._indications.to_bytes(12), attributes)
        try:
            return [ToClient(five_tuple, encode_message(message))]
        except MalformedError:  # a datagram of nearly 64 KiB does not fit an indication
            self.counters.datagrams_dropped += 1
            return []

    # --- out ---------------------------------------------------------------------------------------------------------

    def _answer(self, request: Message, five_tuple: FiveTuple, key: bytes | None, *attributes: Attribute) -> ToClient:
        message = Message(request.method, MessageClass.SUCCESS, request.transaction_id, attributes)
        return ToClient(five_tuple, encode_message(message, key=key))

    def _refuse(
        self, request: Message, five_tuple: FiveTuple, code: int, key: bytes | None, *attributes: Attribute
    ) -> ToClient:
        self.counters.refusals[code] += 1
        said = (ErrorCode(code, REASONS[code]), *attributes)
        message = Message(request.method, MessageClass.ERROR, request.transaction_id, said)
        return ToClient(five_tuple, encode_message(message, key=key))

    def _delete(self, five_tuple: FiveTuple) -> list[Output]:
        allocation = self._allocations.pop(five_tuple, None)
        if allocation is None:
            return []
        del self._by_port[allocation.relayed_port]
        self._release_user(allocation.username)
        self.counters.allocations_live = len(self._allocations)
        if len(self._expiries) > 2 * len(self._allocations) + 64:  # entries of deleted ones must not pile up
            self._expiries = [(each.expires_at, each.five_tuple) for each in self._allocations.values()]
            heapq.heapify(self._expiries)
        return [CloseRelay(five_tuple)]

    def _release_user(self, username: str) -> None:
        holder = holder_of(username)
        self._per_user[holder] -= 1
        if self._per_user[holder] <= 0:
            del self._per_user[holder]


def _endpoint(address: Sockaddr) -> Endpoint:
    parsed = ip_address(address[0])
    if not isinstance(parsed, IPv4Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped, address[1]
    return parsed, address[1]
