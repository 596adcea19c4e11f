"""A node of MePassa's own Kademlia DHT, on py-libp2p's: server (a home's bootstrap role) or client (one errand)."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.kad_dht import common, kad_dht, peer_routing, provider_store, value_store
from libp2p.kad_dht.kad_dht import DHTMode, KadDHT
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.records.validator import NamespacedValidator
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

from mepassa.model.addresses import PRIVATE_NETWORKS, IpAddress, is_private, parse_ip
from mepassa.model.errors import MalformedError, RemoteError
from mepassa.p2p.addresses import TcpAddress, parse_multiaddr
from mepassa.p2p.guest import TrioGuest
from mepassa.p2p.hardening import HostLimits, forget_failures
from mepassa.p2p.host import P2pHost
from mepassa.p2p.presence import NAMESPACE, PresenceValidator, network_of_address, putting_network, sequence_of
from mepassa.wire.presence import LIFE_MS

KAD_PROTOCOL = TProtocol("/mepassa/kad/1")
MAX_MESSAGE_BYTES = 128 * 1024
"""A reply with twenty peers and their signed records is some 20 KiB; py-libp2p would read 4 MiB."""
REQUEST_S = 5.0
"""One request to one peer."""
JOIN_S = 5.0
COPIES = 20
"""Nodes asked to keep a value, or for it: Kademlia's k."""
SWEEP_S = 60.0
SERVE_S = 10.0
"""A stranger's stream is answered and over in a moment; py-libp2p would wait for its next word for ever."""
MAX_SERVED = 64
"""Streams answered at once. The library's twelve are soon taken by those who say nothing."""
MAX_SERVED_PER_NETWORK = 16
NEVER_DIALLED = ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "::/127", "fe80::/10", "ff00::/8")
LOOPBACK = ("127.0.0.0/8", "::/127")


class DhtNode:
    """`server`: answers others and keeps their values. Otherwise it only asks, and is in nobody's table.

    `near`: private addresses may be dialled too (a DHT in one's own network); `allow_loopback`: for demo and tests;
    `seed` and `public_ip` as in `P2pHost`.
    """

    def __init__(
        self,
        guest: TrioGuest,
        *,
        server: bool,
        now_ms: Callable[[], int],
        allow_loopback: bool = False,
        near: bool = False,
        seed: bytes | None = None,
        public_ip: IpAddress | None = None,
        limits: HostLimits | None = None,
    ) -> None:
        _speak_our_protocol()
        self._guest, self._server, self._now_ms = guest, server, now_ms
        self._host = P2pHost(
            guest,
            seed=seed,
            limits=limits,
            for_dht=True,
            deny=_denied(allow_loopback=allow_loopback, near=near),
            public_ip=public_ip,
        )
        self._services = AsyncExitStack()
        self._served: Counter[str] = Counter()
        self._dht: KadDHT | None = None

    @property
    def peer_id(self) -> str:
        return self._host.peer_id

    @property
    def values(self) -> int:
        """How many this node keeps."""
        return len(self._kad.value_store.store)

    async def start(self, listen: Sequence[TcpAddress] = ()) -> tuple[TcpAddress, ...]:
        """Raises `ListenError`."""
        addresses = await self._host.start(listen)
        await self._guest.call(self._start)
        return addresses

    async def stop(self) -> None:
        if self._dht is not None:
            await self._guest.call(self._services.aclose)
        await self._host.stop()

    async def join(self, bootstrap: Sequence[str]) -> int:
        """Get to know the DHT through these nodes (multiaddrs with /p2p, others are passed over). How many answered."""
        return await self._guest.call(self._join, tuple(bootstrap))

    async def put(self, key: str, value: bytes) -> int:
        """Ask the nodes closest to `key` to keep `value`; how many said yes."""
        return await self._guest.call(self._put, key, value)

    async def get(self, key: str) -> bytes | None:
        """The newest valid value that the nodes closest to `key` hold."""
        return await self._guest.call(self._get, key)

    # --- trio ---------------------------------------------------------------------------------------------------------

    @property
    def _kad(self) -> KadDHT:
        if self._dht is None:
            raise RuntimeError("the DHT node has not been started")
        return self._dht

    async def _start(self) -> None:
        held: dict[bytes, Any] = {}
        self._validator = PresenceValidator(self._now_ms, held)
        dht = KadDHT(
            self._host.host,
            DHTMode.SERVER if self._server else DHTMode.CLIENT,
            strict_validation=True,
            validator_changed=True,  # "these and no others": else /pk and /ipns come back
            validator=NamespacedValidator({NAMESPACE: self._validator}, strict_validation=True),
        )
        dht.value_store.store = held
        dht._inbound_limiter = trio.CapacityLimiter(MAX_SERVED)  # noqa: SLF001 - as MAX_SERVED says
        dht.provider_store.add_provider = _keep_nothing  # type: ignore[method-assign,assignment]  # nobody provides anything here
        self._dht = dht
        if self._server:
            self._host.host.set_stream_handler(KAD_PROTOCOL, self._serve)
        started = trio.Event()
        self._guest.spawn(self._run, started)
        await started.wait()

    async def _run(self, started: trio.Event) -> None:
        halt, done = trio.Event(), trio.Event()

        async def end() -> None:
            halt.set()
            await done.wait()

        self._services.push_async_callback(end)
        try:
            async with background_trio_service(self._kad), trio.open_nursery() as nursery:
                nursery.start_soon(self._sweep)
                started.set()
                await halt.wait()
                nursery.cancel_scope.cancel()
        finally:
            started.set()
            done.set()

    async def _serve(self, stream: INetStream) -> None:
        remote = stream.get_remote_address()
        try:
            network = "unknown" if remote is None else network_of_address(parse_ip(remote[0].partition("%")[0]))
        except MalformedError:
            network = "unknown"
        if self._served[network] >= MAX_SERVED_PER_NETWORK:
            await stream.reset()
            return
        putting_network.set(network)
        self._served[network] += 1
        try:
            with trio.move_on_after(SERVE_S) as scope:
                await self._kad.handle_stream(stream)
            if scope.cancelled_caught:
                await stream.reset()
        finally:
            self._served[network] -= 1
            if not self._served[network]:
                del self._served[network]

    async def _sweep(self) -> None:
        """The library keeps values for a day; ours are over after two hours."""
        while True:
            await trio.sleep(SWEEP_S)
            self.forget_expired()

    def forget_expired(self) -> None:
        now_ms = self._now_ms()
        held = self._kad.value_store.store
        for key in [key for key, (record, _) in held.items() if sequence_of(record.value) + LIFE_MS <= now_ms]:
            del held[key]

    async def _join(self, bootstrap: tuple[str, ...]) -> int:
        forget_failures(self._host.host)
        joined: list[ID] = []
        with trio.move_on_after(JOIN_S):
            async with trio.open_nursery() as nursery:
                for text in bootstrap:
                    nursery.start_soon(self._join_one, text, joined)
        # A node takes who asks into its table only if it knew the asker's addresses before: it learns them from the
        # first request and counts the second.
        for _ in range(2 if joined and self._server else bool(joined)):
            with trio.move_on_after(JOIN_S):
                await self._kad.peer_routing.find_closest_peers_network(self._host.peer_id_bytes)
        return len(joined)

    async def _join_one(self, text: str, joined: list[ID]) -> None:
        """Connecting does not fill the routing table: said to it in so many words."""
        network: Any = self._host.host.get_network()
        try:
            address, peer_id = parse_multiaddr(text)
            if peer_id is None:
                return
            peer = ID.from_base58(peer_id)
            if peer == self._host.host.get_id():
                return
            where = Multiaddr(str(address))
            if not network.get_connections(peer):
                await network.dial_addr(where, peer)
            self._host.host.get_peerstore().add_addrs(peer, [where], LIFE_MS // 1000)
            await self._kad.routing_table.add_peer(PeerInfo(peer, [where]))
            joined.append(peer)
        except Exception:  # noqa: BLE001 - a bootstrap node that is away is not counted, that is all
            return

    async def _closest(self, key: bytes) -> list[ID]:
        forget_failures(self._host.host)
        own = self._host.host.get_id()
        return [peer for peer in await self._kad.peer_routing.find_closest_peers_network(key, COPIES) if peer != own]

    async def _put(self, key: str, value: bytes) -> int:
        store = partial(self._kad.value_store._store_at_peer, key=key.encode(), value=value)  # noqa: SLF001 - see `_get`
        return sum(answer is True for answer in await self._ask(await self._closest(key.encode()), store))

    async def _get(self, key: str) -> bytes | None:
        """The library's own `get_value` believes its local copy for ever, and says nothing of who answered."""
        fetch = partial(self._kad.value_store._get_from_peer, key=key.encode())  # noqa: SLF001 - one request to one peer
        best: bytes | None = None
        for value in await self._ask(await self._closest(key.encode()), fetch):
            try:
                if isinstance(value, bytes):
                    self._validator.validate(key, value)
                    best = value if best is None or sequence_of(value) > sequence_of(best) else best
            except RemoteError:
                continue
        return best

    async def _ask(self, peers: Sequence[ID], request: Callable[[ID], Any]) -> list[object]:
        answers: list[object] = []

        async def one(peer: ID) -> None:
            with trio.move_on_after(REQUEST_S):
                try:
                    answers.append(await request(peer))
                except Exception:  # noqa: BLE001 - a peer that fails has not answered
                    return

        async with trio.open_nursery() as nursery:
            for peer in peers:
                nursery.start_soon(one, peer)
        return answers


def any_near(bootstrap: Sequence[str]) -> bool:
    """Whether this DHT begins in a private network, so that its nodes may be there too."""
    near = False
    for text in bootstrap:
        try:
            near |= is_private(parse_multiaddr(text)[0].ip)
        except MalformedError:
            continue
    return near


def _denied(*, allow_loopback: bool, near: bool) -> list[str]:
    """Addresses come from strangers: what the DHT names in one's own network is not dialled for them."""
    denied = [network for network in NEVER_DIALLED if not (allow_loopback and network in LOOPBACK)]
    return denied if near or allow_loopback else [*denied, *map(str, PRIVATE_NETWORKS)]


def _speak_our_protocol() -> None:
    """`protocol_prefix` leaves the wire name as it is; the name is imported by five modules, so it is set in five."""
    for module in (common, kad_dht, peer_routing, provider_store, value_store):
        module.PROTOCOL_ID = KAD_PROTOCOL  # type: ignore[attr-defined]  # mypy sees modules of one kind
    for module in (kad_dht, peer_routing, provider_store, value_store):
        module.MAX_DHT_MESSAGE_SIZE = MAX_MESSAGE_BYTES  # type: ignore[attr-defined]  # as above


def _keep_nothing(*_: object) -> None:
    pass
