"""One process a folder: a lock that the kernel releases when the process ends, however it ends."""

import os
import sys
from pathlib import Path
from types import TracebackType

from mepassa.model.errors import FolderInUseError

FILE_NAME = "lock"

if sys.platform == "win32":
    import msvcrt

    def _take(descriptor: int) -> None:
        """Raises `OSError` when another process holds it."""
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _take(descriptor: int) -> None:
        """Raises `OSError` when another process holds it."""
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class FolderLock:
    """Held from construction until `release` (or the end of the process).

    Raises `FolderInUseError`, and `OSError` where the folder is not there or cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._fd: int | None = os.open(folder / FILE_NAME, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _take(self._fd)
        except OSError as error:
            self.release()
            raise FolderInUseError from error

    def release(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> "FolderLock":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
