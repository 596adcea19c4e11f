"""Saying in the DHT where this device is, and finding contacts there when their home is away (docs/protocol/presence.md).

The rest of the node works without it: no DHT node, no answer, and nothing else changes.
"""

import asyncio
import logging
from typing import Protocol

from mepassa.identity import PresenceKeyPair
from mepassa.model.errors import MepassaError
from mepassa.model.ids import Address
from mepassa.model.keys import IdentityKey, PresencePublicKey
from mepassa.ports.db import Db
from mepassa.ports.stores import Tx
from mepassa.protocol.devices import listed_devices

log = logging.getLogger("mepassa.presence")

PUBLISH_EVERY_S = 3_000.0
"""A record lives two hours; after fifty minutes it is said anew, so that one lost round does not matter."""
RETRY_S = 30.0
"""After a round that no DHT node took."""


class PresenceClient(Protocol):
    """`transports.libp2p.PresenceClient`, as far as a node needs it."""

    async def publish(self, presence: PresenceKeyPair) -> int:
        """How many DHT nodes took our record."""
        ...

    async def look_up(
        self, key: PresencePublicKey, devices: tuple[tuple[Address, IdentityKey], ...]
    ) -> tuple[tuple[Address, tuple[str, ...]], ...]:
        """For each device that says something: its multiaddrs with /p2p/ID."""
        ...


class NoPresence:
    """No DHT is known: nothing is published, nothing is found."""

    async def publish(self, _presence: PresenceKeyPair) -> int:
        return 0

    async def look_up(
        self, _key: PresencePublicKey, _devices: tuple[tuple[Address, IdentityKey], ...]
    ) -> tuple[tuple[Address, tuple[str, ...]], ...]:
        return ()


class PresenceService:
    """`run` publishes until cancelled; `wake` after addresses, keys or switches changed."""

    def __init__(self, db: Db[Tx], client: PresenceClient) -> None:
        self._db, self._client = db, client
        self._woken = asyncio.Event()
        self.allowed = True
        """False while direct paths are switched off: then nothing new is said."""

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        while True:
            self._woken.clear()
            taken = await self._publish() if self.allowed else 1
            try:
                async with asyncio.timeout(PUBLISH_EVERY_S if taken else RETRY_S):
                    await self._woken.wait()
            except TimeoutError:
                pass

    async def _publish(self) -> int:
        own = await self._db.run(lambda tx: tx.own())
        try:
            taken = await self._client.publish(PresenceKeyPair(own.presence_seed))
        except MepassaError as error:
            log.info("presence.not_published", extra={"error": error.code})
            return 0
        log.info("presence.published", extra={"nodes": taken})
        return taken

    async def look_up(self, peer: Address) -> tuple[str, ...]:
        """Where that device says that it is; empty when we were never given the account's presence key."""

        def read(tx: Tx) -> tuple[PresencePublicKey, IdentityKey] | None:
            contact = tx.contact(peer.account)
            devices = listed_devices(contact) if contact is not None else None
            entry = devices.entry(peer.device) if devices is not None else None
            if contact is None or contact.presence_key is None or entry is None:
                return None
            return contact.presence_key, entry.identity_key

        known = await self._db.run(read)
        if known is None:
            return ()
        found = await self._client.look_up(known[0], ((peer, known[1]),))
        return tuple(line for address, lines in found if address == peer for line in lines)
