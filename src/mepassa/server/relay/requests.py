"""Requests to the relay and their answers: who asks (RFC 8489 §9.2), and what it may have (RFC 8656 §7-§12)."""

from collections.abc import Callable
from ipaddress import IPv6Address

from mepassa.model.addresses import IpAddress
from mepassa.server.relay.allocation import Allocation, FiveTuple, SignedRequest, endpoint_of
from mepassa.server.relay.allocations import AllocationTable
from mepassa.server.relay.config import RelayConfig
from mepassa.server.relay.counters import RelayCounters
from mepassa.server.relay.nonces import Nonces
from mepassa.server.relay.outputs import OpenRelay, Output, ToClient
from mepassa.server.relay.peers import PeerRules
from mepassa.wire.stun import (
    MAX_CHANNEL,
    MIN_CHANNEL,
    Attribute,
    ChannelNumber,
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
    encode_message,
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


class _Refusal(Exception):
    def __init__(self, code: int, *attributes: Attribute) -> None:
        self.code, self.attributes = code, attributes


class Requests:
    """`key_of(username)`: the HMAC key of a user whose credentials are valid now, else None."""

    def __init__(
        self,
        config: RelayConfig,
        table: AllocationTable,
        *,
        relayed_address: IpAddress,
        key_of: Callable[[str], bytes | None],
        nonces: Nonces,
        peers: PeerRules,
        counters: RelayCounters,
    ) -> None:
        self._config, self._table, self._address = config, table, relayed_address
        self._key_of, self._nonces, self._peers, self._counters = key_of, nonces, peers, counters
        self._handlers: dict[int, Callable[[SignedRequest, float], list[Output]]] = {
            Method.ALLOCATE: self._allocate,
            Method.REFRESH: self._refresh,
            Method.CREATE_PERMISSION: self._create_permission,
            Method.CHANNEL_BIND: self._channel_bind,
        }

    def receive(self, message: Message, five_tuple: FiveTuple, now: float) -> list[Output]:
        if message.method is Method.BINDING:
            return [self._binding(message, five_tuple)]
        key: bytes | None = None
        try:
            request = self._authenticate(message, five_tuple, now)
            key = request.key
            if message.unknown_required:
                raise _Refusal(420, UnknownAttributes(message.unknown_required))
            if (handler := self._handlers.get(message.method)) is None:
                raise _Refusal(400)
            return handler(request, now)
        except _Refusal as refusal:
            return [self._refuse(message, five_tuple, refusal.code, key, *refusal.attributes)]

    def relay_opened(self, allocation: Allocation, request: SignedRequest, now: float) -> Output:
        return self._allocated(allocation, request, now)

    def relay_failed(self, request: SignedRequest) -> Output:
        """No port of the range is free."""
        return self._refuse(request.message, request.five_tuple, 508, request.key)

    # --- who asks ----------------------------------------------------------------------------------------------------

    def _binding(self, message: Message, five_tuple: FiveTuple) -> Output:
        if message.unknown_required:
            return self._refuse(message, five_tuple, 420, None, UnknownAttributes(message.unknown_required))
        self._counters.binding_requests += 1
        mapped = XorMappedAddress(endpoint_of(five_tuple.client))
        return ToClient(five_tuple, encode_message(_success(message, mapped), key=None))

    def _authenticate(self, message: Message, five_tuple: FiveTuple, now: float) -> SignedRequest:
        """The long-term mechanism (RFC 8489 §9.2.4)."""
        challenge = Realm(self._config.realm), Nonce(self._nonces.make(five_tuple, now))
        if not message.has_integrity:
            raise _Refusal(401, *challenge)
        username, realm, nonce = message.first(Username), message.first(Realm), message.first(Nonce)
        if username is None or realm is None or nonce is None:
            raise _Refusal(400)
        if not self._nonces.is_fresh(nonce.raw, five_tuple, now):
            raise _Refusal(438, *challenge)
        key = self._key_of(username.text)
        if key is None or realm.text != self._config.realm or not message.verify_integrity(key):
            raise _Refusal(401, *challenge)
        return SignedRequest(message, five_tuple, username.text, key)

    def _own_allocation(self, request: SignedRequest, now: float) -> Allocation:
        allocation = self._table.live(request.five_tuple, now)
        if allocation is None:
            raise _Refusal(437)
        if allocation.username != request.username:
            raise _Refusal(441)
        return allocation

    # --- an allocation and its lifetime ------------------------------------------------------------------------------

    def _allocate(self, request: SignedRequest, now: float) -> list[Output]:
        """RFC 8656 §7.2."""
        if (existing := self._table.live(request.five_tuple, now)) is not None:
            if existing.transaction_id == request.message.transaction_id and existing.username == request.username:
                return [self._allocated(existing, request, now)]
            raise _Refusal(437)
        if self._table.is_pending(request.five_tuple):
            return []
        even = self._check_wishes(request.message)
        if self._table.count_of(request.username) >= self._config.user_quota:
            raise _Refusal(486)
        if len(self._table) >= self._config.total_quota:
            raise _Refusal(508)
        self._table.reserve(request, self._lifetime_s(request.message))
        return [OpenRelay(request.five_tuple, even)]

    def _check_wishes(self, message: Message) -> bool:
        """Refuses what we cannot give; returns whether the port must be even."""
        transport = message.first(RequestedTransport)
        family, even_port = message.first(RequestedAddressFamily), message.first(EvenPort)
        if transport is None:
            raise _Refusal(400)
        if transport.number != UDP_PROTOCOL:
            raise _Refusal(442)
        if message.first(ReservationToken) is not None:
            # We give no reservations, so no token can be one of ours.
            raise _Refusal(400 if family is not None or even_port is not None else 508)
        if (family.number if family is not None else FAMILIES[4]) != FAMILIES[self._address.version]:
            raise _Refusal(440)
        if even_port is not None and even_port.reserve_next:
            raise _Refusal(508)
        return even_port is not None

    def _lifetime_s(self, message: Message) -> int:
        wished = message.first(Lifetime)
        low, high = self._config.default_lifetime_s, self._config.max_lifetime_s
        return low if wished is None else max(low, min(wished.number, high))

    def _allocated(self, allocation: Allocation, request: SignedRequest, now: float) -> Output:
        return self._answer(
            request,
            XorRelayedAddress((self._address, allocation.relayed_port)),
            Lifetime(max(0, round(allocation.expires_at - now))),
            XorMappedAddress(endpoint_of(allocation.five_tuple.client)),
        )

    def _refresh(self, request: SignedRequest, now: float) -> list[Output]:
        """RFC 8656 §8.2; LIFETIME 0 ends the allocation."""
        allocation = self._own_allocation(request, now)
        family = request.message.first(RequestedAddressFamily)
        if family is not None and family.number != FAMILIES[self._address.version]:
            raise _Refusal(443)
        wished = request.message.first(Lifetime)
        if wished is not None and wished.number == 0:
            return [*self._table.end(request.five_tuple), self._answer(request, Lifetime(0))]
        lifetime_s = self._lifetime_s(request.message)
        allocation.expires_at = now + lifetime_s
        return [self._answer(request, Lifetime(lifetime_s))]

    # --- to whom it relays -------------------------------------------------------------------------------------------

    def _create_permission(self, request: SignedRequest, now: float) -> list[Output]:
        """RFC 8656 §10.2: all of the addresses or none."""
        allocation = self._own_allocation(request, now)
        peers = [attribute.endpoint for attribute in request.message.every(XorPeerAddress)]
        if not peers:
            raise _Refusal(400)
        for address, _port in peers:
            self._check_peer(address)
        self._permit(allocation, {str(address) for address, _port in peers}, now)
        return [self._answer(request)]

    def _channel_bind(self, request: SignedRequest, now: float) -> list[Output]:
        """RFC 8656 §12.2."""
        allocation = self._own_allocation(request, now)
        number, wanted = request.message.first(ChannelNumber), request.message.first(XorPeerAddress)
        if number is None or wanted is None or number.number not in CHANNELS:
            raise _Refusal(400)
        address, port = wanted.endpoint
        peer = (str(address), port)
        if allocation.peer_of(number.number, now) not in {None, peer}:
            raise _Refusal(400)
        if allocation.channel_of(peer, now) not in {None, number.number}:
            raise _Refusal(400)
        self._check_peer(address)
        if self._peers.is_own(peer[0]) and self._table.at_port(port) is None:
            raise _Refusal(403)
        if number.number not in allocation.channels and len(allocation.channels) >= self._config.max_channels:
            allocation.forget_expired(now)
            if len(allocation.channels) >= self._config.max_channels:
                raise _Refusal(508)
        self._permit(allocation, {peer[0]}, now)
        allocation.bind(number.number, peer, now + self._config.channel_s)
        return [self._answer(request)]

    def _check_peer(self, address: IpAddress) -> None:
        if address.version != self._address.version or (
            isinstance(address, IPv6Address) and address.ipv4_mapped is not None
        ):
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

    # --- answers -----------------------------------------------------------------------------------------------------

    def _answer(self, request: SignedRequest, *attributes: Attribute) -> ToClient:
        return ToClient(request.five_tuple, encode_message(_success(request.message, *attributes), key=request.key))

    def _refuse(
        self, message: Message, five_tuple: FiveTuple, code: int, key: bytes | None, *attributes: Attribute
    ) -> ToClient:
        self._counters.refusals[code] += 1
        said = (ErrorCode(code, REASONS[code]), *attributes)
        refusal = Message(message.method, MessageClass.ERROR, message.transaction_id, said)
        return ToClient(five_tuple, encode_message(refusal, key=key))


def _success(message: Message, *attributes: Attribute) -> Message:
    return Message(message.method, MessageClass.SUCCESS, message.transaction_id, attributes)
