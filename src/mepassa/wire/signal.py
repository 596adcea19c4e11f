"""Signal <-> bytes: the sealed note by which two devices meet (docs/protocol/signal.md)."""

from mepassa.model.signal import Signal
from mepassa.wire.codec import Codec

MAX_SIGNAL_BYTES = 12 * 1024
"""Twice 16 addresses of up to 300 bytes, keys and names."""

_SIGNAL: Codec[Signal] = Codec(Signal, limit_bytes=MAX_SIGNAL_BYTES)


def encode_signal(signal: Signal) -> bytes:
    """Raises `TooLargeError`."""
    return _SIGNAL.encode(signal)


def decode_signal(data: bytes) -> Signal:
    """Raises `TooLargeError` or `MalformedError`, and nothing else."""
    return _SIGNAL.decode(data)
