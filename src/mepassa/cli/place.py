"""Where a node's folder is when `--data` is not given: the system's own place for a program's data."""

import os
import sys
from pathlib import Path
from typing import Annotated

from mepassa.cli.help import option
from mepassa.cli.speech import pick
from mepassa.model.errors import InvalidInputError


def default_folder() -> Path:
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local")) / "MePassa"
    elif sys.platform == "darwin":
        return home / "Library" / "Application Support" / "MePassa"
    else:
        return Path(os.environ.get("XDG_DATA_HOME", home / ".local" / "share")) / "mepassa"


DataFolder = Annotated[
    Path | None,
    option(
        "A pasta da conta (sem isto: o lugar próprio do sistema).",
        "The account's folder (without it: the system's own place).",
    ),
]


class UsageError(InvalidInputError):
    """The command line itself is wrong; exit code 2."""


def host_and_port(text: str) -> tuple[str, int]:
    """ "127.0.0.1:8080" as its two halves. Raises `UsageError`."""
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise UsageError(pick(f"{text} não é HOST:PORTA.", f"{text} is not HOST:PORT."))
    return host.strip("[]"), int(port)


def folder_of(data: Path | None) -> Path:
    return (data or default_folder()).expanduser().absolute()
