"""One logged-in device: what is in flight to it, how much it still takes."""

import asyncio
from typing import Protocol

from mepassa.server.mailbox.outbox import Outbox
from mepassa.wire.mailbox import (
    DELIVERY_WINDOW_BYTES,
    RECORD_OVERHEAD_BYTES,
    Bye,
    ByeReason,
    Deliver,
    DeliverSignal,
    MailboxToDevice,
    PrekeysLow,
)

SIGNALS_WAITING = 32
"""Records queued for a socket past which a signal is not forwarded: its reader is asleep."""


class Source(Protocol):
    """Where a session reads what waits for it."""

    async def read(self, mailbox: int, in_flight: set[bytes], budget_bytes: int) -> list[tuple[bytes, bytes]]:
        """(id, sealed) of waiting envelopes that are not in flight, oldest first."""
        ...

    def unpushed(self, mailbox: int) -> int:
        """Deposits of this mailbox that are on their way to disk without having been pushed."""
        ...


class Session:
    """Subscribed before it reads. No cursor: it takes what is unacknowledged and not yet in flight on this connection.

    `behind`: there may be envelopes on disk that were not pushed; until it has caught up nothing is pushed past them,
    so that what one connection deposited arrives in its order.
    """

    def __init__(self, mailbox: int, outbox: Outbox[MailboxToDevice], source: Source, signal_life_s: float) -> None:
        self.mailbox = mailbox
        self.in_flight: set[bytes] = set()
        self.behind = True
        self.closed = False
        self.delivered = 0
        self._outbox, self._source, self._signal_life_s = outbox, source, signal_life_s
        self._credit_bytes = DELIVERY_WINDOW_BYTES
        self._wanted = False
        self._pump: asyncio.Task[None] | None = None

    def can_push(self, id_: bytes, sealed: bytes) -> bool:
        return (
            not self.closed
            and not self.behind
            and self._credit_bytes >= len(sealed) + RECORD_OVERHEAD_BYTES
            and id_ not in self.in_flight
        )

    def push(self, id_: bytes, sealed: bytes) -> None:
        self.in_flight.add(id_)
        self._credit_bytes -= len(sealed) + RECORD_OVERHEAD_BYTES
        self.delivered += 1
        self._outbox.put(Deliver(sealed))

    def add_credit(self, size_bytes: int) -> None:
        """A device that claims more than the window gets the window."""
        self._credit_bytes = min(self._credit_bytes + size_bytes, DELIVERY_WINDOW_BYTES)
        if self.behind:
            self.wake()

    def forward_signal(self, sealed: bytes) -> bool:
        if self.closed or self._outbox.waiting >= SIGNALS_WAITING:
            return False
        self._outbox.put(DeliverSignal(sealed), life_s=self._signal_life_s)
        return True

    def tell_prekeys_low(self, one_time_left: int, kyber_left: int) -> None:
        if not self.closed:
            self._outbox.put(PrekeysLow(one_time_left, kyber_left))

    def wake(self) -> None:
        """Something waits on disk that was not pushed."""
        self.behind = self._wanted = True
        if self._pump is None and not self.closed:
            self._pump = asyncio.get_running_loop().create_task(self._catch_up(), name="mailbox reader")

    async def _catch_up(self) -> None:
        try:
            while not self.closed and self._credit_bytes > 0:
                self._wanted = False
                found = await self._source.read(self.mailbox, self.in_flight, self._credit_bytes)
                self._push_all(found)
                await self._outbox.room()
                if not found and not self._wanted:
                    # Deposits whose commit is under way will wake us when it is done.
                    self.behind = self._source.unpushed(self.mailbox) > 0
                    return
        finally:
            self._pump = None

    def _push_all(self, found: list[tuple[bytes, bytes]]) -> None:
        if not self.closed:
            for id_, sealed in found:
                if id_ not in self.in_flight:
                    self.push(id_, sealed)

    async def end(self, reason: ByeReason) -> None:
        """Say why and close; what was in flight stays on disk."""
        if not self.closed:
            self.closed = True
            await self._outbox.end(Bye(reason))

    def detach(self) -> None:
        self.closed = True
        if self._pump is not None:
            self._pump.cancel()
