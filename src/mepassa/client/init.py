"""`mepassa init`: an account in a fresh folder, registered at its home; with `--recover` the one of 24 words."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from mepassa.client.account import create_account, recover_account
from mepassa.client.folder import NodeFolder
from mepassa.client.home import CLOCK_TOLERANCE_S
from mepassa.client.root_key import keep_root_key
from mepassa.client.settings import INSECURE_HOME, PRIVATE_HOME
from mepassa.identity import (
    Language,
    RootKey,
    decode_device_list,
    decode_recovery_phrase,
    encode_recovery_phrase,
)
from mepassa.model.addresses import is_private, parse_ip
from mepassa.model.device_list import SignedDeviceList
from mepassa.model.errors import ClockWrongError, ConflictError, InvalidInputError
from mepassa.model.home_url import parse_home_url
from mepassa.model.ids import AccountId
from mepassa.model.secret import SecretBytes
from mepassa.ports.clock import Clock, SystemClock
from mepassa.ports.folder_lock import FILE_NAME as LOCK_NAME
from mepassa.ports.folder_lock import FolderLock
from mepassa.ports.mailbox import HomeAddress
from mepassa.ports.rng import Rng, SystemRng
from mepassa.storage import KeyFile, Keyring, SqlDb, database_key_file, make_key, open_database, root_key_file
from mepassa.transports.mailbox import Recovery, Registration, WebSocketDialer, fetch_well_known, register
from mepassa.transports.mailbox import recover as recover_at_home

T = TypeVar("T")

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


@dataclass(frozen=True, slots=True)
class Recovered:
    account_id: AccountId
    removed_devices: int
    """Those that the account had before; none of them is let in any more."""


@dataclass(frozen=True, slots=True)
class _Draft:
    """An account that is being made: the database under its draft name, and a way to the home."""

    folder: Path
    db: SqlDb
    home: HomeAddress
    dialer: WebSocketDialer
    clock: Clock
    rng: Rng


async def create(config: InitConfig) -> Created:
    """Make an account and register it. Raises a `LocalError` or `TransientError`; then the folder is as it was."""

    async def begin(draft: _Draft) -> Created:
        root = RootKey(SecretBytes(draft.rng.token(32)))
        own = await create_account(
            draft.db, root=root, home=draft.home, name=config.name.strip(), clock=draft.clock, rng=draft.rng
        )
        registration = Registration(own.root_key, own.device_list, config.invite)
        await register(draft.dialer, draft.home, registration, clock=draft.clock, rng=draft.rng)
        _keep(config, draft, root)
        language = Language.PORTUGUESE if config.portuguese else Language.ENGLISH
        return Created(own.address.account, encode_recovery_phrase(root, language))

    return await _in_fresh_folder(config, begin)


async def recover(config: InitConfig, words: SecretBytes) -> Recovered:
    """The account of these 24 words on this device alone. Raises as `create`, and `RecoveryPhraseError`, `RemoteError`."""
    try:
        root = decode_recovery_phrase(words.expose().decode())
    except UnicodeDecodeError as error:
        raise InvalidInputError("The recovery phrase is not text.", field="recovery_phrase") from error

    async def begin(draft: _Draft) -> Recovered:
        before: list[SignedDeviceList] = []

        async def renew(known: SignedDeviceList) -> SignedDeviceList:
            own = await recover_account(
                draft.db, root=root, home=draft.home, name=config.name.strip(), known=known,
                clock=draft.clock, rng=draft.rng,
            )  # fmt: skip
            before.append(known)
            return own.device_list

        def prove(client_nonce: bytes, home_nonce: bytes) -> bytes:
            return root.sign_recovery(draft.home.key, client_nonce, home_nonce)

        recovery = Recovery(root.public, prove, renew)
        await recover_at_home(draft.dialer, draft.home, recovery, clock=draft.clock, rng=draft.rng)
        _keep(config, draft, root)
        return Recovered(root.account_id, len(decode_device_list(before[0].body).devices))

    return await _in_fresh_folder(config, begin)


async def _in_fresh_folder(config: InitConfig, begin: Callable[[_Draft], Awaitable[T]]) -> T:
    """A whole account, or the folder as it was."""
    clock, rng = SystemClock(), SystemRng()
    known = await fetch_well_known(config.home_url, expected_key=None, clock=clock, insecure_home=config.insecure_home)
    if abs(offset_s := known.clock_offset_s or 0.0) > CLOCK_TOLERANCE_S:
        raise ClockWrongError(offset_s)
    home = HomeAddress(str(parse_home_url(config.home_url)), known.document.home_key)
    folder, made_here = NodeFolder(config.data), not config.data.exists()
    folder.make()
    draft = folder.root / DRAFT_NAME
    with FolderLock(folder.root):
        if draft.exists() and not folder.database.exists():  # an earlier try was killed
            _remove(folder, draft)
        if folder.database.exists() or any(file.path.exists() for file in _key_files(folder)):
            raise ConflictError("This folder has an account already; choose another folder.")
        try:
            draft.touch(0o600)
            key = make_key(folder.root, rng, passphrase=config.passphrase, keyring=_keyring(config))
            made = await _draw_up(config, folder, home, begin, draft=draft, key=key, clock=clock, rng=rng)
            draft.replace(folder.database)
        except BaseException:
            _remove(folder, draft)
            (folder.root / LOCK_NAME).unlink(missing_ok=True)
            if made_here:
                with contextlib.suppress(OSError):  # somebody put something into it meanwhile
                    folder.root.rmdir()
            raise
    return made


def _remove(folder: NodeFolder, draft: Path) -> None:
    """What a try that came to nothing has left. The draft goes last: while it is there, the rest is known to be ours."""
    for file in _key_files(folder):
        with contextlib.suppress(Exception):  # a keyring's backend raises what it likes; why the try failed says more
            file.forget(_system_keyring)
    for leftover in (*folder.root.glob(f"{DRAFT_NAME}-*"), folder.token_file, draft):
        leftover.unlink(missing_ok=True)


def _key_files(folder: NodeFolder) -> tuple[KeyFile, KeyFile]:
    return database_key_file(folder.root), root_key_file(folder.root)


async def _draw_up(
    config: InitConfig,
    folder: NodeFolder,
    home: HomeAddress,
    begin: Callable[[_Draft], Awaitable[T]],
    *,
    draft: Path,
    key: SecretBytes,
    clock: Clock,
    rng: Rng,
) -> T:
    db = await open_database(draft, key, create=True)
    dialer = WebSocketDialer(insecure_home=config.insecure_home, private_homes=True)
    try:
        if config.insecure_home:
            await db.run(lambda tx: tx.put_setting(INSECURE_HOME, b"\x01"))
        if await is_at_private_address(home.url):
            await db.run(lambda tx: tx.put_setting(PRIVATE_HOME, b"\x01"))
        made = await begin(_Draft(folder.root, db, home, dialer, clock, rng))
        folder.api_token(rng)
        return made
    finally:
        await dialer.close()
        await db.close()


def _keep(config: InitConfig, draft: _Draft, root: RootKey) -> None:
    if not config.key_on_paper:
        keep_root_key(draft.folder, root.seed, draft.rng, passphrase=config.passphrase, keyring=_keyring(config))


def _keyring(config: InitConfig) -> Keyring | None:
    """The system's keyring, where nothing else was asked for."""
    return None if config.no_passphrase or config.passphrase is not None else _system_keyring()


def _system_keyring() -> Keyring | None:
    """None where there is no real one."""
    import keyring  # noqa: PLC0415 - a quarter of a second, and only `init` without a passphrase needs it
    from keyring.backends.fail import Keyring as NoKeyring  # noqa: PLC0415 - as above

    return None if isinstance(keyring.get_keyring(), NoKeyring) else keyring


async def is_at_private_address(url: str) -> bool:
    """Whether the home's name stands for private addresses only."""
    parts = parse_home_url(url)
    found = await asyncio.get_running_loop().getaddrinfo(parts.host, parts.port or 443, type=socket.SOCK_STREAM)
    addresses = [parse_ip(str(entry[4][0]).partition("%")[0]) for entry in found]
    return all(is_private(address) or address.is_loopback for address in addresses)
