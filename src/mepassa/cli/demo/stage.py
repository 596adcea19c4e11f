"""The stage: one home server and two nodes in a folder of their own, on loopback."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from mepassa.cli.demo.program import Program
from mepassa.cli.local_api import LocalApi, NodeNotRunningError
from mepassa.model.errors import TransientError

POLL_S = 0.02
"""How often a condition is looked at again: well under anything that a person could see."""


async def until(what: str, condition: Callable[[], Awaitable[Any]], *, within_s: float = 15.0) -> Any:
    """Wait until `condition` returns something true, and return it. Raises `TransientError` naming what did not happen."""
    deadline = asyncio.get_running_loop().time() + within_s
    while True:
        if found := await condition():
            return found
        if asyncio.get_running_loop().time() > deadline:
            raise TransientError(f"{what} did not happen within {within_s:g} s.")
        await asyncio.sleep(POLL_S)


class Server:
    """The home server: started again, it listens where it listened before."""

    def __init__(self, folder: Path, log_level: str) -> None:
        self.program = Program("home", folder)
        self._log_level = log_level
        self._data = folder / "home"
        self._http: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        port = self.url.rpartition(":")[2] if self.program.ready else "0"
        await self.program.start(
            "serve", "--data", str(self._data), "--listen", f"127.0.0.1:{port}", "--registration", "open",
            "--admin", "127.0.0.1:0", "--allow-private-peers", "--log", self._log_level,
        )  # fmt: skip

    @property
    def url(self) -> str:
        return str(self.program.ready["url"])

    async def counters(self) -> dict[str, Any]:
        """The server's own counters, from its private port."""
        if self._http is None:
            self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5))
        async with self._http.get(f"{self.program.ready['admin']}/metrics") as answer:
            return dict(await answer.json(content_type=None))

    async def stop(self) -> None:
        await self.program.stop()
        if self._http is not None:
            await self._http.close()
            self._http = None


class Person:
    """One person's node: its process, its folder, its local API."""

    def __init__(self, who: str, name: str, folder: Path, log_level: str) -> None:
        self._log_level = log_level
        self.who, self.name = who, name
        self.program = Program(name.lower(), folder)
        self.data = folder / name.lower()
        self.account_id: str | None = None
        self._api: LocalApi | None = None
        self._port = "0"

    @property
    def api(self) -> LocalApi:
        if self._api is None:
            raise NodeNotRunningError
        return self._api

    @property
    def online(self) -> bool:
        return self._api is not None and self.program.running

    async def create(self, home_url: str) -> None:
        await self.program.run(
            "init", "--data", str(self.data), "--home", home_url, "--name", self.name, "--no-passphrase"
        )

    async def start(self, frame_ancestor: str | None) -> None:
        frame = ("--frame-ancestor", frame_ancestor) if frame_ancestor else ()
        ready = await self.program.start(
            "run",
            "--data",
            str(self.data),
            "--api",
            f"127.0.0.1:{self._port}",
            "--allow-loopback-paths",
            "--log",
            self._log_level,
            *frame,
        )
        self.account_id = str(ready["account_id"])
        self._port = str(ready["api"]).rpartition(":")[2]
        self._api = await LocalApi.of_folder(self.data).__aenter__()

    async def stop(self) -> None:
        if self._api is not None:
            await self._api.__aexit__(None, None, None)
            self._api = None
        await self.program.stop()

    async def chat_with(self, other: "Person") -> dict[str, Any] | None:
        chats = await self.api.get("/chats")
        return next((dict(chat) for chat in chats if chat["account_id"] == other.account_id), None)

    async def messages_with(self, other: "Person") -> list[dict[str, Any]]:
        chat = await self.chat_with(other)
        return [] if chat is None else list(await self.api.get(f"/chats/{chat['id']}/messages", limit=1000))

    async def connected(self) -> bool:
        return bool((await self.api.get("/health"))["home"]["connected"])


@dataclass
class Stage:
    """Ana (`a`) and Beto (`b`) and their home. `direct` and `relay` are what the page's switches say."""

    folder: Path
    frame_ancestor: str | None = None
    log_level: str = "warning"
    direct: bool = True
    relay: bool = True
    server: Server = field(init=False)
    ana: Person = field(init=False)
    beto: Person = field(init=False)

    def __post_init__(self) -> None:
        self.server = Server(self.folder, self.log_level)
        self.ana = Person("a", "Ana", self.folder, self.log_level)
        self.beto = Person("b", "Beto", self.folder, self.log_level)

    @property
    def people(self) -> tuple[Person, Person]:
        return self.ana, self.beto

    async def open(self) -> None:
        """Start the home, create both accounts, start both nodes."""
        await self.server.start()
        await asyncio.gather(*(person.create(self.server.url) for person in self.people))
        await asyncio.gather(*(self.start_person(person) for person in self.people))

    async def start_person(self, person: Person) -> None:
        await person.start(self.frame_ancestor)
        await until(f"{person.name}'s log-in", person.connected)

    async def set_paths(self, *, direct: bool | None = None, relay: bool | None = None) -> None:
        """The two path switches, at both nodes; a node that is off takes its defaults when it starts."""
        self.direct = self.direct if direct is None else direct
        self.relay = self.relay if relay is None else relay
        for person in self.people:
            if person.online:
                await person.api.put("/paths", {"direct": self.direct, "relay": self.relay})

    async def close(self) -> None:
        """Stop everything, whatever happened; the first failure is told afterwards."""
        results = await asyncio.gather(
            *(person.stop() for person in self.people), self.server.stop(), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result
