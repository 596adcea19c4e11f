"""ChannelData, and how TURN is cut out of a byte stream (RFC 8656 §12.4, §12.5; RFC 8489 §6.2.2)."""

from dataclasses import dataclass

from mepassa.model.errors import MalformedError
from mepassa.wire.stun.attributes import MAGIC_COOKIE_BYTES
from mepassa.wire.stun.message import HEADER_BYTES

MIN_CHANNEL = 0x4000
MAX_CHANNEL = 0x7FFF
"""All that the first two bits can say. RFC 8656 §12 hands out 0x4000-0x4FFF only, but clients of RFC 5766 (coturn's own
among them) use the rest, and nothing else shares our ports."""


@dataclass(frozen=True, slots=True)
class ChannelData:
    channel: int
    data: bytes


def is_channel_data(data: bytes) -> bool:
    """Whether a datagram's first bits say ChannelData (01), not STUN (00)."""
    return bool(data) and data[0] & 0xC0 == 0x40


def encode_channel_data(channel: int, data: bytes, *, padded: bool = False) -> bytes:
    """`padded`: to a multiple of four, as a stream needs it."""
    if not MIN_CHANNEL <= channel <= MAX_CHANNEL or len(data) > 0xFFFF:
        raise MalformedError("no such channel, or too many bytes for one.")
    frame = channel.to_bytes(2) + len(data).to_bytes(2) + data
    return frame + bytes(-len(frame) % 4) if padded else frame


def decode_channel_data(data: bytes) -> ChannelData:
    """One frame; up to three bytes of padding may follow it. Raises `MalformedError`."""
    if len(data) < 4 or not is_channel_data(data):
        raise MalformedError("these bytes are no ChannelData.")
    end = 4 + int.from_bytes(data[2:4])
    if not end <= len(data) <= end + 3:
        raise MalformedError("the length of ChannelData does not fit its bytes.")
    return ChannelData(int.from_bytes(data[:2]), data[4:end])


class StreamFramer:
    """Cuts STUN messages and ChannelData (padding included) out of TCP. Holds at most one frame and one read.

    `next_frame` raises `MalformedError` when the stream can hold no further frame: the connection is to be closed.
    """

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def receive_data(self, data: bytes) -> None:
        self._buffer += data

    @property
    def is_empty(self) -> bool:
        """No frame has been begun."""
        return not self._buffer

    def next_frame(self) -> bytes | None:
        """The next whole frame, or None until more bytes have come."""
        if len(self._buffer) < 4:
            return None
        size = self._frame_size()
        if len(self._buffer) < size:
            return None
        frame = bytes(self._buffer[:size])
        del self._buffer[:size]
        return frame

    def _frame_size(self) -> int:
        first, length = self._buffer[0], int.from_bytes(self._buffer[2:4])
        if first & 0xC0 == 0 and length % 4 == 0:
            cookie = bytes(self._buffer[4:8])
            if MAGIC_COOKIE_BYTES.startswith(cookie):
                return HEADER_BYTES + length
        if first & 0xC0 == 0x40:
            return 4 + length + -length % 4
        raise MalformedError("this stream is neither STUN nor ChannelData.")
