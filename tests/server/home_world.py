"""A real home without sockets: real SQLite file, real frames through pairs in memory, made-up people."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mepassa.identity import HomeKeyPair
from mepassa.model.ids import Address
from mepassa.model.secret import SecretBytes
from mepassa.ports.clock import Clock, SystemClock
from mepassa.ports.frames import FrameStream
from mepassa.ports.mailbox import HomeAddress, RecipientHome
from mepassa.server.db import Database
from mepassa.server.home import Home
from mepassa.server.limits import HomePolicy
from mepassa.server.mailbox import Session
from mepassa.server.mailbox_socket import RelayIssuer
from mepassa.testing import SeededRng
from mepassa.testing.frames import MemoryFrames, frame_pair
from mepassa.testing.people import Listener, Person, fake_prekeys
from mepassa.transports.mailbox import MailboxOwnHome, Registration, SealedHomes, register
from mepassa.wire.wellknown import MAILBOX_PATH, RegistrationPolicy

HOST = "home.test"
EASY = HomePolicy(request_work_bits=4, register_work_bits=4)
"""The real quotas with work that takes no time."""


@dataclass
class Online:
    """A person whose device is connected."""

    person: Person
    own_home: MailboxOwnHome
    listener: Listener
    task: "asyncio.Task[None]"

    async def leave(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


@dataclass
class HomeWorld:
    home: Home
    db: Database
    clock: Clock
    rng: SeededRng
    address: HomeAddress
    remote: str = "198.51.100.7"
    streams: list[MemoryFrames] = field(default_factory=list)
    """The clients' ends, device and sealed, as they were dialled."""
    device_streams: list[MemoryFrames] = field(default_factory=list)
    tasks: set["asyncio.Task[None]"] = field(default_factory=set)
    sealed: list[SealedHomes] = field(default_factory=list)

    async def dial(self, home_url: str, path: str) -> FrameStream:
        ours, theirs = frame_pair()
        serve = self.home.serve_mailbox if path == MAILBOX_PATH else self.home.serve_deposit
        task = asyncio.get_running_loop().create_task(serve(theirs, remote=self.remote, host=HOST))
        self.tasks.add(task)
        self.streams.append(ours)
        if path == MAILBOX_PATH:
            self.device_streams.append(ours)
        return ours

    async def person(self, *, tokens: bool = True) -> Person:
        """Registered, with delivery and signal tokens and 100 prekeys of each kind."""
        person = Person.make(self.rng, self.address)
        registration = Registration(person.root.public, person.device_list)
        await register(self.dial, self.address, registration, clock=self.clock, rng=self.rng)
        if tokens:
            online = await self.online(person)
            await online.own_home.put_tokens(person.token_records())
            await online.own_home.put_prekeys(fake_prekeys())
            await online.leave()
        return person

    async def online(self, person: Person, listener: Listener | None = None) -> Online:
        listener = listener or Listener()
        own_home = MailboxOwnHome(self.dial, self.address, person, listener, clock=self.clock, rng=self.rng)
        task = asyncio.get_running_loop().create_task(own_home.run())
        await listener.until_log_ins(len(listener.log_ins) + 1)
        return Online(person, own_home, listener, task)

    def sender(self) -> RecipientHome:
        """A sealed connection of its own."""
        homes = SealedHomes(self.dial, clock=self.clock, rng=self.rng)
        self.sealed.append(homes)
        return homes.recipient(self.address)

    async def waiting(self) -> int:
        """Envelopes on disk."""
        return await self.home.mailboxes.count_waiting()

    async def runs(self) -> list[tuple[int, int]]:
        """Device number and run counter, as the database keeps them."""
        rows = await self.db.run(lambda tx: tx.rows("SELECT device, run_counter FROM device"))
        return [(int(device), int(counter)) for device, counter in rows]

    async def until_empty(self) -> None:
        while await self.waiting():  # a database tells nobody
            await asyncio.sleep(0.001)

    def session(self, address: Address) -> Session:
        """The connected device's."""
        entry = self.home.directory.cached(address.account)
        device = None if entry is None else entry.device(address.device)
        session = None if device is None else self.home.mailboxes.session(device.mailbox)
        assert session is not None
        return session


class _Failures(logging.Handler):
    """Connections that ended by a mistake of ours: the home goes on, so that nothing else tells a test."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg == "socket.failed":
            self.said.append(record)


@asynccontextmanager
async def home_world(
    folder: Path,
    *,
    seed: int = 1,
    policy: HomePolicy = EASY,
    registration: RegistrationPolicy = RegistrationPolicy.OPEN,
    clock: Clock | None = None,
    inline: bool = False,
    relay: RelayIssuer | None = None,
    max_pages: int | None = None,
) -> AsyncIterator[HomeWorld]:
    rng, clock = SeededRng(seed), clock or SystemClock()
    db = Database(folder / "home.db", inline=inline, max_pages=max_pages)
    key = HomeKeyPair(SecretBytes(SeededRng("home key").token(32)))
    home = Home(db=db, clock=clock, rng=rng, key=key, registration=registration, policy=policy, relay=relay)
    await home.start()
    world = HomeWorld(home, db, clock, rng, HomeAddress(f"https://{HOST}", home.key))
    failures = _Failures()
    logging.getLogger("mepassa.server.home").addHandler(failures)
    try:
        yield world
    finally:
        for homes in world.sealed:
            await homes.close()
        await home.stop()
        for task in world.tasks:
            task.cancel()
        if world.tasks:
            await asyncio.wait(world.tasks)
        await db.close()
        logging.getLogger("mepassa.server.home").removeHandler(failures)
    assert failures.said == [], "a mistake of ours ended a connection"


async def eventually(condition: Callable[[], bool]) -> None:
    """Let the loop turn until it holds; the test's own time limit is the only clock."""
    while not condition():  # what is waited for tells nobody
        await asyncio.sleep(0.001)


__all__ = ["EASY", "HOST", "HomeWorld", "Online", "eventually", "home_world"]
