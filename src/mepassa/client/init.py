"""`mepassa init`: an account in a fresh folder, registered at its home."""

import asyncio
import contextlib
import socket
from dataclasses import dataclass
from pathlib import Path

from mepassa.client.account import create_account
from mepassa.client.folder import NodeFolder
from mepassa.client.home import CLOCK_TOLERANCE_S
from mepassa.client.root_key import keep_root_key
from mepassa.client.settings import INSECURE_HOME, PRIVATE_HOME
from mepassa.identity import Language, RootKey, encode_recovery_phrase
from mepassa.model.addresses import is_private, parse_ip
from mepassa.model.errors import ClockWrongError, ConflictError
from mepassa.model.home_url import parse_home_url
from mepassa.model.ids import AccountId
from mepassa.model.secret import SecretBytes
from mepassa.ports.clock import Clock, SystemClock
from mepassa.ports.folder_lock import FILE_NAME as LOCK_NAME
from mepassa.ports.folder_lock import FolderLock
from mepassa.ports.mailbox import HomeAddress
from mepassa.ports.rng import Rng, SystemRng
from mepassa.storage import open_database
from mepassa.storage.key import FILE_NAME, ROOT_FILE_NAME, Keyring, make_key
from mepassa.transports.mailbox import Registration, WebSocketDialer, fetch_well_known, register

DRAFT_NAME = "node.db.new"
"""The database until the home knows the account: a folder with a `node.db` has a whole account."""


@dataclass(frozen=True, slots=True)
class InitConfig:
    """What `mepassa init` was told. `passphrase` None and not `no_passphrase`: the keyring, where there is one."""

    data: Path
    home_url: str
    name: str
    invite: str | None = None
    passphrase: SecretBytes | None = None
    no_passphrase: bool = False
    key_on_paper: bool = False
    """Keep the root key nowhere on this device: whoever takes it has not got the account."""
    insecure_home: bool = False
    portuguese: bool = False


@dataclass(frozen=True, slots=True)
class Created:
    account_id: AccountId
    recovery_phrase: str
    """24 words: shown once, kept nowhere."""


async def create(config: InitConfig) -> Created:
    """Make the account and register it. Raises a `LocalError` or `TransientError`; then the folder is as it was."""
    clock, rng = SystemClock(), SystemRng()
    known = await fetch_well_known(config.home_url, expected_key=None, clock=clock, insecure_home=config.insecure_home)
    if abs(offset_s := known.clock_offset_s or 0.0) > CLOCK_TOLERANCE_S:
        raise ClockWrongError(offset_s)
    home = HomeAddress(str(parse_home_url(config.home_url)), known.document.home_key)
    folder, made_here = NodeFolder(config.data), not config.data.exists()
    folder.make()
    draft = folder.root / DRAFT_NAME
    with FolderLock(folder.root):
        if folder.database.exists():
            raise ConflictError("This folder has an account already; choose another folder.")
        if draft.exists():  # an earlier try was killed
            _remove(folder, draft)
        try:
            draft.touch(0o600)
            key = make_key(folder.root, rng, passphrase=config.passphrase, keyring=_keyring(config))
            created = await _create(config, folder, draft, key, home, clock=clock, rng=rng)
            draft.replace(folder.database)
        except BaseException:
            _remove(folder, draft)
            (folder.root / LOCK_NAME).unlink(missing_ok=True)
            if made_here:
                with contextlib.suppress(OSError):  # somebody put something into it meanwhile
                    folder.root.rmdir()
            raise
    return created


def _remove(folder: NodeFolder, draft: Path) -> None:
    """What a try that came to nothing has left. The draft goes last: while it is there, the rest is known to be ours."""
    keys = (folder.root / name for name in (FILE_NAME, ROOT_FILE_NAME))
    for leftover in (*folder.root.glob(f"{DRAFT_NAME}-*"), *keys, folder.token_file, draft):
        leftover.unlink(missing_ok=True)


async def _create(
    config: InitConfig, folder: NodeFolder, draft: Path, key: SecretBytes, home: HomeAddress, *, clock: Clock, rng: Rng
) -> Created:
    db = await open_database(draft, key, create=True)
    dialer = WebSocketDialer(insecure_home=config.insecure_home, private_homes=True)
    try:
        root = RootKey(SecretBytes(rng.token(32)))
        own = await create_account(db, root=root, home=home, name=config.name.strip(), clock=clock, rng=rng)
        if config.insecure_home:
            await db.run(lambda tx: tx.put_setting(INSECURE_HOME, b"\x01"))
        if await is_at_private_address(home.url):
            await db.run(lambda tx: tx.put_setting(PRIVATE_HOME, b"\x01"))
        registration = Registration(own.root_key, own.device_list, config.invite)
        await register(dialer, home, registration, clock=clock, rng=rng)
        if not config.key_on_paper:
            keep_root_key(folder.root, root.seed, rng, passphrase=config.passphrase, keyring=_keyring(config))
        folder.api_token(rng)
        language = Language.PORTUGUESE if config.portuguese else Language.ENGLISH
        return Created(own.address.account, encode_recovery_phrase(root, language))
    finally:
        await dialer.close()
        await db.close()


def _keyring(config: InitConfig) -> Keyring | None:
    """The system's keyring, where there is a real one and nothing else was asked for."""
    if config.no_passphrase or config.passphrase is not None:
        return None
    import keyring  # noqa: PLC0415 - a quarter of a second, and only `init` without a passphrase needs it
    from keyring.backends.fail import Keyring as NoKeyring  # noqa: PLC0415

    return None if isinstance(keyring.get_keyring(), NoKeyring) else keyring


async def is_at_private_address(url: str) -> bool:
    """Whether the home's name stands for private addresses only."""
    parts = parse_home_url(url)
    found = await asyncio.get_running_loop().getaddrinfo(parts.host, parts.port or 443, type=socket.SOCK_STREAM)
    addresses = [parse_ip(str(entry[4][0]).partition("%")[0]) for entry in found]
    return all(is_private(address) or address.is_loopback for address in addresses)
