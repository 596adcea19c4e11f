"""A load on a real home, for faults and figures: people registered over real sockets, many senders with many in flight.

The senders speak frames directly: what is measured is the home, with as little of a client as possible beside it.
"""

import asyncio
from dataclasses import dataclass, field

from mepassa.model.envelope import SealedEnvelope
from mepassa.model.errors import LinkLostError
from mepassa.model.ids import EnvelopeId
from mepassa.ports.clock import SystemClock
from mepassa.ports.frames import FrameStream
from mepassa.ports.mailbox import HomeAddress
from mepassa.ports.rng import Rng
from mepassa.testing.people import Listener, Person
from mepassa.transports.mailbox import MailboxOwnHome, Registration, WebSocketDialer, register
from mepassa.wire.mailbox import (
    Deposit,
    Deposited,
    Hello,
    decode_deposit_to_client,
    encode_deposit_to_home,
)
from mepassa.wire.wellknown import DEPOSIT_PATH

CLOCK = SystemClock()


async def register_people(dial: WebSocketDialer, home: HomeAddress, rng: Rng, count: int) -> list[Person]:
    """Registered, with their delivery and signal tokens at the home."""
    people = []
    for _ in range(count):
        person = Person.make(rng, home)
        await register(dial, home, Registration(person.root.public, person.device_list), clock=CLOCK, rng=rng)
        async with OnlineDevice(dial, home, person, Listener(), rng) as device:
            await device.put_tokens(person.token_records())
        people.append(person)
    return people


class OnlineDevice:
    """A person's device, logged in for as long as the block lasts."""

    def __init__(self, dial: WebSocketDialer, home: HomeAddress, person: Person, listener: Listener, rng: Rng) -> None:
        self._own_home = MailboxOwnHome(dial, home, person, listener, clock=CLOCK, rng=rng)
        self._listener = listener

    async def __aenter__(self) -> MailboxOwnHome:
        self._task = asyncio.create_task(self._own_home.run())
        await self._listener.until_log_ins(len(self._listener.log_ins) + 1)
        return self._own_home

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])


@dataclass
class Sender:
    """Deposits envelopes for one person over one connection. `acknowledged`: what the home said yes to, in that order."""

    stream: FrameStream
    to: Person
    acknowledged: list[EnvelopeId] = field(default_factory=list)
    delivered: int = 0
    refused: int = 0

    @classmethod
    async def connect(cls, dial: WebSocketDialer, home: HomeAddress, to: Person) -> "Sender":
        stream = await dial(home.url, DEPOSIT_PATH)
        await stream.send(encode_deposit_to_home([Hello(bytes(32))]))
        assert await stream.receive()
        return cls(stream, to)

    async def deposit(self, envelopes: list[SealedEnvelope], in_flight: int) -> None:
        """All of them, so many at a time; ends early, without a word, when the home goes away."""
        token = self.to.delivery_token
        records = [Deposit(number, self.to.own, each.raw, token) for number, each in enumerate(envelopes)]
        sent = min(in_flight, len(records))
        try:
            await self.stream.send(encode_deposit_to_home(records[:sent]))
            answered = 0
            while answered < len(records):
                frame = await self.stream.receive()
                if frame is None:
                    return
                answers = decode_deposit_to_client(frame)
                for answer in answers:
                    answered += 1
                    if isinstance(answer, Deposited):
                        self.acknowledged.append(envelopes[answer.request].id)
                        self.delivered += answer.outcome == "delivered"
                    else:
                        self.refused += 1
                if more := records[sent : sent + len(answers)]:
                    sent += len(more)
                    await self.stream.send(encode_deposit_to_home(more))
        except LinkLostError:
            return


def envelopes_for(sender: int, count: int, size_bytes: int) -> list[SealedEnvelope]:
    """All different."""
    tail = bytes(size_bytes - 8)
    return [SealedEnvelope(sender.to_bytes(4) + number.to_bytes(4) + tail) for number in range(count)]


async def load(senders: list[Sender], envelopes: list[list[SealedEnvelope]], in_flight: int) -> None:
    """All senders at once."""
    await asyncio.gather(*(sender.deposit(mine, in_flight) for sender, mine in zip(senders, envelopes, strict=True)))
