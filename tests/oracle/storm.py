"""A conversation in bad weather: three devices of mixed kinds, and a road that loses, mixes, repeats and damages.

The law: what opens is what was sent, from whom and to whom it was sent, and no envelope opens twice. What arrives whole
and does not open is known to both: the reader has a named error, and the sender is asked for it again. Whatever has
happened, afterwards everything opens again within two round trips.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import msgspec

from mepassa.crypto.messages import decode_prekey_signal_message, encode_prekey_signal_message
from mepassa.protocol.session import MessageType, SignalCiphertext
from mepassa.testing.chance import SeededRng
from tests.oracle.devices import Answer, Ask, Asking, Device, OfficialDevice, OurDevice, Refused, Sent
from tests.oracle.official import NEWEST, OLDER, Oracle

MAX_RESENT = 3
"""How often a text is sent again, as a device of ours does."""


@dataclass(frozen=True, slots=True)
class Weather:
    """Chances. Those of the road are by envelope, those of the devices by step."""

    window: int = 10
    """Envelopes under way in one direction, at most."""
    lost: float = 0.08
    repeated: float = 0.05
    damaged: float = 0.06
    overtaken_far: float = 0.02
    """Instead of one of the three oldest, any envelope under way is next."""
    restarts: float = 0.02
    archives: float = 0.0
    forgets_prekeys: float = 0.0
    loses_sessions: float = 0.0
    """As when a database was damaged: the sessions are gone, the keys are not, and nobody is told."""
    re_registers: float = 0.0


CALM = Weather()
"""Sessions live, so that SPQR goes through many epochs."""
STORM = Weather(
    window=30, overtaken_far=0.1, archives=0.01, forgets_prekeys=0.01, loses_sessions=0.005, re_registers=0.001
)


@dataclass(slots=True)
class Letter:
    """A text and what became of it. `envelopes`: how many carried it."""

    text: bytes
    sender: Device
    reader: Device
    envelopes: int = 0
    opened: bool = False


@dataclass(slots=True)
class Travelling:
    """An envelope, or a request to send one again (`complaint`). `void`: one end has begun anew since it was sealed."""

    letter: Letter
    sent: Sent
    sender: Device
    reader: Device
    complaint: bool = False
    void: bool = False
    opened: bool = False


@dataclass
class Storm:
    """One conversation. `pairs`: who speaks with whom, in both directions; at least one of a pair is ours."""

    devices: Sequence[Device]
    weather: Weather
    dice: random.Random
    counts: Counter[str]
    roads: dict[tuple[int, int], list[Travelling]] = field(default_factory=dict)
    before: list[Travelling] = field(default_factory=list)
    """Some that were opened, to be offered once more."""
    letters: int = 0

    def __post_init__(self) -> None:
        kinds = [isinstance(device, OurDevice) for device in self.devices]
        self.roads = {(a, b): [] for a in range(3) for b in range(3) if a != b and (kinds[a] or kinds[b])}

    def run(self, messages: int) -> Asking[None]:
        for device in self.devices:
            if isinstance(device, OfficialDevice):
                yield from device.create()
        while self.letters < messages // 2:
            yield from self.step()
        if self.weather.re_registers:  # rare by chance, so once for certain
            yield from self.register_anew(self.dice.choice(self.devices))
        while self.letters < messages:
            yield from self.step()
        yield from self.settle()

    # --- the storm -----------------------------------------------------------------------------------------------------

    def step(self) -> Asking[None]:
        sender, reader = self.dice.choice(list(self.roads))
        road = self.roads[sender, reader]
        if len(road) < self.weather.window and self.dice.random() < 0.55:
            text = b"%d " % self.letters + self.dice.randbytes(self.dice.randrange(120))
            yield from self.write(Letter(text, self.devices[sender], self.devices[reader]))
        elif road:
            far = self.dice.random() < self.weather.overtaken_far
            yield from self.deliver(road.pop(self.dice.randrange(len(road) if far else min(len(road), 3))))
        yield from self.upset(self.dice.choice(self.devices))

    def upset(self, device: Device) -> Asking[None]:
        """What happens to a device itself."""
        weather = self.weather
        if self.dice.random() < weather.restarts:
            device.restart()
            self.counts["restarts"] += 1
        if self.dice.random() < weather.forgets_prekeys:
            yield from device.forget_prekeys()
            self.counts["prekeys rotated and forgotten"] += 1
        if self.dice.random() < weather.archives:
            for peer in self.peers(device):
                yield from device.archive(peer)
            self.counts["sessions archived"] += 1
        if self.dice.random() < weather.loses_sessions:
            for peer in self.peers(device):
                yield from device.lose(peer)
            self.counts["sessions lost"] += 1
        if self.dice.random() < weather.re_registers:
            yield from self.register_anew(device)

    def register_anew(self, device: Device) -> Asking[None]:
        """With another key and no session; whoever speaks with it learns that from the signed list."""
        yield from device.re_register()
        self.counts["re-registered"] += 1
        for peer in self.peers(device):
            yield from peer.archive(device)
        for road in self.roads.values():
            for travelling in road:
                travelling.void |= device in {travelling.sender, travelling.reader}
        self.before = [old for old in self.before if device not in {old.sender, old.reader}]

    def peers(self, device: Device) -> list[Device]:
        at = self.devices.index(device)
        return [self.devices[reader] for sender, reader in self.roads if sender == at]

    def road(self, sender: Device, reader: Device) -> list[Travelling]:
        return self.roads[self.devices.index(sender), self.devices.index(reader)]

    def write(self, letter: Letter) -> Asking[None]:
        """One envelope more for this letter, onto the road or lost."""
        sent = yield from letter.sender.send(letter.reader, letter.text)
        if sent is None:  # an older device without a session: the other side begins
            yield from self.greet(letter.reader, letter.sender)
            sent = yield from letter.sender.send(letter.reader, letter.text)
            assert sent is not None
        self.letters += letter.envelopes == 0
        letter.envelopes += 1
        self.counts["messages"] += 1
        travelling = Travelling(letter, sent, letter.sender, letter.reader)
        if self.dice.random() < self.weather.lost:
            self.counts["lost"] += 1
        else:
            self.road(letter.sender, letter.reader).append(travelling)

    def greet(self, sender: Device, reader: Device) -> Asking[None]:
        yield from sender.archive(reader)
        sent = yield from sender.send(reader, b"hello")
        assert sent is not None
        assert (yield from reader.open(sender, sent.sealed)) == b"hello"
        self.counts["messages"] += 1
        self.counts["opened"] += 1

    def deliver(self, travelling: Travelling) -> Asking[None]:
        if travelling.complaint:
            yield from self.hear(travelling)
            return
        if self.dice.random() < self.weather.damaged:
            yield from self.damage(travelling)
        yield from self.open(travelling)
        if self.before and self.dice.random() < self.weather.repeated:
            yield from self.repeat(self.dice.choice(self.before))

    def open(self, travelling: Travelling) -> Asking[None]:
        letter = travelling.letter
        try:
            text = yield from travelling.reader.open(travelling.sender, travelling.sent.sealed)
        except Refused as refused:
            self.counts[f"refused: {refused}"] += 1
            if travelling.void:
                return
            if "Duplicate" in str(refused):
                raise AssertionError("a first delivery was taken for a second") from refused
            complaint = yield from travelling.reader.complain(travelling.sender, travelling.sent.sealed)
            asked = Travelling(letter, Sent(complaint, None), travelling.reader, travelling.sender, complaint=True)
            self.road(travelling.reader, travelling.sender).append(asked)
            return
        assert text == letter.text
        travelling.opened = letter.opened = True
        self.counts["opened"] += 1
        self.before = [*self.before[-20:], travelling]

    def hear(self, asked: Travelling) -> Asking[None]:
        """The sender is asked again: now both know."""
        if asked.void:
            return
        archived = yield from asked.reader.heed(asked.sender, asked.sent.sealed)
        self.counts["asked again"] += 1
        self.counts["sessions archived on request"] += archived
        if asked.letter.envelopes <= MAX_RESENT:
            yield from self.write(asked.letter)

    def repeat(self, old: Travelling) -> Asking[None]:
        try:
            yield from old.reader.open(old.sender, old.sent.sealed)
        except Refused as refused:
            self.counts[f"repeated, refused: {refused}"] += 1
        else:
            raise AssertionError("an envelope has opened twice")

    def damage(self, travelling: Travelling) -> Asking[None]:
        """A damaged copy comes first: outside the seal, or inside, as only the sender could."""
        sealed, made = travelling.sent.sealed, travelling.sent.ciphertext
        sender, reader = travelling.sender, travelling.reader
        if self.dice.random() < 0.5 or travelling.void:
            # The official reader takes any low half of the version byte, which nothing authenticates.
            broken = flipped(sealed, self.dice, first=0 if isinstance(reader, OurDevice) else 1)
        elif made is not None and isinstance(sender, OurDevice):
            broken = sender.seal(reader, damaged(made, self.dice))
        else:
            assert isinstance(reader, OurDevice)
            unsealed = reader.unseal(sender, sealed)
            inside = damaged(SignalCiphertext(unsealed.type, unsealed.body, b""), self.dice)
            self.counts[f"damaged, refused: {reader.refuse(sender, inside)}"] += 1
            return
        try:
            yield from reader.open(sender, broken)
        except Refused as refused:
            self.counts[f"damaged, refused: {refused}"] += 1
        else:
            raise AssertionError("a damaged envelope has opened")

    # --- afterwards ----------------------------------------------------------------------------------------------------

    def settle(self) -> Asking[None]:
        """What still travels arrives; then two round trips, in which everything must have opened again."""
        self.weather = Weather(lost=0, repeated=0, damaged=0, overtaken_far=0, restarts=0)
        yield from self.arrive()
        yield from self.round_trip()
        letters = yield from self.round_trip()
        assert all(letter.opened and letter.envelopes == 1 for letter in letters), "no clean exchange"
        self.counts["conversations settled"] += 1

    def round_trip(self) -> Asking[list[Letter]]:
        letters = []
        for sender, reader in self.roads:
            letters.append(Letter(b"clear sky", self.devices[sender], self.devices[reader]))
            yield from self.write(letters[-1])
            yield from self.arrive()
        return letters

    def arrive(self) -> Asking[None]:
        while waiting := [road for road in self.roads.values() if road]:
            yield from self.deliver(self.dice.choice(waiting).pop(0))


def flipped(data: bytes, dice: random.Random, first: int = 0) -> bytes:
    """With one bit changed, at byte `first` or later."""
    changed = bytearray(data)
    changed[dice.randrange(first, len(data))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def damaged(made: SignalCiphertext, dice: random.Random) -> SignalCiphertext:
    """In the part that the MAC covers; what stands around it in a PreKey message may be bound by nothing."""
    if made.type is not MessageType.PREKEY:
        return msgspec.structs.replace(made, body=flipped(made.body, dice))
    outer = decode_prekey_signal_message(made.body)
    damaged = replace(outer, message=flipped(outer.message, dice))
    return msgspec.structs.replace(made, body=encode_prekey_signal_message(damaged))


# --- many at once ------------------------------------------------------------------------------------------------------

KINDS = (("ours", NEWEST, OLDER), ("ours", "ours", NEWEST), ("ours", NEWEST, NEWEST), ("ours", "ours", OLDER))
"""Who meets whom. Pairs without one of ours keep silent; the last trio has both pairs of ours with an older one."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`epochs`: SPQR exchanges completed with our side as the one that made the KEM key, and with the other;
    `deepest`: the highest epoch of one session."""

    counts: Counter[str]
    epochs: tuple[int, int]
    deepest: int


CALM_SHARE = 0.8
"""Of the messages: a stormy one costs more, and its sessions do not grow old."""


def storms(oracles: dict[str, Oracle], seed: int, messages: int, conversations: int) -> Outcome:
    """`messages` in all, `conversations` side by side: every other one stormy, in turn over the kinds."""
    counts: Counter[str] = Counter()
    talks: list[Asking[None]] = []
    ours: list[OurDevice] = []
    for number in range(conversations):
        rng = SeededRng(f"{seed}/{number}")
        devices = [
            _device(oracles, kind, rng.fork(f"{place}"))
            for place, kind in enumerate(KINDS[number // 2 % len(KINDS)])
        ]  # fmt: skip
        ours += [device for device in devices if isinstance(device, OurDevice)]
        weather, share = ((CALM, CALM_SHARE), (STORM, 1 - CALM_SHARE))[number % 2]
        storm = Storm(devices, weather, random.Random(f"{seed}/{number}"), counts)
        talks.append(storm.run(round(2 * share * messages / conversations)))
    in_step(talks)
    sessions = [told for device in ours for told in device.epochs.values()]
    as_ek_side = sum(epoch // 2 if began else (epoch - 1) // 2 for epoch, began in sessions)
    completed = sum(epoch - 1 for epoch, _ in sessions)
    return Outcome(counts, (as_ek_side, completed - as_ek_side), max(epoch for epoch, _ in sessions))


def _device(oracles: dict[str, Oracle], kind: str, rng: SeededRng) -> Device:
    return OurDevice(rng) if kind == "ours" else OfficialDevice(oracles[kind], kind, rng)


def in_step(talks: Sequence[Asking[None]]) -> None:
    """Let all of them go on together, in two halves: while Node works for one, the other takes its steps."""
    asked = [_go_on(dict.fromkeys(talks[half::2])) for half in (0, 1)]
    half = 0
    answers: list[dict[Asking[None], Answer | None]] = [{}, {}]
    while asked[0] or asked[1]:
        _post(asked[half])
        if answers[1 - half]:
            asked[1 - half] = _go_on(answers[1 - half])
        answers[half] = _collect(asked[half])
        half = 1 - half


def _go_on(answers: dict[Asking[None], Answer | None]) -> dict[Asking[None], Ask]:
    """Each with its answer to its next question; the finished ones fall away."""
    asked = {}
    for talk, answer in answers.items():
        try:
            asked[talk] = next(talk) if answer is None else talk.send(answer)
        except StopIteration:
            continue
    return asked


def _by_oracle(asked: dict[Asking[None], Ask]) -> dict[Oracle, list[tuple[Asking[None], Ask]]]:
    sorted_out: dict[Oracle, list[tuple[Asking[None], Ask]]] = {}
    for talk, ask in asked.items():
        sorted_out.setdefault(ask.oracle, []).append((talk, ask))
    return sorted_out


def _post(asked: dict[Asking[None], Ask]) -> None:
    for oracle, questions in _by_oracle(asked).items():
        oracle.post([(ask.command, ask.facts) for _, ask in questions])


def _collect(asked: dict[Asking[None], Ask]) -> dict[Asking[None], Answer | None]:
    return {
        talk: answer
        for oracle, questions in _by_oracle(asked).items()
        for (talk, _), answer in zip(questions, oracle.collect(), strict=True)
    }
