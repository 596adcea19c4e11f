"""A node's folder: what lies in it, and that only one process uses it (docs/guides/node-folder.md)."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mepassa.model.errors import FolderInUseError, InvalidInputError
from mepassa.model.secret import SecretBytes
from mepassa.ports.rng import Rng

TOKEN_BYTES = 32


class NodeFolder:
    """Paths by name; files with secrets are made 0600 in one step, never chmod-ed afterwards."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.database = root / "node.db"
        self.token_file = root / "api-token"
        self.api_file = root / "api-address"
        self.lock_file = root / "lock"

    def make(self) -> None:
        """Create the folder, for its owner only. Raises `InvalidInputError` where that is not possible."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidInputError(f"The folder {self.root} cannot be made: {error.strerror}.") from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder. The kernel lets go when the process ends, however it ends. Raises `FolderInUseError`."""
        descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(descriptor)
            yield
        finally:
            os.close(descriptor)

    def api_token(self, rng: Rng) -> SecretBytes:
        """The token of the local API: made once, the same across starts."""
        try:
            return SecretBytes(bytes.fromhex(self.token_file.read_text().strip()))
        except FileNotFoundError:
            token = rng.token(TOKEN_BYTES)
            write_private(self.token_file, token.hex() + "\n")
            return SecretBytes(token)
        except ValueError as error:
            raise InvalidInputError(f"{self.token_file} is damaged; delete it and start again.") from error


def write_private(path: Path, text: str) -> None:
    """Replace `path` by a 0600 file with this text: complete or not at all."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise FolderInUseError from error
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise FolderInUseError from error
