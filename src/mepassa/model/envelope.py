"""Sealed bytes for one device, the same on every route and every retry (docs/protocol/envelope.md)."""

from mepassa.model.errors import TooLargeError
from mepassa.model.ids import EnvelopeId

MAX_PLAINTEXT_BYTES = 32 * 1024
"""Padded plaintext inside one envelope: 256 · 2^k up to this."""
MAX_ENVELOPE_BYTES = 36 * 1024
"""Sealed sender v1 around the largest padded plaintext and a PreKey message fits; larger is refused everywhere."""
MAX_REQUEST_ENVELOPE_BYTES = 8 * 1024
"""What a home takes into the request lane."""


class SealedEnvelope:
    """Opaque bytes and the id computed from them. Raises `TooLargeError` when empty or over 36 KiB."""

    __slots__ = ("id", "raw")

    def __init__(self, raw: bytes) -> None:
        if not 0 < len(raw) <= MAX_ENVELOPE_BYTES:
            raise TooLargeError(len(raw), MAX_ENVELOPE_BYTES)
        self.raw = bytes(raw)
        self.id = EnvelopeId.of(self.raw)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SealedEnvelope) and other.raw == self.raw

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"SealedEnvelope({self.id.short()}…, {len(self.raw)} bytes)"
