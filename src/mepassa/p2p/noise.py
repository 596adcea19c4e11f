"""Noise for py-libp2p with one read of the socket for all that has come, and writes that wait only when they have to.

The library shakes hands; what follows is `NoiseSession`. The library's own reads each message's length and body apart,
and has every byte written by a task of its own (docs/decisions/0097).
"""

from collections.abc import Callable
from typing import Any

from libp2p.abc import IRawConnection, ISecureConn
from libp2p.connection_types import ConnectionType
from libp2p.crypto.keys import KeyPair, PrivateKey
from libp2p.network.connection.exceptions import RawConnError
from libp2p.peer.id import ID
from libp2p.security.base_session import BaseSession
from libp2p.security.noise.io import MAX_PLAINTEXT_LENGTH
from libp2p.security.noise.transport import Transport
from multiaddr import Multiaddr

from mepassa.model.errors import DecryptionError

LENGTH_BYTES = 2
READ_BYTES = 64 * 1024

SendNow = Callable[[bytearray], int]
"""What the kernel takes at once, in bytes. Raises `BlockingIOError` when that is nothing, other `OSError` at the end."""


class PromptNoise(Transport):
    """`send_now_of` finds the way to the socket of a raw connection."""

    def __init__(
        self, key_pair: KeyPair, noise_key: PrivateKey, send_now_of: Callable[[IRawConnection], SendNow]
    ) -> None:
        super().__init__(key_pair, noise_privkey=noise_key)
        self._send_now_of = send_now_of

    async def secure_inbound(self, conn: IRawConnection) -> ISecureConn:
        return NoiseSession(conn, await super().secure_inbound(conn), self._send_now_of(conn))

    async def secure_outbound(self, conn: IRawConnection, peer_id: ID) -> ISecureConn:
        return NoiseSession(conn, await super().secure_outbound(conn, peer_id), self._send_now_of(conn))


class NoiseSession(BaseSession):
    """What the library's `SecureSession` is, and besides `receive`, `send` and `flush`. One task reads, one flushes."""

    def __init__(self, raw: IRawConnection, shaken: Any, send_now: SendNow) -> None:
        super().__init__(
            local_peer=shaken.local_peer,
            local_private_key=shaken.local_private_key,
            remote_peer=shaken.remote_peer,
            remote_permanent_pubkey=shaken.remote_permanent_pubkey,
            is_initiator=shaken.is_initiator,
        )
        self._raw, self._send_now = raw, send_now
        self._noise = shaken.conn.noise_state
        self._sealed = bytearray()
        """Received, and not yet a whole message."""
        self._opened = bytearray()
        """Left over by `read`."""
        self.unsent = bytearray()
        """Encrypted, and not yet taken by the kernel: `flush` it."""

    def receive_data(self, data: bytes) -> bytes:
        """The plaintext of every message that is complete now. Raises `DecryptionError` when one was not sealed by the peer."""
        self._sealed += data
        opened, begin = [], 0
        while (body := begin + LENGTH_BYTES) <= len(self._sealed):
            end = body + int.from_bytes(self._sealed[begin:body], "big")
            if end > len(self._sealed):
                break
            try:
                opened.append(self._noise.decrypt(bytes(self._sealed[body:end])))
            except Exception as error:  # which kind is its cipher's affair
                raise DecryptionError from error
            begin = end
        del self._sealed[:begin]
        return b"".join(opened)

    async def receive(self) -> bytes:
        """What has come, at least a byte; b"" at the end."""
        opened = bytes(self._opened)
        self._opened.clear()
        while not opened and (data := await self._raw.read(READ_BYTES)):
            opened = self.receive_data(data)
        return opened

    def send(self, data: bytes) -> None:
        """Encrypt, and give the kernel what it takes at once. Raises `RawConnError` when the connection is lost."""
        waits = bool(self.unsent)
        for begin in range(0, len(data), MAX_PLAINTEXT_LENGTH):
            sealed = self._noise.encrypt(data[begin : begin + MAX_PLAINTEXT_LENGTH])
            self.unsent += len(sealed).to_bytes(LENGTH_BYTES, "big") + sealed
        if waits:
            return
        try:
            del self.unsent[: self._send_now(self.unsent)]
        except BlockingIOError:
            pass
        except OSError as error:
            raise RawConnError from error

    async def flush(self) -> None:
        """Wait until all is the kernel's. To cancel it is to lose the connection: nobody knows how much has left."""
        while self.unsent:
            data = bytes(self.unsent)
            await self._raw.write(data)
            del self.unsent[: len(data)]

    # --- what `ISecureConn` asks for, used while the muxer is being agreed upon ---------------------------------------

    async def read(self, n: int | None = None) -> bytes:
        """Exactly `n` bytes, fewer at the end; all that has come without `n`."""
        opened = bytearray()
        while n is None or len(opened) < n:
            more = await self.receive()
            opened += more
            if n is None or not more:
                return bytes(opened)
        self._opened += opened[n:]
        return bytes(opened[:n])

    async def write(self, data: bytes) -> None:
        self.send(data)
        await self.flush()

    async def close(self) -> None:
        await self._raw.close()

    def get_remote_address(self) -> tuple[str, int] | None:
        return self._raw.get_remote_address()

    def get_transport_addresses(self) -> list[Multiaddr]:
        return self._raw.get_transport_addresses()

    def get_connection_type(self) -> ConnectionType:
        return self._raw.get_connection_type()
