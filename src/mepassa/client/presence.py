"""Saying in the DHT where this device is, and finding contacts there when their home is away (docs/protocol/presence.md).

The rest of the node works without it: no DHT node, no answer, and nothing else changes.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from mepassa.client.settings import BOOTSTRAP
from mepassa.identity import PresenceKeyPair
from mepassa.model.errors import MepassaError
from mepassa.model.ids import Address
from mepassa.model.keys import IdentityKey, PresencePublicKey
from mepassa.model.status import ChatState
from mepassa.ports.clock import Clock
from mepassa.ports.db import Db
from mepassa.ports.stores import OwnAccount, Tx
from mepassa.protocol.contacts import own_presence_key
from mepassa.protocol.devices import counterpart, ourselves, recipients, remote_device
from mepassa.transports.libp2p import ListenFacts, PresenceClient

log = logging.getLogger("mepassa.presence")

PUBLISH_EVERY_S = 3_000.0
"""A record lives two hours; after fifty minutes it is said anew, so that one lost round does not matter."""
RETRY_S = 30.0
"""After a round that no DHT node took."""
DAY_MS = 86_400_000
"""Slots change at midnight UTC; a record is said anew then."""


class PresenceService:
    """`run` publishes until cancelled; `wake` after addresses, contacts or switches changed.

    Nothing is said while nobody could use it: no accepted contact whose chat allows direct paths and no other device of
    ours, or direct paths are switched off here.
    """

    def __init__(
        self,
        db: Db[Tx],
        client: PresenceClient,
        *,
        listening: Callable[[], ListenFacts],
        sign: Callable[[bytes], bytes],
        direct: Callable[[], bool],
        clock: Clock,
        extra_bootstrap: tuple[str, ...] = (),
    ) -> None:
        self._db, self._client, self._clock = db, client, clock
        self._listening, self._sign, self._direct = listening, sign, direct
        self._extra = extra_bootstrap
        self._woken = asyncio.Event()

    def wake(self) -> None:
        self._woken.set()

    async def learn_bootstrap(self, listed: tuple[str, ...]) -> None:
        """Keep the DHT nodes that the home lists: they are what is left when the home is away."""
        await self._db.run(lambda tx: tx.put_setting(BOOTSTRAP, "\n".join(listed).encode()))
        await self._use(listed)

    async def _use(self, listed: tuple[str, ...]) -> None:
        known = tuple(dict.fromkeys((*self._extra, *listed)))
        if known != self._client.bootstrap:
            self._client.bootstrap = known
            self.wake()

    async def run(self) -> None:
        kept = await self._db.run(lambda tx: tx.setting(BOOTSTRAP))
        await self._use(tuple((kept or b"").decode().split()))
        while True:
            self._woken.clear()
            pause_s = await self._publish()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._woken.wait()

    async def _publish(self) -> float | None:
        """One round; seconds until the next, None: when woken."""
        own, wanted = await self._db.run(_own_and_wanted)
        if not (wanted and self._direct() and self._client.bootstrap):
            return None
        try:
            taken = await self._client.publish(
                PresenceKeyPair(own.presence_seed), own.address, self._listening(), self._sign
            )
        except MepassaError as error:
            log.info("presence.not_published", extra={"error": error.code})
            return RETRY_S
        log.info("presence.published", extra={"nodes": taken})
        until_midnight_s = (DAY_MS - self._clock.now_ms() % DAY_MS) / 1000 + 1
        return min(PUBLISH_EVERY_S, until_midnight_s) if taken else RETRY_S

    async def look_up(self, peer: Address) -> tuple[str, ...]:
        """Where that device says that it is: multiaddrs with /p2p/ID.

        Empty when we were never given the account's presence key. Raises what the DHT raises.
        """

        def read(tx: Tx) -> tuple[PresencePublicKey, IdentityKey] | None:
            contact, own = counterpart(tx, peer.account), tx.own()
            remote = remote_device(contact, peer.device) if contact is not None else None
            if contact is None or remote is None:
                return None
            is_own = contact.account == own.address.account
            presence_key = own_presence_key(own) if is_own else contact.presence_key
            return None if presence_key is None else (presence_key, remote.identity_key)

        known = await self._db.run(read)
        if known is None or not self._client.bootstrap:
            return ()
        found = await self._client.look_up(known[0], ((peer, known[1]),))
        return tuple(f"{address}/p2p/{one.peer_id}" for one in found if one.device == peer for address in one.addresses)


def _own_and_wanted(tx: Tx) -> tuple[OwnAccount, bool]:
    wanted = any(contact.state is ChatState.ACCEPTED and contact.allows_direct for contact in tx.contacts())
    return tx.own(), wanted or bool(recipients(tx, ourselves(tx)))
