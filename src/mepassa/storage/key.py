"""A node's two keys at rest, each in a file of its own: what opens the database, and the account's root key.

Sealed by a passphrase, else in the system's keyring, else plain in a 0600 file. The file says which: `keyring\\n` + the
entry's name 16 · `passphrase\\n` + salt 16 + nonce 12 + sealed key 48 · `plain\\n` + key 32. Argon2id with 64 MiB, t = 3,
p = 4 (0.1 s); AES-256-GCM-SIV with the first line and the key's purpose as associated data.
"""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from mepassa.model.errors import ConflictError, NotInitialisedError, WrongPassphraseError
from mepassa.model.secret import SecretBytes
from mepassa.ports.private_file import write_private
from mepassa.ports.rng import Rng
from mepassa.storage.errors import StorageError

KEY_BYTES = 32
FILE_NAME = "database-key"
ROOT_FILE_NAME = "root-key"
SERVICE = "mepassa"
_SALT, _NONCE, _SEALED, _ENTRY = 16, 12, KEY_BYTES + 16, 16


class KeyPlace(StrEnum):
    KEYRING = "keyring"
    PASSPHRASE = "passphrase"  # noqa: S105 - a word for a place
    PLAIN_FILE = "plain"


class Keyring(Protocol):
    """The functions of the `keyring` package that are used here; hand in the module itself."""

    def get_password(self, service_name: str, username: str) -> str | None: ...

    def set_password(self, service_name: str, username: str, password: str) -> None: ...

    def delete_password(self, service_name: str, username: str) -> None: ...


class PassphraseMissingError(WrongPassphraseError):
    sentence = "This database is locked with a passphrase; give it with --passphrase-file."


class KeyringLockedError(WrongPassphraseError):
    sentence = "The system's keyring does not give out the database key; unlock it and try again."


class KeyFile:
    """One 32-byte secret of a folder. `purpose` keeps a file from standing in for another of the same passphrase."""

    def __init__(self, path: Path, purpose: bytes = b"") -> None:
        self.path, self._purpose = path, purpose

    def place(self) -> KeyPlace:
        """Raises `NotInitialisedError` when there is no such file, or `StorageError`."""
        return self._read()[0]

    def keep(
        self, key: SecretBytes, rng: Rng, *, passphrase: SecretBytes | None = None, keyring: Keyring | None = None
    ) -> None:
        """In the safest place that was offered: passphrase, then keyring, then plain file. Replaces what was there."""
        if passphrase is not None:
            salt, nonce = rng.token(_SALT), rng.token(_NONCE)
            line = _line(KeyPlace.PASSPHRASE)
            sealed = AESGCMSIV(_stretch(passphrase, salt)).encrypt(nonce, key.expose(), line + self._purpose)
            write_private(self.path, line + salt + nonce + sealed)
        elif keyring is not None:
            entry = rng.token(_ENTRY)  # not the folder's path: a folder may be moved
            write_private(self.path, _line(KeyPlace.KEYRING) + entry)  # first: no entry that nothing names any more
            keyring.set_password(SERVICE, entry.hex(), key.expose().hex())
        else:
            write_private(self.path, _line(KeyPlace.PLAIN_FILE) + key.expose())

    def load(self, *, passphrase: SecretBytes | None = None, keyring: Keyring | None = None) -> SecretBytes:
        """Raises `WrongPassphraseError` (its subclasses say what is missing), `NotInitialisedError`, `StorageError`."""
        place, rest = self._read()
        match place:
            case KeyPlace.PASSPHRASE:
                if passphrase is None:
                    raise PassphraseMissingError
                salt, nonce, sealed = rest[:_SALT], rest[_SALT : _SALT + _NONCE], rest[_SALT + _NONCE :]
                cipher = AESGCMSIV(_stretch(passphrase, salt))
                try:
                    return SecretBytes(cipher.decrypt(nonce, sealed, _line(place) + self._purpose))
                except InvalidTag as error:
                    raise WrongPassphraseError from error
            case KeyPlace.KEYRING:
                found = keyring.get_password(SERVICE, rest.hex()) if keyring is not None else None
                try:
                    key = bytes.fromhex(found or "")
                except ValueError:
                    key = b""
                if len(key) != KEY_BYTES:
                    raise KeyringLockedError
                return SecretBytes(key)
            case KeyPlace.PLAIN_FILE:
                return SecretBytes(rest)

    def forget(self, keyring: Callable[[], Keyring | None]) -> None:
        """The file is gone, and the entry that it names. Raises what the keyring raises; the file is gone even then."""
        try:
            place, rest = self._read()
            found = keyring() if place is KeyPlace.KEYRING else None
            if found is not None:
                found.delete_password(SERVICE, rest.hex())
        except (NotInitialisedError, StorageError):
            pass
        finally:
            self.path.unlink(missing_ok=True)

    def _read(self) -> tuple[KeyPlace, bytes]:
        try:
            data = self.path.read_bytes()
        except FileNotFoundError as error:
            raise NotInitialisedError from error
        for place, size in (
            (KeyPlace.KEYRING, _ENTRY),
            (KeyPlace.PASSPHRASE, _SALT + _NONCE + _SEALED),
            (KeyPlace.PLAIN_FILE, KEY_BYTES),
        ):
            line = _line(place)
            if data.startswith(line) and len(data) == len(line) + size:
                return place, data[len(line) :]
        raise StorageError(f"The file {self.path.name} is damaged; restore it from a backup.")


def database_key_file(folder: Path) -> KeyFile:
    return KeyFile(folder / FILE_NAME)


def make_key(
    folder: Path, rng: Rng, *, passphrase: SecretBytes | None = None, keyring: Keyring | None = None
) -> SecretBytes:
    """A new database key, kept as `KeyFile.keep` says. Raises `ConflictError` when the folder has one already."""
    file = database_key_file(folder)
    if file.path.exists():
        raise ConflictError("This folder has an account already; choose another folder.")
    key = SecretBytes(rng.token(KEY_BYTES))
    file.keep(key, rng, passphrase=passphrase, keyring=keyring)
    return key


def key_place(folder: Path) -> KeyPlace:
    """Where this folder's database key is. Raises `NotInitialisedError` or `StorageError`."""
    return database_key_file(folder).place()


def load_key(folder: Path, *, passphrase: SecretBytes | None = None, keyring: Keyring | None = None) -> SecretBytes:
    """The database key. Raises as `KeyFile.load`."""
    return database_key_file(folder).load(passphrase=passphrase, keyring=keyring)


def root_key_file(folder: Path) -> KeyFile:
    """Where the primary device keeps the seed of its account's root key (docs/protocol/identity.md, "Root key at rest").

    Not there on a linked device, nor where the person keeps it on paper only. Nothing that runs every day opens it.
    """
    return KeyFile(folder / ROOT_FILE_NAME, b"root key")


def _stretch(passphrase: SecretBytes, salt: bytes) -> bytes:
    return Argon2id(salt=salt, length=32, iterations=3, lanes=4, memory_cost=64 * 1024).derive(passphrase.expose())


def _line(place: KeyPlace) -> bytes:
    return place.value.encode() + b"\n"
