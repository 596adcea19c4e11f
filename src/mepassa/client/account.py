"""A new account in a new database, or one that was lost."""

from mepassa.identity import RootKey
from mepassa.model.device_list import SignedDeviceList
from mepassa.ports.clock import Clock
from mepassa.ports.db import Db
from mepassa.ports.mailbox import HomeAddress
from mepassa.ports.rng import Rng
from mepassa.ports.stores import OwnAccount, Tx
from mepassa.protocol import account


async def create_account(
    db: Db[Tx], *, root: RootKey, home: HomeAddress, name: str, clock: Clock, rng: Rng
) -> OwnAccount:
    """Raises `ConflictError` when the database has one already, `InvalidInputError` for an improper name."""
    return await db.run(
        lambda tx: account.create_account(tx, root=root, home=home, name=name, now_ms=clock.now_ms(), rng=rng)
    )


async def recover_account(
    db: Db[Tx], *, root: RootKey, home: HomeAddress, name: str, known: SignedDeviceList, clock: Clock, rng: Rng
) -> OwnAccount:
    """`known`: the list that the home has. Raises also `SignatureError` when that is another account's."""
    return await db.run(
        lambda tx: account.recover_account(
            tx, root=root, home=home, name=name, known=known, now_ms=clock.now_ms(), rng=rng
        )
    )
