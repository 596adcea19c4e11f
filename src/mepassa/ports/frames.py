"""One message-framed connection to or from a home: a WebSocket, or a pair in memory (docs/protocol/home.md)."""

from typing import Protocol


class FrameStream(Protocol):
    """Whole binary frames, in order. Both ends of `/v1/mailbox` and `/v1/deposit` speak through this."""

    async def send(self, frame: bytes) -> None:
        """Returns when the transport has taken it, so a slow reader is felt here. Raises `LinkLostError`."""
        ...

    async def receive(self) -> bytes | None:
        """The next frame; None once the other side has closed. Raises `MalformedError` for text or oversize frames."""
        ...

    async def close(self) -> None:
        """Idempotent; a pending `receive` on either side ends."""
        ...
