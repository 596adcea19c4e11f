"""QUIC on an ICE path: one connection, one bidirectional stream, as a `ByteStream` for the link (docs/protocol/ice.md).

aioquic's sans-IO connection is driven here directly: datagrams come from `IcePath`, go to `IcePath`, and time is the
event loop's. The path below can be swapped for another while the connection lives (`attach`).
"""

import asyncio
import ssl
from contextlib import suppress
from hmac import compare_digest

from aioquic.buffer import Buffer  # type: ignore[attr-defined]  # its stub leaves the re-export out
from aioquic.quic import events
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import QuicErrorCode, QuicPacketType, QuicProtocolVersion, pull_quic_header

from mepassa.model.errors import LinkLostError, PathRefusedError
from mepassa.transports.ice.certificate import QuicCertificate, certificate_sha256
from mepassa.transports.ice.path import IcePath

ALPN = "mepassa/1"
HANDSHAKE_DEADLINE_S = 5.0
SEND_BUFFER_BYTES = 1 << 20
"""Unacknowledged bytes that a writer may leave behind. TURN over TCP has no flow control of its own in aioice, so this
bounds what piles up in front of it."""
UNREAD_LIMIT_BYTES = 4 << 20
"""Bytes that may wait for our reader; a peer that sends more has ignored every acknowledgement, and loses the link.
aioquic widens its windows by itself, whoever reads or not."""
KEEP_ALIVE_S = 7.0
"""Seconds without a datagram from the peer before a PING: under the 10 s at which some NATs forget a mapping."""
SILENT_AFTER_S = 3.0
"""With something in flight and nothing heard for so long, the path is given up (the issue asks for less than 4 s).
Probe timeouts repeat several times within it even at a round trip of 600 ms."""
UNACKED_AFTER_S = 10.0
"""The same where the peer is heard, but never says that it hears us."""
STALL_S = 0.5
"""A timer this late was not called in time: our own process slept, and the socket has to be looked at first."""
IDLE_TIMEOUT_S = 60.0

_ADDRESS = ("ice", 1)
"""QUIC sees one constant address: which way the datagrams go is ICE's business."""
_STREAM = 0
"""The first bidirectional stream of the client, the only one used (RFC 9000 §2.1)."""


class QuicSession:
    """One QUIC connection over a path that it owns. A `ByteStream` once `open()` has returned.

    `close()` is abrupt and idempotent; when it has returned no task, timer or socket is left. Errors: see `open`,
    `read`, `write`.
    """

    def __init__(self, path: IcePath, *, certificate: QuicCertificate, pinned_sha256: bytes | None) -> None:
        """`pinned_sha256`: the hash that the server's certificate must have, which makes us the client; None: we are
        the server and show `certificate`.
        """
        self._loop = asyncio.get_running_loop()
        self._path = path
        self._certificate, self._pinned = certificate, pinned_sha256
        self._quic: QuicConnection | None = None
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._incoming = bytearray()
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._clean_end = False
        self._ended = False
        self._sending: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._watch_at = 0.0
        self._heard_at = self._loop.time()
        self._ping_since: float | None = None
        self._ping_number = 0
        self._watcher = asyncio.create_task(self._end_with(path))

    # opening

    async def open(self, deadline_s: float = HANDSHAKE_DEADLINE_S) -> None:
        """Shake hands. Raises `PathRefusedError` when the certificate is not the pinned one or the peer speaks another
        protocol, `LinkLostError` when the time is over or the path breaks; everything is closed then.
        """
        if self._pinned is not None:
            self._quic = QuicConnection(configuration=self._configuration(is_client=True))
            self._quic.connect(_ADDRESS, now=self._loop.time())
            self._transmit()
        self._path.read_into(self._receive)
        try:
            async with asyncio.timeout(deadline_s):
                await asyncio.shield(self._opened)
        except TimeoutError as error:
            await self.close()
            raise LinkLostError from error
        except BaseException:
            await self.close()
            raise
        self._arm_watch()

    def _configuration(self, *, is_client: bool) -> QuicConfiguration:
        configuration = QuicConfiguration(
            alpn_protocols=[ALPN],
            is_client=is_client,
            idle_timeout=IDLE_TIMEOUT_S,
            max_datagram_size=1200,
            supported_versions=[QuicProtocolVersion.VERSION_1],
            verify_mode=ssl.CERT_NONE,  # no authority is asked: the hash is pinned below
        )
        if not is_client:
            configuration.certificate = self._certificate.certificate
            configuration.private_key = self._certificate.private_key
        return configuration

    def _accept(self, datagram: bytes) -> None:
        """The first datagram of a client makes the server's connection; anything else is ignored."""
        with suppress(ValueError):
            header = pull_quic_header(Buffer(data=datagram), host_cid_length=8)
            if header.packet_type is QuicPacketType.INITIAL and header.version == QuicProtocolVersion.VERSION_1:
                self._quic = QuicConnection(
                    configuration=self._configuration(is_client=False),
                    original_destination_connection_id=header.destination_cid,
                )

    def _handshake_completed(self, quic: QuicConnection, alpn: str | None) -> None:
        if self._opened.done():
            return
        if self._pinned is not None:
            shown = quic.tls._peer_certificate  # noqa: SLF001 (aioquic has no public way to it)
            if shown is None or not compare_digest(certificate_sha256(shown), self._pinned):
                self._refuse(quic, "certificate")
                return
        if alpn != ALPN:
            self._refuse(quic, "protocol")
            return
        self._opened.set_result(None)

    def _refuse(self, quic: QuicConnection, reason: str) -> None:
        quic.close(error_code=QuicErrorCode.CONNECTION_REFUSED, reason_phrase=reason)
        self._opened.set_exception(PathRefusedError())

    # bytes

    async def read(self, limit_bytes: int) -> bytes:
        """What has come, 1 to `limit_bytes` bytes; b"" once the peer has closed. Raises `LinkLostError`."""
        while not self._incoming:
            if self._ended:
                if self._clean_end:
                    return b""
                raise LinkLostError
            self._readable.clear()
            await self._readable.wait()
        data = bytes(self._incoming[:limit_bytes])
        del self._incoming[:limit_bytes]
        return data

    async def write(self, data: bytes) -> None:
        """Returns when at most `SEND_BUFFER_BYTES` wait for the peer's acknowledgement. Raises `LinkLostError`."""
        quic = self._quic
        if quic is None or self._ended:
            raise LinkLostError
        quic.send_stream_data(_STREAM, data)
        self._in_flight()
        self._send_soon()
        while not self._ended and self._unacknowledged_bytes() > SEND_BUFFER_BYTES:
            self._writable.clear()
            await self._writable.wait()
        if self._ended:
            raise LinkLostError

    def _unacknowledged_bytes(self) -> int:
        stream = self._quic._streams.get(_STREAM) if self._quic else None  # noqa: SLF001 (no public way to the fill)
        return stream.sender._buffer_stop - stream.sender._buffer_start if stream else 0  # noqa: SLF001 (as above)

    # the path

    def attach(self, path: IcePath) -> IcePath:
        """Go on over another path; the old one is returned, still read from, for the caller to close when both ends
        have moved. What was lost in between QUIC sends again.
        """
        old, self._path = self._path, path
        self._watcher.cancel()
        self._watcher = asyncio.create_task(self._end_with(path))
        path.read_into(self._receive)
        self._send_soon()
        return old

    async def _end_with(self, path: IcePath) -> None:
        await path.wait_lost()
        self._end(clean=False)

    def _receive(self, datagram: bytes) -> None:
        if self._ended:
            return
        if self._quic is None:
            self._accept(datagram)
        quic = self._quic
        if quic is None:
            return
        self._heard_at = self._loop.time()
        try:
            quic.receive_datagram(datagram, _ADDRESS, now=self._heard_at)
        except Exception:  # noqa: BLE001 (aioquic documents no errors here; a peer must not reach the event loop's handler)
            self._end(clean=False)
            return
        self._handle_events(quic)
        self._send_soon()

    def _handle_events(self, quic: QuicConnection) -> None:
        while (event := quic.next_event()) is not None:
            match event:
                case events.HandshakeCompleted():
                    self._handshake_completed(quic, event.alpn_protocol)
                case events.StreamDataReceived(stream_id=stream, data=data) if stream == _STREAM:
                    self._incoming += data
                    self._readable.set()
                    if len(self._incoming) > UNREAD_LIMIT_BYTES:
                        quic.close(error_code=QuicErrorCode.FLOW_CONTROL_ERROR, reason_phrase="unread")
                    elif event.end_stream:
                        self._end(clean=True)
                case events.StreamDataReceived():
                    quic.close(error_code=QuicErrorCode.STREAM_LIMIT_ERROR, reason_phrase="one stream")
                case events.StreamReset():
                    self._end(clean=False)
                case events.PingAcknowledged():
                    self._ping_since = None
                    if self._unacknowledged_bytes():
                        self._in_flight()
                case events.ConnectionTerminated(error_code=code):
                    self._end(clean=code == QuicErrorCode.NO_ERROR)
                case _:
                    pass
        self._writable.set()

    # time

    def _send_soon(self) -> None:
        if self._sending is None and not self._ended:
            self._sending = self._loop.call_soon(self._transmit)

    def _transmit(self) -> None:
        self._sending = None
        quic = self._quic
        if quic is None:
            return
        for datagram, _ in quic.datagrams_to_send(now=self._loop.time()):
            self._path.send(datagram)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = quic.get_timer()
        if due is not None and not self._ended:
            self._timer = self._loop.call_at(due, self._handle_timer, due)

    def _handle_timer(self, due: float) -> None:
        self._timer = None
        if self._quic is not None and not self._ended:
            self._quic.handle_timer(now=max(due, self._loop.time()))
            self._handle_events(self._quic)
            self._send_soon()

    def _in_flight(self) -> None:
        """Something that must be acknowledged is on its way: a PING beside it tells us when (RFC 9000 §19.2)."""
        if self._ping_since is None and self._quic is not None and self._opened.done():
            self._ping_since = self._loop.time()
            self._ping_number += 1
            self._quic.send_ping(self._ping_number)
            self._send_soon()
            self._arm_watch()

    def _arm_watch(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        if self._ended:
            return
        if self._ping_since is None:
            self._watch_at = self._heard_at + KEEP_ALIVE_S
        else:
            self._watch_at = min(
                max(self._heard_at, self._ping_since) + SILENT_AFTER_S, self._ping_since + UNACKED_AFTER_S
            )
        self._watch = self._loop.call_at(self._watch_at, self._look)

    def _look(self) -> None:
        """Is the peer still there? Re-arms itself until the session ends."""
        self._watch = None
        now = self._loop.time()
        if self._path.silenced or now - self._watch_at > STALL_S:
            # Silenced on purpose: the path closes by itself. Late: our own process slept, so read first, judge then.
            self._watch_at = now + STALL_S
            self._watch = self._loop.call_at(self._watch_at, self._look)
            return
        if self._ping_since is None:
            if now - self._heard_at >= KEEP_ALIVE_S:
                self._in_flight()
        elif now - max(self._heard_at, self._ping_since) >= SILENT_AFTER_S or now - self._ping_since >= UNACKED_AFTER_S:
            self._end(clean=False)
            return
        self._arm_watch()

    # the end

    def _end(self, *, clean: bool) -> None:
        if self._ended:
            return
        self._ended, self._clean_end = True, clean
        if not self._opened.done():
            self._opened.set_exception(LinkLostError())
            self._opened.exception()  # seen: nobody may be waiting any more
        self._readable.set()
        self._writable.set()
        for handle in (self._timer, self._watch, self._sending):
            if handle is not None:
                handle.cancel()
        self._timer = self._watch = self._sending = None

    async def close(self) -> None:
        """Say goodbye if the path still carries it, then close the path too."""
        quic, was_open = self._quic, not self._ended
        self._end(clean=True)
        if quic is not None:
            if was_open:
                self._transmit()  # what was written before goes first
            quic.close(error_code=QuicErrorCode.NO_ERROR)
            self._transmit()
        self._path.read_into(None)
        self._watcher.cancel()
        await asyncio.wait({self._watcher})
        await self._path.close()
