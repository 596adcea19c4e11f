"""Files that hold secrets: readable by their owner only, written whole or not at all."""

import os
import stat
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


def is_open_to_others(folder: Path) -> bool:
    """Whether other users of this computer may do anything at all with what lies in the folder.

    Secret files are 0600 themselves; but whoever may look in reads names, sizes and times, and the database's cipher text,
    and whoever may write puts other files in their place. On Windows this cannot be told from the mode: False.
    """
    if sys.platform == "win32":
        return False
    return bool(folder.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))
