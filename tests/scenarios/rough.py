"""A courier for bad days: twice, late, by a live path that breaks before or after the other side has committed."""

import asyncio

from mepassa.client.courier import Homes, OutboxItem, Outcome, Refused, Report, Sent, Stored, deposit_one
from mepassa.client.inbox import Arrival
from mepassa.model.errors import LinkLostError
from mepassa.model.ids import Address
from mepassa.model.route import AddressClass, Route, RouteKind, RouteTransport
from mepassa.ports.stores import OutboxKind
from mepassa.testing import SeededRng
from tests.scenarios.household import Peer

DIRECT = Route(RouteKind.DIRECT, RouteTransport.LIBP2P, None, AddressClass.LAN)


class RoughCourier:
    """Every choice is the seed's. Order is not kept, copies are made, and what is reported lags behind the truth."""

    def __init__(self, peer: Peer, homes: Homes) -> None:
        self._peer, self._homes = peer, homes
        self._rng: SeededRng = peer.house.rng.fork(f"{peer.name}/courier/{peer.boots}")

    async def deliver(self, to: Address, items: tuple[OutboxItem, ...], report: Report) -> None:
        async with asyncio.TaskGroup() as tasks:
            for item in items:
                tasks.create_task(self._bring(to, item, report))

    async def _bring(self, to: Address, item: OutboxItem, report: Report) -> None:
        await asyncio.sleep(self._rng.uniform(0, 2))
        by_link = item.kind is not OutboxKind.REQUEST and self._rng.below(3) == 0
        outcome = await self._hand_over(to, item) if by_link else await self._deposit(item)
        await report(item, outcome)
        if isinstance(outcome, Sent) and self._rng.below(2) == 0:
            await report(item, await self._deposit(item))  # the insurance came after all

    async def _deposit(self, item: OutboxItem) -> Stored | Refused:
        outcome = await deposit_one(self._homes, item)
        if self._rng.below(4) == 0:
            return await deposit_one(self._homes, item)
        if self._rng.below(6) == 0:
            return Refused(LinkLostError())  # it was stored, but we never heard
        return outcome

    async def _hand_over(self, to: Address, item: OutboxItem) -> Outcome:
        """Straight into the other peer, as a link would; the acknowledgement may be lost."""
        other = next(peer for peer in self._peer.house.peers.values() if peer.account == to.account)
        sender = Address(self._peer.account, 1)
        if self._rng.below(4) == 0:
            return Refused(LinkLostError())
        taken = await other.receive(item.envelope, Arrival(DIRECT, sender))
        if not taken or self._rng.below(4) == 0:
            return Refused(LinkLostError())
        return Sent(DIRECT)
