"""Files that hold secrets: readable by their owner only, written whole or not at all."""

import os
import sys
from pathlib import Path


def write_private(path: Path, data: bytes) -> None:
    """Replace `path` by a 0600 file with these bytes; on disk, name included, when this returns.

    The draft is made with its mode, never chmod-ed afterwards, and never written into where it stands already. On
    Windows the mode says nothing: the folder's own rights guard the file.
    """
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    if sys.platform != "win32":  # a folder cannot be opened there, and NTFS keeps names in a journal of its own
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
