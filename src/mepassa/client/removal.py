"""Finds out that this device was removed from its account, and lets it fall silent."""

import asyncio
import logging
from collections.abc import Callable

from mepassa.client.courier import Homes
from mepassa.client.home import HomeState
from mepassa.model.errors import DiskFullError, MepassaError
from mepassa.model.ids import AccountId
from mepassa.ports.db import Db
from mepassa.ports.stores import Tx
from mepassa.protocol.removal import is_removed, learn_own_list
from mepassa.transports.mailbox import LoginRefusedError

log = logging.getLogger("mepassa.removal")

LOOK_EVERY_S = 5.0
"""How often the state of the log-in is looked at; costs nothing while it is fine."""
ASK_EVERY_S = 300.0
"""Between two questions to a home that refuses the log-in: it may have lost us, and would be asked for ever."""


class RemovalWatch:
    """`run` until cancelled. `on_removed`: this device is none of its account's; close what is open."""

    def __init__(
        self, db: Db[Tx], homes: Homes, home: HomeState, account: AccountId, *, on_removed: Callable[[], None]
    ) -> None:
        self._db, self._homes, self._home, self._account = db, homes, home, account
        self._on_removed = on_removed

    async def run(self) -> None:
        removed = await self._db.run(is_removed)
        while not removed:
            await asyncio.sleep(LOOK_EVERY_S)
            if isinstance(self._home.error, LoginRefusedError):
                removed = await self._ask()
                if not removed:
                    await asyncio.sleep(ASK_EVERY_S)
        self._home.is_removed = True
        self._on_removed()
        await asyncio.Event().wait()

    async def _ask(self) -> bool:
        """By work, as anybody: we are not let in."""
        try:
            home = self._homes.recipient(self._home.address)
            fetched = await home.fetch_account(self._account, None, prekeys=False)
            return await self._db.run(lambda tx: learn_own_list(tx, fetched.device_list))
        except DiskFullError:
            log.warning("removal.disk_full")
        except MepassaError as error:
            log.info("removal.not_known", extra={"error": error.code})
        return False
