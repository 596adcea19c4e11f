"""The home's folder: one process at a time, keys that only its owner can read."""

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from mepassa.identity import HomeKeyPair
from mepassa.model.errors import InvalidInputError
from mepassa.model.secret import SecretBytes
from mepassa.ports.folder_lock import FolderLock
from mepassa.ports.private_file import write_private
from mepassa.ports.rng import Rng

DATABASE = "home.db"
HOME_KEY = "home-key"
RELAY_SECRET = "relay-secret"  # noqa: S105 - a file's name


class Folder:
    """One process at a time uses it, from `with` to its end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: FolderLock | None = None

    def __enter__(self) -> Self:
        """Raises `FolderInUseError`, or `InvalidInputError` where the folder cannot be made or written."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = FolderLock(self.path)
        except OSError as error:
            raise InvalidInputError("The data folder cannot be written; choose another.", field="data") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    @property
    def database(self) -> Path:
        return self.path / DATABASE

    def home_key(self, rng: Rng) -> HomeKeyPair:
        """The home's signing key, made at the first start. Losing the file means a new home to everyone."""
        return HomeKeyPair(self._secret(HOME_KEY, lambda: rng.token(32)))

    def relay_secret(self, rng: Rng) -> SecretBytes:
        """Shared with the relay, as printable text: coturn takes the same as `--static-auth-secret`."""
        return SecretBytes(self._secret(RELAY_SECRET, lambda: rng.token(32)).expose().hex().encode())

    def _secret(self, name: str, make: Callable[[], bytes]) -> SecretBytes:
        path = self.path / name
        if not path.exists():
            write_private(path, f"{make().hex()}\n".encode())
        try:
            return SecretBytes(bytes.fromhex(path.read_text().strip()))
        except ValueError as error:
            raise InvalidInputError(
                f"The file {name} in the data folder is damaged; restore it.", field="data"
            ) from error
