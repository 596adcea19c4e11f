"""What py-libp2p 0.8.1 must be told, or relieved of, before it may talk to strangers.

Every row was seen to fail without its remedy (docs/decisions/0050). All use of the library's private parts is in this
file; the version is pinned exactly, and tests/p2p/ asserts each remedy's effect, not its text.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import trio
from libp2p import new_host
from libp2p.abc import IHost, INetStream, IRawConnection
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.keys import KeyPair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.identity.identify.identify import ID as IDENTIFY
from libp2p.identity.identify_push.identify_push import ID_PUSH as IDENTIFY_PUSH
from libp2p.io import trio as tcp_module
from libp2p.io.abc import ReadWriteCloser
from libp2p.io.trio import TrioTCPStream
from libp2p.network import swarm as swarm_module
from libp2p.network.config import ConnectionConfig, RetryConfig
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.network.stream import net_stream as stream_module
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStore
from libp2p.rcmgr.connection_limits import ConnectionLimits
from libp2p.rcmgr.manager import ResourceLimits, ResourceManager
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
from libp2p.utils import varint as varint_module
from multiaddr import Multiaddr

from mepassa.p2p.noise import PromptNoise, SendNow
from mepassa.p2p.prompt_lock import PromptTrio
from mepassa.p2p.yamux import GivenMuxer, Yamux

PROMPT_TRIO = PromptTrio()
HAPPY_EYEBALLS_DELAY_S = 0.0005
"""The library waits 250 ms for a second address family before each connect, even where there is one address."""
MAX_NEGOTIATED_BYTES = 4_096
"""A message of multistream-select is the name of a protocol. The library reads as much as a stranger announces."""
CONNECTIONS_PER_PEER = 20
"""Up to 16 addresses are dialled at once; the losers are closed a moment later."""


Advertise = Callable[[list[Multiaddr]], list[Multiaddr]]


@dataclass(frozen=True, slots=True)
class HostLimits:
    """What one host may hold. The library's own limit is 250 inbound connections, told to nobody."""

    max_connections: int = 512
    max_peers: int = 4_096
    """Peers whose addresses are remembered. Past it the library forgets at random, its own key included, and dies."""
    max_per_address: int = 64
    """Inbound connections from one internet address at a time."""
    upgrade_timeout_s: float = 5.0
    """Noise, Yamux and the choice of a protocol with a stranger: as long as the hello that follows."""


class LastingPeerStore(PeerStore):
    """Forgets the oldest peers first, and never the host itself."""

    def __init__(self, own: ID, limits: HostLimits) -> None:
        super().__init__(max_records=limits.max_peers, max_peers=limits.max_peers)
        self._own = own

    def _enforce_peer_limit(self) -> None:
        too_many = len(self.peer_data_map) - self.max_peers
        for peer in [peer for peer in self.peer_data_map if peer != self._own][: max(0, too_many)]:
            self.peer_record_map.pop(peer, None)
            del self.peer_data_map[peer]

    def _cleanup_expired_records(self) -> None:
        own = self.peer_data_map.pop(self._own, None)
        super()._cleanup_expired_records()
        if own is not None:
            self.peer_data_map[self._own] = own


def new_hardened_host(
    seed: bytes, limits: HostLimits, *, for_dht: bool, deny: Sequence[str] = (), advertise: Advertise | None = None
) -> IHost:
    """A host with Noise and Yamux over TCP and nothing else, dialling nobody by itself.

    `seed` (32 bytes) makes its key. `for_dht`: DHT hosts need identify to tell servers from clients, and watch over
    their connections; a host for links does without both: identify would hand every stranger our addresses before the
    hello, and links have pings of their own. `deny`: networks (CIDR) not dialled on the library's own account.
    `advertise`: from the addresses listened on to those that others are told.
    """
    swarm_module._HAPPY_EYEBALLS_DELAY = HAPPY_EYEBALLS_DELAY_S
    for module in (tcp_module, stream_module):
        module.trio = PROMPT_TRIO  # type: ignore[attr-defined]  # a name that it imported
    varint_module.read_varint_prefixed_bytes = partial(  # what `read_delim` calls
        varint_module.read_varint_prefixed_bytes_limited, max_length=MAX_NEGOTIATED_BYTES
    )
    TrioTCPStream.get_remote_address = _remote_address  # type: ignore[method-assign,assignment]  # it knows none over IPv6
    logging.getLogger("libp2p").setLevel(logging.CRITICAL)  # it writes PeerIds and addresses at every level below
    key_pair = create_new_key_pair(seed)
    own = ID.from_pubkey(key_pair.public_key)
    muxers = {TProtocol(YAMUX): Yamux}
    host = new_host(
        key_pair=key_pair,
        sec_opt={NOISE: _noise(key_pair)},  # the default also accepts /plaintext/2.0.0
        muxer_opt=muxers,
        peerstore_opt=LastingPeerStore(own, limits),
        connection_config=_connection_config(limits, deny, health=for_dht),
        resource_manager=_resource_manager(limits),
        disable_identify_address_discovery=True,
        addrs_factory=None if advertise is None else lambda listened: advertise(list(listened)),
    )
    swarm = network_of(host)
    swarm.upgrader.muxer_multistream = GivenMuxer(muxers)
    swarm.retry_config = RetryConfig(max_retries=0)
    swarm.auto_connector.maybe_connect = _nothing  # type: ignore[method-assign]  # it dials known peers by itself
    _release_inbound_slots(swarm, limits)
    _contain_streams(swarm)
    if not for_dht:
        host.remove_stream_handler(IDENTIFY)
        host.remove_stream_handler(IDENTIFY_PUSH)
        host._schedule_identify = lambda *_, **__: None  # type: ignore[attr-defined]  # IHost does not name it
    return host


def network_of(host: IHost) -> Swarm:
    network = host.get_network()
    if not isinstance(network, Swarm):
        raise TypeError("the host's network is not a swarm")
    return network


def forget_failures(host: IHost) -> None:
    """After one failure the library refuses to dial a peer for a minute; whom to dial again is ours to decide."""
    network_of(host)._negative_peer_cache.clear()


def _remote_address(stream: TrioTCPStream) -> tuple[str, int] | None:
    """(host, port), kept from the first time on: a closed socket no longer says it."""
    if stream._cached_remote_address is None:
        try:
            host, port = stream.stream.socket.getpeername()[:2]
        except OSError:
            return None
        stream._cached_remote_address = (host.partition("%")[0], port)
    return stream._cached_remote_address


async def _nothing() -> None:
    pass


def _noise(key_pair: KeyPair) -> PromptNoise:
    return PromptNoise(key_pair, create_noise_key_pair().private_key, _send_now_of)


def _send_now_of(raw: IRawConnection) -> SendNow:
    """trio's sockets send in its tasks only; what is underneath does not block, and sends wherever it is asked."""
    tcp: Any = raw
    send_now: SendNow = tcp.stream.stream.socket._sock.send
    return send_now


def _connection_config(limits: HostLimits, deny: Sequence[str], *, health: bool) -> ConnectionConfig:
    return ConnectionConfig(
        max_connections=limits.max_connections,
        min_connections=0,
        low_watermark=0,
        high_watermark=limits.max_connections,
        max_connections_per_peer=CONNECTIONS_PER_PEER,
        inbound_upgrade_timeout=limits.upgrade_timeout_s,
        outbound_upgrade_timeout=limits.upgrade_timeout_s,
        outbound_stream_protocol_negotiation_timeout=limits.upgrade_timeout_s,
        inbound_stream_protocol_negotiation_timeout=limits.upgrade_timeout_s,
        deny_list=list(deny),
        enable_health_monitoring=health,  # a frozen TCP peer goes unnoticed for 75 s otherwise
        health_initial_delay=1,
        health_warmup_window=0,
        health_check_interval=3,
        ping_timeout=3,
        unhealthy_grace_period=1,
        abort_connection_on_ping_failure=True,
        min_health_threshold=0.0,  # never "replace" a connection that merely is slow: that would dial
    )


def _resource_manager(limits: HostLimits) -> ResourceManager:
    return ResourceManager(
        limits=ResourceLimits(
            max_connections=2 * limits.max_connections, max_memory_mb=4_096, max_streams=16 * limits.max_connections
        ),
        connection_limits=ConnectionLimits(
            max_pending_inbound=128,
            max_pending_outbound=128,
            max_established_inbound=limits.max_connections,
            max_established_outbound=limits.max_connections,
            max_established_per_peer=CONNECTIONS_PER_PEER,
            max_established_total=limits.max_connections,
        ),
        enable_rate_limiting=False,  # ten connections a second a peer: one dial of 16 addresses is more
        enable_circuit_breaker=False,
        enable_memory_limits=False,
        enable_graceful_degradation=False,
    )


def _release_inbound_slots(swarm: Swarm, limits: HostLimits) -> None:
    """Give an inbound connection's place back when it ends.

    The library keeps the place and a task until the host stops: after so many connections in its life a host accepts
    no more.
    """
    from_address: Counter[str] = Counter()

    async def accept(stream: ReadWriteCloser, listening: Multiaddr) -> None:
        remote = stream.get_remote_address()
        address = "" if remote is None else remote[0]
        if from_address.total() >= limits.max_connections or from_address[address] >= limits.max_per_address:
            await stream.close()
            return
        from_address[address] += 1
        raw = RawConnection(stream, False)
        try:
            with suppress(Exception):  # a stranger's broken handshake is its own affair
                muxed = await swarm.upgrade_inbound_raw_conn(raw, listening)
                for connection in swarm.get_connections(muxed.peer_id):
                    if connection.muxed_conn is muxed:
                        closed: Any = connection
                        await closed.event_closed.wait()
        finally:
            from_address[address] -= 1
            if not from_address[address]:
                del from_address[address]
            with trio.CancelScope(shield=True):
                await raw.close()

    swarm._handle_inbound_connection = accept  # type: ignore[method-assign,assignment]  # ours knows no subclass


def _contain_streams(swarm: Swarm) -> None:
    """What serving a stranger's stream raises ends that stream. The library lets it end the host: four bytes do."""
    serve = swarm.common_stream_handler

    async def contained(stream: INetStream) -> None:
        try:
            await serve(stream)
        except Exception:  # noqa: BLE001 - the library names some of what it raises here, not all
            with suppress(Exception):
                await stream.reset()

    swarm.set_stream_handler(contained)
