"""The seam between what must go out and how it travels: `Outbox` owns the rows, a `Courier` the routes.

`DepositCourier` knows the stored route alone. The node's courier executes what `routing` decides.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

from mepassa.model.envelope import SealedEnvelope
from mepassa.model.errors import BusyError, MepassaError
from mepassa.model.ids import Address, MessageId, Timestamp
from mepassa.model.route import AddressClass, Policy, Route, RouteKind, RouteTransport
from mepassa.ports.mailbox import HomeAddress, RecipientHome
from mepassa.ports.stores import OutboxKind

DEPOSITS_IN_FLIGHT = 16
"""Deposits of one device that wait for their answers at the same time."""


@dataclass(frozen=True, slots=True)
class OutboxItem:
    """One sealed envelope for one device, with all that any route needs.

    `token`: what its home asks for with a deposit. `stored_only`: the person asked for "send by server".
    """

    row_id: int
    to: Address
    kind: OutboxKind
    envelope: SealedEnvelope
    message_id: MessageId | None
    policy: Policy
    home: HomeAddress
    token: bytes | None = field(repr=False)
    composed_at_ms: Timestamp
    attempts: int
    stored_only: bool = False


@dataclass(frozen=True, slots=True)
class Sent:
    """The recipient's device acknowledged it on a live path, after its commit; `opened`: this copy, as the first."""

    route: Route
    opened: bool = False


@dataclass(frozen=True, slots=True)
class Stored:
    """The recipient's home has it on disk (or handed it over meanwhile)."""

    route: Route


@dataclass(frozen=True, slots=True)
class Refused:
    """Not now; the outbox tries again, not before `retry_after_s` if that is given."""

    error: MepassaError
    retry_after_s: float | None = None


Outcome = Sent | Stored | Refused
Report = Callable[[OutboxItem, Outcome], Awaitable[None]]


class Courier(Protocol):
    def deliver(self, to: Address, items: tuple[OutboxItem, ...], report: Report) -> Awaitable[None]:
        """Bring everything that is due for one device on its way, in order; awaited until every item was reported.
        What needs no waiting is done when the call returns: what goes by a live path is on it.

        `report` is awaited as soon as an item's fate is known; it commits. The first `Sent` or `Stored` ends a row;
        a later one (stored as insurance, then sent) only lifts the record, and what has no answer yet when it was sent
        is called back. REQUEST and `stored_only` items go to the
        home alone; a CONTROL item takes a live path or is deposited, and never starts an attempt for a path.

        Rows that become due while this runs come in another call, at the same time; a row is in one running call at a
        time, with one exception: "send by server" calls again for an envelope, with `stored_only`, while the first
        call may still wait for a path. An item that was not reported when this returns is put off and tried again.

        Cancelled, it takes back what has not left: nothing of these items goes out afterwards.
        """
        ...


class Homes(Protocol):
    """Sealed connections to any home; implemented by `transports.mailbox.SealedHomes`."""

    def recipient(self, home: HomeAddress) -> RecipientHome: ...


def stored_route(home: HomeAddress) -> Route:
    return Route(RouteKind.STORED, RouteTransport.MAILBOX, urlsplit(home.url).netloc, AddressClass.HOME)


class DepositCourier:
    """Deposits at the recipient's home, several at a time."""

    def __init__(self, homes: Homes) -> None:
        self._homes = homes

    async def deliver(self, to: Address, items: tuple[OutboxItem, ...], report: Report) -> None:
        for start in range(0, len(items), DEPOSITS_IN_FLIGHT):
            async with asyncio.TaskGroup() as tasks:
                for item in items[start : start + DEPOSITS_IN_FLIGHT]:
                    tasks.create_task(self.deposit(item, report))

    async def deposit(self, item: OutboxItem, report: Report) -> None:
        await report(item, await deposit_one(self._homes, item))


async def deposit_one(homes: Homes, item: OutboxItem) -> Stored | Refused:
    """One deposit at the recipient's home; every way in which it can fail is a `Refused`."""
    try:
        await homes.recipient(item.home).deposit(item.to, item.envelope, item.token)
    except BusyError as error:
        return Refused(error, error.retry_after_s)
    except MepassaError as error:
        return Refused(error)
    return Stored(stored_route(item.home))
