"""The account's root key on its primary device: apart from the database, and not in the memory of a node that runs."""

from pathlib import Path

from mepassa.model.secret import SecretBytes
from mepassa.ports.rng import Rng
from mepassa.storage import KeyPlace, Keyring, SqlDb, key_place, root_key_file


def keep_root_key(
    folder: Path, seed: SecretBytes, rng: Rng, *, passphrase: SecretBytes | None, keyring: Keyring | None
) -> None:
    """Beside the database, sealed as the database's own key is, but for itself."""
    root_key_file(folder).keep(seed, rng, passphrase=passphrase, keyring=keyring)


async def move_root_key_out(
    db: SqlDb, folder: Path, rng: Rng, *, passphrase: SecretBytes | None, keyring: Keyring
) -> None:
    """Databases of the first version hold the root key: from now on it lies in its own file, and nothing of it in them.

    Again after a crash in the middle: the file is on disk before the database lets go of it.
    """
    seed = await db.run(lambda tx: tx.kept_root_seed())
    if seed is None:
        return
    place = key_place(folder)
    keep_root_key(
        folder,
        seed,
        rng,
        passphrase=passphrase if place is KeyPlace.PASSPHRASE else None,
        keyring=keyring if place is KeyPlace.KEYRING else None,
    )
    await db.run(lambda tx: tx.drop_root_seed())
    await db.overwrite_old_pages()
