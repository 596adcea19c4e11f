"""A new account in a new database."""

from dataclasses import dataclass

from mepassa.identity import RootKey
from mepassa.model.secret import SecretBytes
from mepassa.ports.clock import Clock
from mepassa.ports.db import Db
from mepassa.ports.mailbox import HomeAddress
from mepassa.ports.rng import Rng
from mepassa.ports.stores import OwnAccount, Tx
from mepassa.protocol import account


@dataclass(frozen=True, slots=True)
class NewAccount:
    """`root_seed` becomes the recovery phrase, which is shown once."""

    own: OwnAccount
    root_seed: SecretBytes


async def create_account(db: Db[Tx], *, home: HomeAddress, name: str, clock: Clock, rng: Rng) -> NewAccount:
    """Raises `ConflictError` when the database has one already, `InvalidInputError` for an improper name."""
    root = RootKey(SecretBytes(rng.token(32)))
    own = await db.run(
        lambda tx: account.create_account(tx, root=root, home=home, name=name, now_ms=clock.now_ms(), rng=rng)
    )
    return NewAccount(own, root.seed)
