"""A real home as a process of its own, for tests that kill it, count its syncs or look into its memory."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mepassa.model.keys import HomeKey
from mepassa.ports.mailbox import HomeAddress

RUNNER = Path(__file__).with_name("serve_process.py")
STOP_DEADLINE_S = 20


@dataclass
class HomeProcess:
    process: subprocess.Popen[bytes]
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
        if self.process.poll() is None:
            os.kill(self.pid, signal.SIGTERM)
        return self.process.wait(STOP_DEADLINE_S)


def command(config: dict[str, object]) -> list[str]:
    return [sys.executable, "-W", "error", str(RUNNER), json.dumps(config)]


@contextmanager
def home_process(
    data: Path, *, prefix: Sequence[str] = (), stderr: IO[bytes] | None = None, **config: object
) -> Iterator[HomeProcess]:
    """Started and stopped; `prefix` is a tracer's command line. Mailbox alone unless `roles` says otherwise."""
    arguments = command({"data": str(data), "roles": ["mailbox"], **config})
    process = subprocess.Popen([*prefix, *arguments], stdout=subprocess.PIPE, stderr=stderr)
    assert process.stdout is not None
    with process.stdout:
        line = process.stdout.readline()
        assert line, "the home did not start"
        ready = json.loads(line)
        home = HomeProcess(process, ready, int(ready["pid"]))
        try:
            yield home
        finally:
            try:
                home.stop()
            except subprocess.TimeoutExpired:
                home.kill()
                raise


def start_fails(data: Path, **config: object) -> tuple[int, str]:
    """Exit code and what it said on stderr, for a home that cannot start."""
    arguments = command({"data": str(data), "roles": ["mailbox"], **config})
    done = subprocess.run(arguments, capture_output=True, timeout=STOP_DEADLINE_S, check=False)
    return done.returncode, done.stderr.decode().strip()
