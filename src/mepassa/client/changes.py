"""A bell: whoever changed something rings, whoever watches looks at the database again. It carries nothing."""

import asyncio


class Changes:
    def __init__(self) -> None:
        self._bell = asyncio.Event()

    def ring(self) -> None:
        """Wake every watcher; to be called on the event loop, after the commit."""
        self._bell.set()
        self._bell = asyncio.Event()

    def ticket(self) -> asyncio.Event:
        """Take it *before* looking, wait on it after: a change in between is not missed."""
        return self._bell
