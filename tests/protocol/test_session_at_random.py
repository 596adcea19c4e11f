"""docs/protocol/session.md, "Which session": whatever two devices do to their sessions, what travels opens exactly once."""

import random
from dataclasses import dataclass, field

import pytest

from mepassa.model.errors import DecryptionError
from mepassa.protocol import session
from mepassa.protocol.session import SignalCiphertext
from mepassa.testing.chance import SeededRng
from tests.crypto.people import Person


@dataclass
class Side:
    person: Person
    other: Person
    inbox: list[tuple[bytes, SignalCiphertext]] = field(default_factory=list)
    opened: list[SignalCiphertext] = field(default_factory=list)
    passed_over: int = 0
    """How often the oldest was left waiting: twice at most, since a message that five newer chains overtake is lost."""


def send(sender: Side, receiver: Side, text: bytes) -> None:
    if not sender.person.record(sender.other.remote).has_current:
        sender.person.initiate(sender.other.remote, sender.other.bundle())
    receiver.inbox.append((text, sender.person.encrypt(sender.other.remote, text)))


def receive(side: Side, dice: random.Random) -> None:
    """One of the three oldest; what has come before is offered again now and then, and refused."""
    if side.inbox:
        place = dice.randrange(min(len(side.inbox), 3)) if side.passed_over < 2 else 0
        side.passed_over = side.passed_over + 1 if place else 0
        text, ciphertext = side.inbox.pop(place)
        assert side.person.decrypt(side.other.remote, ciphertext) == text
        side.opened.append(ciphertext)
    if side.opened and dice.random() < 0.2:
        before = side.person.record(side.other.remote).to_bytes()
        with pytest.raises(DecryptionError):
            side.person.decrypt(side.other.remote, dice.choice(side.opened))
        assert side.person.record(side.other.remote).to_bytes() == before


def test_sessions_begun_crossed_archived_and_restarted_at_random_lose_nothing(seed: int) -> None:
    dice = random.Random(seed)
    ana, bruno = Person("ana", rng=SeededRng(seed)), Person("bruno", rng=SeededRng(seed + 1))
    sides = Side(ana, bruno), Side(bruno, ana)
    for number in range(600):
        place = dice.randrange(2)
        side, other = sides[place], sides[1 - place]
        match dice.choices(("send", "receive", "begin", "archive", "restart"), (10, 10, 1, 1, 2))[0]:
            case "send" if len(other.inbox) < 6:
                send(side, other, b"%d" % number)
            case "begin" if len(other.inbox) < 6:
                side.person.initiate(side.other.remote, side.other.bundle())
            case "archive":
                record = session.archive(side.person.record(side.other.remote))
                side.person.records[side.other.own.address] = record
            case "restart":
                side.person.restart(side.other.remote)
            case _:
                receive(side, dice)
    for place in (0, 1):
        while sides[place].inbox:
            receive(sides[place], dice)
    for number in range(4):  # and then they agree on one session
        for place in (0, 1):
            send(sides[place], sides[1 - place], b"end %d" % number)
            receive(sides[1 - place], dice)
    records = [side.person.record(side.other.remote) for side in sides]
    assert records[0].current is not None
    assert records[1].current is not None
    assert records[0].current.base_key == records[1].current.base_key
