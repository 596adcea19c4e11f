"""All allocations of the relay: those whose socket is awaited, those that live, whose they are and when they end."""

import heapq
from collections import Counter

from mepassa.server.relay.allocation import Allocation, FiveTuple, SignedRequest
from mepassa.server.relay.counters import RelayCounters
from mepassa.server.relay.credentials import holder_of
from mepassa.server.relay.outputs import CloseRelay, Output


class AllocationTable:
    def __init__(self, counters: RelayCounters) -> None:
        self._counters = counters
        self._live: dict[FiveTuple, Allocation] = {}
        self._by_port: dict[int, Allocation] = {}
        self._pending: dict[FiveTuple, tuple[SignedRequest, int]] = {}
        """Allocate requests that wait for their socket, with the lifetime they get."""
        self._per_user: Counter[str] = Counter()
        self._expiries: list[tuple[float, FiveTuple]] = []
        """A heap. An allocation's entry is put back when it turns out to have been refreshed."""

    def __len__(self) -> int:
        return len(self._live) + len(self._pending)

    def __contains__(self, five_tuple: FiveTuple) -> bool:
        return five_tuple in self._live or five_tuple in self._pending

    def is_pending(self, five_tuple: FiveTuple) -> bool:
        return five_tuple in self._pending

    def live(self, five_tuple: FiveTuple, now: float) -> Allocation | None:
        """The allocation unless its time is up, whether or not the timer has said so yet."""
        allocation = self._live.get(five_tuple)
        return allocation if allocation is not None and allocation.expires_at > now else None

    def at_port(self, port: int) -> Allocation | None:
        """Its time may be up."""
        return self._by_port.get(port)

    def count_of(self, username: str) -> int:
        """How many its holder has, whatever names it goes by."""
        return self._per_user[holder_of(username)]

    # --- from request to end -----------------------------------------------------------------------------------------

    def reserve(self, request: SignedRequest, lifetime_s: int) -> None:
        self._per_user[holder_of(request.username)] += 1
        self._pending[request.five_tuple] = (request, lifetime_s)

    def opened(self, five_tuple: FiveTuple, port: int, now: float) -> tuple[Allocation, SignedRequest] | None:
        """None: the client is gone."""
        pending = self._pending.pop(five_tuple, None)
        if pending is None:
            return None
        request, lifetime_s = pending
        allocation = Allocation(five_tuple, port, request.username, request.message.transaction_id, now + lifetime_s)
        self._live[five_tuple] = self._by_port[port] = allocation
        heapq.heappush(self._expiries, (allocation.expires_at, five_tuple))
        self._counters.allocations_total += 1
        self._counters.allocations_live = len(self._live)
        return allocation, request

    def give_up(self, five_tuple: FiveTuple) -> SignedRequest | None:
        """The request that waited for a socket, if any."""
        pending = self._pending.pop(five_tuple, None)
        if pending is None:
            return None
        self._release(pending[0].username)
        return pending[0]

    def end(self, five_tuple: FiveTuple) -> list[Output]:
        allocation = self._live.pop(five_tuple, None)
        if allocation is None:
            return []
        del self._by_port[allocation.relayed_port]
        self._release(allocation.username)
        self._counters.allocations_live = len(self._live)
        if len(self._expiries) > 2 * len(self._live) + 64:  # entries of deleted ones must not pile up
            self._expiries = [(each.expires_at, each.five_tuple) for each in self._live.values()]
            heapq.heapify(self._expiries)
        return [CloseRelay(five_tuple)]

    def end_expired(self, now: float) -> list[Output]:
        outputs: list[Output] = []
        while self._expiries and self._expiries[0][0] <= now:
            _due, five_tuple = heapq.heappop(self._expiries)
            allocation = self._live.get(five_tuple)
            if allocation is None:
                continue
            if allocation.expires_at <= now:
                outputs += self.end(five_tuple)
            else:  # refreshed since
                heapq.heappush(self._expiries, (allocation.expires_at, five_tuple))
        return outputs

    def next_timeout(self) -> float | None:
        return self._expiries[0][0] if self._expiries else None

    def _release(self, username: str) -> None:
        holder = holder_of(username)
        self._per_user[holder] -= 1
        if self._per_user[holder] <= 0:
            del self._per_user[holder]
