"""When contacts, lists or states change: links learn whose keys may answer, and the home learns the tokens."""

import asyncio
from collections.abc import Callable

from mepassa.client.link_identity import DbLinkIdentity
from mepassa.client.upkeep import Upkeep


class ContactWatch:
    def __init__(self, identity: DbLinkIdentity, upkeep: Upkeep) -> None:
        self._identity, self._upkeep = identity, upkeep
        self._changed = asyncio.Event()
        self._others: list[Callable[[], None]] = []

    def also(self, wake: Callable[[], None]) -> None:
        """Call that, too, after each refresh."""
        self._others.append(wake)

    def changed(self) -> None:
        """To be called on the event loop, after the commit."""
        self._changed.set()

    async def run(self) -> None:
        """Until cancelled: many changes at once make one refresh."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._identity.refresh()
            for wake in (self._upkeep.wake, *self._others):
                wake()
