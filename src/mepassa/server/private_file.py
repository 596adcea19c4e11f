"""Files that hold secrets: readable by their owner only, written whole or not at all."""

import os
from pathlib import Path


def write_private(path: Path, data: bytes) -> None:
    """Replace `path` by a 0600 file with these bytes, on disk when this returns."""
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
