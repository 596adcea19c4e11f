"""The live links of one transport, and what happens when there are two to one device."""

import asyncio
from typing import Literal, Protocol

from mepassa.model.ids import Address
from mepassa.ports.transport import Link
from mepassa.transports.link.machine import CloseCause

How = Literal["close", "silence"]


class KeptLink(Link, Protocol):
    """What a set needs of a link besides what everybody may do with it."""

    @property
    def own(self) -> Address: ...

    @property
    def is_open(self) -> bool: ...

    @property
    def retiring(self) -> bool:
        """A newer one has taken over."""
        ...

    @property
    def cause(self) -> CloseCause | None:
        """Why it ended; None while it lives."""
        ...

    def retire(self) -> None:
        """Finish what is in flight, then end."""
        ...

    def silence(self) -> None:
        """Swallow every byte from now on."""
        ...


class LinkSet:
    """Links whose hellos have been said, oldest first.

    Two devices that dial each other at the same time open two links. Both sides use the newer one at once; the older
    one is ended by the side with the smaller address alone, after what it has in flight: were both sides to end "their"
    older link, they could end both.
    """

    def __init__(self) -> None:
        self._links: list[KeptLink] = []

    def add(self, link: KeptLink) -> None:
        for older in self.live(link.peer):
            if older.own < older.peer:
                older.retire()
        self._links.append(link)

    def remove(self, link: KeptLink) -> None:
        if link in self._links:
            self._links.remove(link)

    def live(self, peer: Address | None = None) -> tuple[KeptLink, ...]:
        """Open links (to `peer`, or all), the newest last. One that is being replaced is no longer live."""
        return tuple(
            link for link in self._links if link.is_open and not link.retiring and (peer is None or link.peer == peer)
        )

    async def end_all(self, how: How) -> None:
        """`close`: say bye, return when all are gone. `silence`: every link swallows its bytes from now on."""
        if how == "silence":
            for link in self._links:
                link.silence()
        else:
            await asyncio.gather(*(link.close() for link in tuple(self._links)))
