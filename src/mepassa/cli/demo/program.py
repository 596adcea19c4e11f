"""One program of the demo: a real process of this very installation, with its ready line and its log."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from mepassa.model.errors import LocalError, TransientError

READY_TIMEOUT_S = 90.0
"""A cold start imports libp2p: seconds, or half a minute on a slow machine with much else to do. Longer means a hang."""
STOP_TIMEOUT_S = 10.0
"""From SIGTERM to the end; after that it is killed, and the demo says so."""


class ProgramFailedError(LocalError):
    """The program ended, or said nothing, before it was ready. Its last words are in the sentence."""


class Program:
    """`mepassa COMMAND …` as a child process. `ready` is its ready line; `start` may be called again after `stop`."""

    def __init__(self, name: str, folder: Path, environment: dict[str, str] | None = None) -> None:
        """`environment`: what the program's environment has besides ours."""
        self.name = name
        self.environment = environment or {}
        self.ready_timeout_s = READY_TIMEOUT_S
        self.ready: dict[str, Any] = {}
        self.starts = 0
        self._log = folder / f"{name}.log"
        self._process: asyncio.subprocess.Process | None = None
        self._drain: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """Of the process last started. Raises `RuntimeError` before that."""
        if self._process is None:
            raise RuntimeError("the program has not been started")
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Of the process last started; None while it runs. Minus the signal's number where a signal ended it."""
        return None if self._process is None else self._process.returncode

    @property
    def running(self) -> bool:
        """From the ready line to the end of the process."""
        return self._process is not None and self._process.returncode is None and self._drain is not None

    async def start(self, *arguments: str) -> dict[str, Any]:
        """Start and wait for the ready line. Raises `ProgramFailedError`."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "mepassa", *arguments, "--json",
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=log,
                env={**os.environ, **self.environment}, start_new_session=os.name != "nt",
            )  # fmt: skip
        try:
            line = await asyncio.wait_for(self._stdout().readline(), self.ready_timeout_s)
            self.ready = json.loads(line)
        except (TimeoutError, ValueError) as error:
            await self.stop()
            raise ProgramFailedError(f"{self.name} did not start: {self._last_words()}") from error
        self.starts += 1
        self._drain = asyncio.create_task(self._read_on())
        return self.ready

    async def run(self, *arguments: str) -> str:
        """Run a command to its end; returns what it printed. Raises `ProgramFailedError` with its sentence."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "mepassa", *arguments,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **self.environment},
        )  # fmt: skip
        out, err = await process.communicate()
        if process.returncode:
            raise ProgramFailedError(f"{self.name}: {err.decode(errors='replace').strip()}")
        return out.decode()

    async def stop(self) -> None:
        """SIGTERM, then wait; a program that does not end in time is killed."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self._process.wait(), STOP_TIMEOUT_S)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
                raise TransientError(f"{self.name} had to be killed.") from None
        if self._drain is not None:
            await self._drain
            self._drain = None

    async def kill(self) -> None:
        """SIGKILL: no goodbye of any kind. Does nothing when it has ended."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        if self._drain is not None:
            await self._drain
            self._drain = None

    def _stdout(self) -> asyncio.StreamReader:
        if self._process is None or self._process.stdout is None:
            raise RuntimeError("the program has not been started")
        return self._process.stdout

    async def _read_on(self) -> None:
        """Keep the pipe empty, so that the child never waits for us."""
        while await self._stdout().read(65_536):
            pass

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing."
