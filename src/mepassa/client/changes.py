"""The newest events, as their commits left them, for whoever watches. What is older is in the database."""

import asyncio
from collections import deque
from collections.abc import Sequence

from mepassa.ports.stores import Logged

KEPT = 256
"""A watcher that lags behind by more reads the database again."""


class Changes:
    def __init__(self) -> None:
        self._bell = asyncio.Event()
        self._newest: deque[Logged] = deque(maxlen=KEPT)
        """Without a gap."""

    def add(self, logged: Sequence[Logged]) -> None:
        """To be called on the event loop, after the commit: wakes every watcher."""
        if logged and self._newest and logged[0].event.seq != self._newest[-1].event.seq + 1:
            self._newest.clear()
        self._newest.extend(logged)
        self._bell.set()
        self._bell = asyncio.Event()

    def ticket(self) -> asyncio.Event:
        """Take it *before* looking, wait on it after: a change in between is not missed."""
        return self._bell

    @property
    def newest_seq(self) -> int:
        """Of the last event that is at hand; 0 when none is."""
        return self._newest[-1].event.seq if self._newest else 0

    def after(self, seq: int) -> tuple[Logged, ...]:
        """Everything after that event that is at hand; none when the next one is not."""
        count = self.newest_seq - seq
        return tuple(self._newest[-place] for place in range(count, 0, -1)) if count <= len(self._newest) else ()
