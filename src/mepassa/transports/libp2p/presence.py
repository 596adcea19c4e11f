"""Finding each other without a home: blinded presence in the DHT (docs/protocol/presence.md).

Every errand (one publication, one look-up) is done by a host of its own with a throw-away key, since py-libp2p signs
every request with its host's key: two errands have nothing in common but the internet address that they come from.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from mepassa.identity import PresenceKeyPair, presence_slot, utc_day
from mepassa.model.errors import MepassaError, RemoteError, TransientError
from mepassa.model.ids import Address
from mepassa.model.keys import IdentityKey, PresencePublicKey
from mepassa.p2p.dht import DhtNode, any_near
from mepassa.p2p.guest import TrioGuest
from mepassa.p2p.presence import FoundPresence, make_presence, open_stored_presence, slot_key
from mepassa.ports.clock import Clock
from mepassa.transports.libp2p.transport import ListenFacts
from mepassa.wire.presence import PresenceBody

ERRAND_S = 15.0
"""Everything included. The DHT is never the only path, so nobody waits longer."""
PUBLISH_EVERY_S = 50 * 60.0
"""Two publications fit into a record's life of two hours, and a failed one is made up for."""


class DhtUnreachableError(TransientError):
    sentence = "No node of the public directory of presence could be reached."


class PresenceClient:
    """`bootstrap`: multiaddrs with /p2p, the home's list and the person's own; may be replaced at any time."""

    def __init__(
        self, *, guest: TrioGuest, clock: Clock, bootstrap: Sequence[str] = (), allow_loopback: bool = False
    ) -> None:
        self._guest, self._clock, self._allow_loopback = guest, clock, allow_loopback
        self.bootstrap = tuple(bootstrap)

    async def publish(
        self, presence: PresenceKeyPair, own: Address, listening: ListenFacts, sign: Callable[[bytes], bytes]
    ) -> int:
        """Put today's record of this device; how many nodes took it. Raises `DhtUnreachableError`.

        Call it at start, when the addresses change, every `PUBLISH_EVERY_S`, and at midnight UTC. `sign`: XEdDSA.
        """
        now_ms = self._clock.now_ms()
        body = PresenceBody(listening.peer_id, listening.addresses)
        key, value = make_presence(presence, own, day=utc_day(now_ms), body=body, sequence=now_ms, sign=sign)
        async with self._errand() as node:
            return await node.put(key, value)

    async def look_up(
        self, key: PresencePublicKey, devices: Sequence[tuple[Address, IdentityKey]]
    ) -> tuple[FoundPresence, ...]:
        """Where these devices of one contact say they are, the newest record of each; those not found are absent.

        Yesterday, today and tomorrow are tried: clocks differ, and a day ends somewhere else. Raises
        `DhtUnreachableError`. Addresses are as the contact wrote them: `Libp2pTransport.dial` sorts them out.
        """
        today = utc_day(self._clock.now_ms())
        slots = [(device, its_key, day) for device, its_key in devices for day in (today - 1, today, today + 1)]
        async with self._errand() as node:
            found = await asyncio.gather(*(self._fetch(node, key, *slot) for slot in slots))
        newest: dict[Address, FoundPresence] = {}
        for one in found:
            if one is not None and (one.device not in newest or one.sequence > newest[one.device].sequence):
                newest[one.device] = one
        return tuple(newest.values())

    async def _fetch(
        self, node: DhtNode, key: PresencePublicKey, device: Address, device_key: IdentityKey, day: int
    ) -> FoundPresence | None:
        try:
            value = await node.get(slot_key(presence_slot(key, day, device.device)))
            if value is None:
                return None
            return open_stored_presence(
                value, key, day=day, device=device, device_key=device_key, now_ms=self._clock.now_ms()
            )
        except RemoteError:
            return None

    @asynccontextmanager
    async def _errand(self) -> AsyncIterator[DhtNode]:
        node = DhtNode(
            self._guest,
            server=False,
            now_ms=self._clock.now_ms,
            allow_loopback=self._allow_loopback,
            near=any_near(self.bootstrap),
        )
        try:
            async with asyncio.timeout(ERRAND_S):
                await node.start()
                if not await node.join(self.bootstrap):
                    raise DhtUnreachableError
                yield node
        except MepassaError:
            raise
        except Exception as error:
            # Out of time, or the library met words from a stranger that it does not know what to do with.
            raise DhtUnreachableError from error
        finally:
            with contextlib.suppress(Exception):
                await node.stop()
