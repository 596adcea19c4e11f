"""A real process that speaks in lines: JSON comes out, lines go in, and it is ended by its own id."""

import contextlib
import json
import os
import selectors
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self

STOP_WITHIN_S = 5.0
"""Seconds between SIGTERM and SIGKILL."""


class LineProcessError(Exception):
    """The process ended or kept silent; holds the last of what it wrote to stderr."""


class LineProcess:
    """`stdin` and `stdout` are pipes of lines, stderr goes to a file whose end is shown when something fails.

    Blocking on purpose: a test drives whole processes, and waits for them. `stderr`: a file that stays, for who wants
    to read all of it.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        stderr: Path | None = None,
    ) -> None:
        # Closed in `stop`. Appended to, whoever writes: so we may read anywhere through the descriptor that both share.
        self._stderr: IO[bytes] = tempfile.TemporaryFile("a+b") if stderr is None else stderr.open("a+b")  # noqa: SIM115 - closed in `stop`
        self.command = list(command)
        self._child = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=None if env is None else dict(env),
            cwd=cwd,
        )
        self._buffer = b""

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs."""
        return self._child.poll()

    def read_line(self, timeout_s: float = 10.0) -> str:
        """The next line of stdout. Raises `LineProcessError` when none comes in time or the process has ended."""
        stdout = self._child.stdout
        if stdout is None:
            raise LineProcessError("stopped")
        until = time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if not selector.select(max(0.0, until - time.monotonic())):
                    raise LineProcessError(f"no line within {timeout_s:g} s from {self.command}\n{self.stderr_tail()}")
                chunk = os.read(stdout.fileno(), 65_536)
                if not chunk:
                    raise LineProcessError(f"ended: {self.command}\n{self.stderr_tail()}")
                self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode()

    def read_json(self, timeout_s: float = 10.0) -> dict[str, Any]:
        """The next line of stdout that is a JSON object; other lines are passed over. Errors as `read_line`."""
        until = time.monotonic() + timeout_s
        while True:
            line = self.read_line(max(0.0, until - time.monotonic()))
            with contextlib.suppress(json.JSONDecodeError):
                value = json.loads(line)
                if isinstance(value, dict):
                    return value

    def write_line(self, line: str) -> None:
        """Raises `LineProcessError` when the process has ended."""
        stdin = self._child.stdin
        if stdin is None:
            raise LineProcessError("stopped")
        try:
            stdin.write(line.encode() + b"\n")
            stdin.flush()
        except BrokenPipeError as error:
            raise LineProcessError(f"ended: {self.command}\n{self.stderr_tail()}") from error

    def write_json(self, value: Mapping[str, Any]) -> None:
        self.write_line(json.dumps(value))

    def send_signal(self, number: int) -> None:
        self._child.send_signal(number)

    def wait(self, timeout_s: float = 10.0) -> int:
        """The exit code. Raises `LineProcessError` when it still runs after that."""
        try:
            return self._child.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise LineProcessError(f"still running: {self.command}\n{self.stderr_tail()}") from error

    def stderr_tail(self, limit_bytes: int = 4_000) -> str:
        if self._stderr.closed:
            return ""
        self._stderr.seek(max(0, self._stderr.seek(0, os.SEEK_END) - limit_bytes))
        return self._stderr.read(limit_bytes).decode(errors="replace")

    def stop(self) -> int:
        """SIGTERM, then SIGKILL after five seconds. Idempotent; the exit code."""
        if self._child.poll() is None:
            self._child.terminate()
            try:
                self._child.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._child.kill()
        code = self._child.wait()
        for stream in (self._child.stdin, self._child.stdout, self._stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
