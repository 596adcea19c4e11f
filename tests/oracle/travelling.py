"""Two people, one of them official, and the road between them."""

import random
from dataclasses import dataclass, field

import pytest

from mepassa.model.errors import DecryptionError
from mepassa.protocol.session import MessageType, SignalCiphertext
from tests.crypto.people import Person
from tests.oracle.official import OfficialError, OfficialPerson


def start(ours: Person, theirs: OfficialPerson, *, we_initiate: bool, one_time: bool = True) -> None:
    """One message each way: afterwards both send plain messages."""
    if we_initiate:
        ours.initiate(theirs.remote, theirs.bundle(one_time=one_time))
        first = ours.encrypt(theirs.remote, b"first")
        assert first.type is MessageType.PREKEY
        assert theirs.decrypt(ours.own.address, first) == b"first"
        assert ours.decrypt(theirs.remote, theirs.encrypt(ours.own.address, b"second")) == b"second"
    else:
        theirs.initiate(ours.own.address, ours.bundle(one_time=one_time))
        first = theirs.encrypt(ours.own.address, b"first")
        assert first.type is MessageType.PREKEY
        assert ours.decrypt(theirs.remote, first) == b"first"
        assert theirs.decrypt(ours.own.address, ours.encrypt(theirs.remote, b"second")) == b"second"


@dataclass
class Travelling:
    """A conversation over a network that loses, repeats, mixes and damages.

    Nothing overtakes more than eight later messages: five newer chains would be a loss by design.
    """

    ours: Person
    theirs: OfficialPerson
    dice: random.Random
    to_them: list[tuple[int, bytes, SignalCiphertext]] = field(default_factory=list)
    to_us: list[tuple[int, bytes, SignalCiphertext]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def go(self, until_opened: int) -> int:
        """Talk until so many messages were opened and nothing is on its way; returns the epoch of SPQR by then."""
        while self.counts.get("opened", 0) < until_opened:
            self.send(loss=0.15)
            while self.dice.random() < 0.5 or self.waited_too_long:
                self.deliver()
        while self.to_us or self.to_them:
            self.deliver()
        current = self.ours.record(self.theirs.remote).current
        assert current is not None
        print(self.counts, "epoch", current.ratchet.spqr.epoch)
        return current.ratchet.spqr.epoch

    def send(self, loss: float) -> None:
        text = self.dice.randbytes(self.dice.randrange(1, 120))
        if self.dice.random() < 0.5:
            queue, ciphertext = self.to_them, self.ours.encrypt(self.theirs.remote, text)
        else:
            queue, ciphertext = self.to_us, self.theirs.encrypt(self.ours.own.address, text)
        self.count("sent")
        if self.dice.random() < loss:
            self.count("lost")
        else:
            queue.append((self.counts["sent"], text, ciphertext))

    @property
    def waited_too_long(self) -> bool:
        return any(self.counts["sent"] - queue[0][0] >= 8 for queue in (self.to_them, self.to_us) if queue)

    def deliver(self) -> None:
        """One message, if any travels; the oldest when it has waited long."""
        queues = [queue for queue in (self.to_them, self.to_us) if queue]
        if not queues:
            return
        queue = min(queues, key=lambda waiting: waiting[0][0])
        place = 0
        if self.counts["sent"] - queue[0][0] < 8:
            queue = self.dice.choice(queues)
            place = self.dice.randrange(len(queue))
        _, text, ciphertext = queue.pop(place)
        if self.dice.random() < 0.1:
            self.tamper(queue, ciphertext)
        self.open(queue, text, ciphertext)
        if self.dice.random() < 0.1:
            self.repeat(queue, ciphertext)

    def open(self, queue: object, text: bytes, ciphertext: SignalCiphertext) -> None:
        if queue is self.to_them:
            assert self.theirs.decrypt(self.ours.own.address, ciphertext) == text
        else:
            assert self.ours.decrypt(self.theirs.remote, ciphertext) == text
            if self.dice.random() < 0.05:
                self.ours.restart(self.theirs.remote)
                self.count("restarted")
        self.count("opened")

    def refused(self, queue: object, ciphertext: SignalCiphertext) -> str:
        if queue is self.to_them:
            with pytest.raises(OfficialError) as caught:
                self.theirs.decrypt(self.ours.own.address, ciphertext)
            return str(caught.value)
        before = self.ours.record(self.theirs.remote).to_bytes()
        with pytest.raises(DecryptionError) as ours_caught:
            self.ours.decrypt(self.theirs.remote, ciphertext)
        assert self.ours.record(self.theirs.remote).to_bytes() == before
        return type(ours_caught.value).__name__

    def tamper(self, queue: object, ciphertext: SignalCiphertext) -> None:
        body = bytearray(ciphertext.body)
        body[self.dice.randrange(len(body))] ^= 1 << self.dice.randrange(8)
        self.refused(queue, SignalCiphertext(ciphertext.type, bytes(body), b""))
        self.count("tampered")

    def repeat(self, queue: object, ciphertext: SignalCiphertext) -> None:
        self.refused(queue, ciphertext)
        self.count("repeated")
