"""A node's folder: what lies in it (docs/guides/node-folder.md). One process uses it: `ports.folder_lock`."""

from pathlib import Path

from mepassa.model.errors import InvalidInputError
from mepassa.model.secret import SecretBytes
from mepassa.ports.private_file import write_private
from mepassa.ports.rng import Rng

TOKEN_BYTES = 32


class NodeFolder:
    """Paths by name; files with secrets are written by `ports.private_file`."""

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
            write_private(self.token_file, f"{token.hex()}\n".encode())
            return SecretBytes(token)
        except ValueError as error:
            raise InvalidInputError(f"{self.token_file} is damaged; delete it and start again.") from error
