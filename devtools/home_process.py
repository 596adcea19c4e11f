"""A home as a process of its own with any field of `ServerConfig`, also those that no command line offers: for tests that
kill it, count its syncs or look into its memory. Blocking. As people start it, by `mepassa serve`: `devtools.programs`.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mepassa.model.keys import HomeKey
from mepassa.ports.mailbox import HomeAddress
from mepassa.testing import LineProcess, LineProcessError

RUNNER = Path(__file__).with_name("serve_process.py")
START_DEADLINE_S = 60.0
STOP_DEADLINE_S = 20.0
"""Seconds, far above what it takes: no timing decides a test."""


@dataclass
class HomeProcess:
    process: LineProcess
    ready: dict[str, Any]
    """The line of `mepassa serve --json`."""
    pid: int
    """Of the home itself, also where a tracer runs it."""

    @property
    def url(self) -> str:
        return str(self.ready["url"])

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def address(self) -> HomeAddress:
        return HomeAddress(self.url, HomeKey.from_hex(self.ready["home_key"]))

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self.process.wait(STOP_DEADLINE_S)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        if self.process.returncode is None:
            os.kill(self.pid, signal.SIGTERM)
        return self.process.wait(STOP_DEADLINE_S)


def command(config: dict[str, object]) -> list[str]:
    return [sys.executable, "-W", "error", str(RUNNER), json.dumps(config)]


@contextmanager
def home_process(
    data: Path, *, prefix: Sequence[str] = (), stderr: Path | None = None, **config: object
) -> Iterator[HomeProcess]:
    """Started and stopped; `prefix` is a tracer's command line. Mailbox alone unless `roles` says otherwise."""
    arguments = command({"data": str(data), "roles": ["mailbox"], **config})
    with LineProcess([*prefix, *arguments], stderr=stderr) as process:
        ready = process.read_json(START_DEADLINE_S)
        home = HomeProcess(process, ready, int(ready["pid"]))
        try:
            yield home
        finally:
            try:
                home.stop()
            except LineProcessError:
                home.kill()
                raise


def start_fails(data: Path, **config: object) -> tuple[int, str]:
    """Exit code and what it said on stderr, for a home that cannot start."""
    arguments = command({"data": str(data), "roles": ["mailbox"], **config})
    done = subprocess.run(arguments, capture_output=True, timeout=STOP_DEADLINE_S, check=False)
    return done.returncode, done.stderr.decode().strip()
