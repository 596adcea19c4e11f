"""A muxer without a wire: what it sends is kept as plain frames, and nothing comes but by `receive_data`."""

import struct

from libp2p.peer.id import ID

from mepassa.p2p.noise import NoiseSession
from mepassa.p2p.yamux import Yamux


class ToldSession(NoiseSession):
    def __init__(self, *, is_initiator: bool) -> None:
        self.is_initiator = is_initiator
        self.told = bytearray()
        self.unsent = bytearray()

    def send(self, data: bytes) -> None:
        self.told += data

    async def close(self) -> None:
        pass


def frame(kind: int, flags: int, stream_id: int, length: int) -> bytes:
    return struct.pack("!BBHII", 0, kind, flags, stream_id, length)


def lone() -> Yamux:
    """The dialler's."""
    return Yamux(ToldSession(is_initiator=True), ID(b"peer"))


def told(conn: Yamux) -> bytes:
    """What it has sent since it was asked last."""
    session = conn.secured_conn
    assert isinstance(session, ToldSession)
    data = bytes(session.told)
    session.told.clear()
    return data
