"""A node's folder: what lies in it (docs/guides/node-folder.md). One process uses it: `storage.lock`."""

import os
from pathlib import Path

from mepassa.model.errors import InvalidInputError
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

    def make(self) -> None:
        """Create the folder, for its owner only. Raises `InvalidInputError` where that is not possible."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidInputError(f"The folder {self.root} cannot be made: {error.strerror}.") from error

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
