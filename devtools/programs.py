"""Homes and nodes as people start them, by `mepassa serve` and `mepassa run`: started, stopped, killed and spoken to
through their public doors only. On a loop; `home_process` is the blocking way to a home alone."""

import asyncio
import contextlib
import os
import secrets
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import sqlcipher3

from mepassa.cli.demo.program import Program
from mepassa.cli.demo.stage import until
from mepassa.storage import load_key

Json = dict[str, Any]
Query = dict[str, str | int]

WITHIN_S = 60.0
"""How long a condition may take before a test gives up: far above what it takes, so that no timing decides."""


START_WITHIN_S = 120.0
"""The same for a start, which takes seconds of computing on a machine that others use too."""


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str


async def mepassa(*arguments: str, environment: dict[str, str] | None = None, stdin: bytes = b"") -> Done:
    """One command to its end, without a terminal, in English unless `environment` says otherwise."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mepassa", *arguments,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "LC_ALL": "C.UTF-8", **(environment or {})},
    )  # fmt: skip
    try:
        async with asyncio.timeout(WITHIN_S):
            out, err = await process.communicate(stdin)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    return Done(process.returncode or 0, out.decode(), err.decode())


def shifted_clock(folder: Path, seconds: int) -> dict[str, str]:
    """An environment in which a Python program's wall clock is off: `sitecustomize` runs before the program."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(
        "import time\n"
        "_time, _time_ns = time.time, time.time_ns\n"
        f"time.time = lambda: _time() + {seconds}\n"
        f"time.time_ns = lambda: _time_ns() + {seconds} * 10**9\n"
    )
    return {"PYTHONPATH": str(folder)}


@dataclass
class HomeProgram:
    """`mepassa serve` in a folder; started again, it listens where it listened before."""

    data: Path
    roles: tuple[str, ...] = ("mailbox", "relay")
    environment: dict[str, str] = field(default_factory=dict)
    program: Program = field(init=False)

    def __post_init__(self) -> None:
        self.data.parent.mkdir(parents=True, exist_ok=True)
        self.program = Program(f"{self.data.name}-home", self.data.parent, self.environment)
        self.program.ready_timeout_s = START_WITHIN_S

    async def start(self, *more: str, registration: str = "open") -> Json:
        port = self.url.rpartition(":")[2] if self.program.ready else "0"
        roles = [word for role in self.roles for word in ("--roles", role)]
        return await self.program.start(
            "serve", "--data", str(self.data), "--listen", f"127.0.0.1:{port}", "--registration", registration,
            "--admin", "127.0.0.1:0", "--allow-private-peers", *roles, *more,
        )  # fmt: skip

    @property
    def url(self) -> str:
        return str(self.program.ready["url"])

    async def counters(self) -> Json:
        async with aiohttp.ClientSession() as http, http.get(f"{self.program.ready['admin']}/metrics") as answer:
            return dict(await answer.json(content_type=None))


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer of a local API."""

    status: int
    body: Any
    headers: dict[str, str]

    @property
    def code(self) -> str:
        """The error's code; an answer without an error object fails here."""
        assert set(self.body) == {"error"}, self.body
        assert set(self.body["error"]) == {"code", "message", "field"}, self.body
        return str(self.body["error"]["code"])


@dataclass
class NodeProgram:
    """One person's node: its folder, its process, its local API spoken to as any program would."""

    name: str
    data: Path
    environment: dict[str, str] = field(default_factory=dict)
    program: Program = field(init=False)
    _http: aiohttp.ClientSession | None = None
    _port: str = "0"

    def __post_init__(self) -> None:
        self.data.parent.mkdir(parents=True, exist_ok=True)
        self.program = Program(self.data.name, self.data.parent, self.environment)
        self.program.ready_timeout_s = START_WITHIN_S

    # --- the process -------------------------------------------------------------------------------------------------

    async def init(self, home_url: str, *more: str) -> None:
        await self.program.run(
            "init", "--data", str(self.data), "--home", home_url, "--name", self.name, "--no-passphrase", *more
        )

    async def start(self, *more: str, connected: bool = True) -> None:
        """Start and, unless told otherwise, wait for the log-in. The same port as before."""
        await self.program.start(
            "run", "--data", str(self.data), "--api", f"127.0.0.1:{self._port}", "--allow-loopback-paths", *more
        )
        self._port = self.url.rpartition(":")[2]
        if self._http is None:
            self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WITHIN_S))
        if connected:
            await until(f"{self.name}'s log-in", self.connected, within_s=WITHIN_S)

    async def stop(self) -> None:
        await self._forget()
        await self.program.stop()

    async def kill(self) -> None:
        await self.program.kill()
        await self._forget()

    async def _forget(self) -> None:
        if self._http is not None:
            await self._http.close()
            self._http = None

    def freeze(self) -> None:
        os.kill(self.program.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.program.pid, signal.SIGCONT)

    def log(self) -> str:
        """All that it has said on stderr."""
        return (self.data.parent / f"{self.data.name}.log").read_text()

    # --- the local API -----------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return str(self.program.ready["api"])

    @property
    def account_id(self) -> str:
        return str(self.program.ready["account_id"])

    @property
    def token(self) -> str:
        return (self.data / "api-token").read_text().strip()

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def http(self) -> aiohttp.ClientSession:
        assert self._http is not None, "the node has not been started"
        return self._http

    async def ask(
        self, method: str, path: str, body: object = None, *, data: bytes | None = None, query: Query | None = None
    ) -> Answer:
        """One call, whatever it answers."""
        sent: Json = {"data": data} if data is not None else {} if body is None else {"json": body}
        async with self.http.request(
            method, f"{self.url}/api/v1{path}", params=query, headers=self.bearer, **sent
        ) as answer:
            raw = await answer.read()
            found = await answer.json(content_type=None) if raw else None
            return Answer(answer.status, found, dict(answer.headers))

    async def get(self, path: str, **query: str | int) -> Any:
        return await self._fine("GET", path, None, query)

    async def post(self, path: str, body: object = None) -> Any:
        return await self._fine("POST", path, {} if body is None else body)

    async def put(self, path: str, body: object) -> Any:
        return await self._fine("PUT", path, body)

    async def _fine(self, method: str, path: str, body: object, query: Query | None = None) -> Any:
        answer = await self.ask(method, path, body, query=query)
        assert answer.status in {200, 204}, f"{method} {path}: {answer.status} {answer.body}"
        return answer.body

    @contextlib.asynccontextmanager
    async def events(self, after: int | None = None) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        query = "" if after is None else f"?after={after}"
        async with self.http.ws_connect(f"{self.url}/api/v1/events{query}", headers=self.bearer) as socket:
            yield socket

    # --- what tests ask for again and again ---------------------------------------------------------------------------

    async def connected(self) -> bool:
        return bool((await self.get("/health"))["home"]["connected"])

    async def idle(self) -> bool:
        """Nothing is on its way out."""
        return bool((await self.get("/health"))["waiting"] == 0)

    async def chat_with(self, other: "NodeProgram") -> Json | None:
        chats = await self.get("/chats")
        return next((chat for chat in chats if chat["account_id"] == other.account_id), None)

    async def path_to(self, other: "NodeProgram") -> str | None:
        """The kind of the live path, if there is one."""
        chat = await self.chat_with(other)
        return None if chat is None or chat["path"] is None else str(chat["path"]["kind"])

    async def say(self, other: "NodeProgram", text: str, client_id: str | None = None) -> Json:
        body = {"client_id": client_id or secrets.token_hex(16), "text": text}
        return dict(await self.post(f"/chats/{other.account_id}/messages", body))

    async def messages_with(self, other: "NodeProgram") -> list[Json]:
        """All of them, oldest first."""
        found: list[Json] = []
        while True:
            before: Query = {"before": found[0]["id"]} if found else {}
            page = await self.get(f"/chats/{other.account_id}/messages", limit=1000, **before)
            found = [*page, *found]
            if len(page) < 1000:
                return found

    async def texts_from(self, other: "NodeProgram") -> list[str]:
        messages = await self.messages_with(other)
        return [m["content"].get("text", "?") for m in messages if m["sender"] == other.account_id]

    async def settled(self, message: Json, *statuses: str, within_s: float = WITHIN_S) -> Json:
        """The message once it has one of these statuses."""

        async def reached() -> Json | None:
            found = await self.get(f"/messages/{message['id']}")
            return dict(found) if found["status"] in statuses else None

        return dict(await until(f"the status {' or '.join(statuses)}", reached, within_s=within_s))


def sealed_into(node: Path, message_id: str) -> list[str]:
    """Every envelope that a message of this node's was ever sealed into, as long as no receipt for it has come.

    From its database, beside the program, which keeps running: what it would say of itself is not asked.
    """
    database = sqlcipher3.connect(str(node / "node.db"))
    try:
        database.execute(f"PRAGMA key = \"x'{load_key(node).expose().hex()}'\"")
        rows = database.execute("SELECT id FROM sent WHERE message_id = ?", (bytes.fromhex(message_id),)).fetchall()
    finally:
        database.close()
    return [envelope_id.hex() for (envelope_id,) in rows]


def held_at(home: Path) -> set[str]:
    """The ids of the envelopes that wait at a home, from its database."""
    with contextlib.closing(sqlite3.connect(home / "home.db")) as database:
        return {envelope_id.hex() for (envelope_id,) in database.execute("SELECT id FROM envelope")}


async def befriend(ana: NodeProgram, beto: NodeProgram) -> None:
    """By a QR code, which accepts at once; returns when both are quiet."""
    invite = await beto.post("/invites", {"kind": "qr"})
    await ana.post("/contacts", {"link": invite["link"]})

    async def accepted() -> bool:
        chats = [await ana.chat_with(beto), await beto.chat_with(ana)]
        return all(chat is not None and chat["state"] == "accepted" for chat in chats)

    await until("the contact", accepted, within_s=WITHIN_S)
    for node in (ana, beto):
        await until(f"{node.name}'s empty outbox", node.idle, within_s=WITHIN_S)


@contextlib.asynccontextmanager
async def household(
    folder: Path, *, friends: bool = True, environment: dict[str, str] | None = None
) -> AsyncIterator[tuple[HomeProgram, NodeProgram, NodeProgram]]:
    """A home, Ana and Beto, running; stopped at the end, whatever happened."""
    home = HomeProgram(folder / "home")
    ana, beto = (NodeProgram(name, folder / name.lower(), environment or {}) for name in ("Ana", "Beto"))
    try:
        await home.start()
        await asyncio.gather(ana.init(home.url), beto.init(home.url))
        await asyncio.gather(ana.start(), beto.start())
        if friends:
            await befriend(ana, beto)
        yield home, ana, beto
    except BaseException:  # that is the news, not how the programs ended after it
        await asyncio.gather(ana.kill(), beto.kill(), home.program.kill(), return_exceptions=True)
        raise
    await asyncio.gather(ana.stop(), beto.stop(), home.program.stop())
