"""docs/protocol/delivery.md, "Healing": whatever a finite storm did, two round trips later both sides understand each other.

A storm loses, repeats, reorders and damages envelopes, cuts the power, and puts databases back from older copies, noticed
by the home or not. Afterwards everything that stands in an outbox arrives, once, and then there is silence.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from mepassa.model.envelope import SealedEnvelope
from mepassa.model.errors import MepassaError
from mepassa.model.ids import MessageId
from mepassa.model.prekeys import PrekeyBundle
from mepassa.ports.mailbox import FetchedAccount
from mepassa.ports.stores import MessageKind, OutboxRow, PrekeyKind, PrekeyRow, Tx
from mepassa.protocol import delivery, healing
from mepassa.protocol.account import begin_run, local_identity, roll_forward, run_counter
from mepassa.protocol.healing import MAX_REQUESTS_PER_ENVELOPE
from mepassa.protocol.own_prekeys import stock_up
from mepassa.protocol.prekeys import publish_kyber, publish_one_time, publish_signed
from mepassa.protocol.status import StatusEvent
from tests.protocol.phones import DIRECT, STORED, Phone, befriend, settle

SEEDS = int(os.environ.get("MEPASSA_SEEDS", "12"))
"""More of them overnight: MEPASSA_SEEDS=2000 ./dev run pytest tests/protocol/test_convergence.py"""
STEPS = 60
ROUND_TRIPS = 2
MAX_RESTORES = 6
"""A storm is finite: more resets than a day allows would heal tomorrow."""


@dataclass
class Side:
    """A phone, what its home knows of it, and the copies that somebody made."""

    phone: Phone
    folder: Path
    known_run: int = 0
    shelf: dict[PrekeyKind, list[PrekeyRow]] = field(default_factory=dict)
    copies: list[Path] = field(default_factory=list)
    under_way: list[SealedEnvelope] = field(default_factory=list)
    """Sealed for this side and not taken yet."""

    def log_in(self) -> None:
        """The home compares runs, and takes the prekeys that it lacks; after a roll-back it drops what it had."""
        phone = self.phone
        counter = phone.db.run_now(begin_run)
        if counter <= self.known_run:
            known = self.known_run
            phone.db.run_now(lambda tx: roll_forward(tx, known))
            self.shelf = {}
        phone.db.run_now(lambda tx: stock_up(tx, phone.now, phone.rng))
        self.known_run = phone.db.run_now(run_counter)
        if not self.shelf:
            kinds = (PrekeyKind.ONE_TIME, PrekeyKind.KYBER_ONE_TIME, PrekeyKind.SIGNED)
            self.shelf = {kind: list(phone.db.run_now(lambda tx: tx.prekeys(kind))) for kind in kinds}

    def bundle(self) -> FetchedAccount:
        """What its home hands out: from the shelf, each one-time key once, whatever the phone has become meanwhile."""
        own = self.phone.db.run_now(lambda tx: tx.own())
        me = local_identity(own)
        bundle = PrekeyBundle(
            device=own.address.device,
            registration_id=own.registration_id,
            identity_key=own.identity_key,
            signed_prekey=publish_signed(me, self.shelf[PrekeyKind.SIGNED][-1]),
            kyber_prekey=publish_kyber(me, self.shelf[PrekeyKind.KYBER_ONE_TIME].pop(0)),
            one_time_prekey=publish_one_time(self.shelf[PrekeyKind.ONE_TIME].pop(0)),
        )
        return FetchedAccount(own.device_list, (bundle,))

    def back_up(self) -> None:
        self.phone.reopen()
        folder = self.folder / f"{self.phone.name}-{len(self.copies)}"
        folder.mkdir(parents=True)
        for path in self.phone.path.parent.glob(self.phone.path.name + "*"):
            shutil.copy(path, folder)
        self.copies.append(folder)

    def restore(self, copy: Path) -> None:
        phone = self.phone
        phone.db.close()
        for path in phone.path.parent.glob(phone.path.name + "*"):
            path.unlink()
        for path in copy.iterdir():
            shutil.copy(path, phone.path.parent)
        phone.reopen()


class Storm:
    """Two sides and one seed."""

    def __init__(self, ana: Phone, beto: Phone, folder: Path, seed: int) -> None:
        self.dice, self.restores = Random(seed), 0
        self.sides = (Side(ana, folder), Side(beto, folder))
        for side in self.sides:
            side.log_in()
            side.back_up()

    def rage(self) -> None:
        moves: tuple[Callable[[Side, Side], None], ...] = (
            *(self.write,) * 4, *(self.leave,) * 5, *(self.take,) * 6, self.lose, self.damage, self.repeat,
            self.power_cut, self.back_up, self.restore, self.log_in, self.wait,
        )  # fmt: skip
        for number in range(STEPS):
            one, other = self.sides if self.dice.random() < 0.5 else self.sides[::-1]
            self.number = number
            self.dice.choice(moves)(one, other)

    # --- what happens in a storm -------------------------------------------------------------------------------------

    def write(self, one: Side, other: Side) -> None:
        one.phone.write(other.phone, f"{one.phone.name} {self.number}")

    def leave(self, one: Side, other: Side) -> None:
        """What is sealed goes on its way; whether the sender hears that it was stored is a matter of luck."""
        for row in self.ready(one, other):
            assert row.envelope is not None
            other.under_way.append(row.envelope)
            if self.dice.random() < 0.8:
                one.phone.taken(row, StatusEvent.DEPOSIT_SYNCED, STORED)

    def ready(self, one: Side, other: Side) -> tuple[OutboxRow, ...]:
        phone, account = one.phone, other.phone.account
        ready = phone.db.run_now(lambda tx: delivery.prepare(tx, account, phone.now, phone.rng))
        if ready is not None and ready.lacks_session:
            fetched = other.bundle()
            phone.db.run_now(lambda tx: delivery.start_sessions(tx, account, fetched, phone.now, phone.rng))
            ready = phone.db.run_now(lambda tx: delivery.prepare(tx, account, phone.now, phone.rng))
        return ready.rows if ready is not None else ()

    def take(self, one: Side, _other: Side) -> None:
        if one.under_way:
            one.phone.take(one.under_way.pop(self.dice.randrange(len(one.under_way))))

    def lose(self, one: Side, _other: Side) -> None:
        if one.under_way:
            one.under_way.pop(self.dice.randrange(len(one.under_way)))

    def damage(self, one: Side, _other: Side) -> None:
        if one.under_way:
            raw = bytearray(one.under_way[-1].raw)
            raw[self.dice.randrange(len(raw))] ^= 1 << self.dice.randrange(8)
            one.under_way.append(SealedEnvelope(bytes(raw)))

    def repeat(self, one: Side, _other: Side) -> None:
        if one.under_way:
            one.under_way.append(self.dice.choice(one.under_way))

    def power_cut(self, one: Side, _other: Side) -> None:
        """In the middle of taking something: what was not committed never happened."""
        if one.under_way:
            envelope = one.under_way[-1]

            def cut(tx: Tx) -> None:
                healing.ask_again(tx, one.phone.now, one.phone.rng)
                tx.put_seen(envelope.id, one.phone.now)
                raise PowerCut

            with pytest.raises(PowerCut):
                one.phone.db.run_now(cut)
        one.phone.reopen()

    def back_up(self, one: Side, _other: Side) -> None:
        one.back_up()

    def restore(self, one: Side, _other: Side) -> None:
        if self.restores < MAX_RESTORES:
            self.restores += 1
            one.restore(self.dice.choice(one.copies))

    def log_in(self, one: Side, _other: Side) -> None:
        one.log_in()

    def wait(self, one: Side, _other: Side) -> None:
        one.phone.clock.advance(self.dice.uniform(1, 4000))
        one.phone.db.run_now(lambda tx: healing.ask_again(tx, one.phone.now, one.phone.rng))

    # --- and after it ------------------------------------------------------------------------------------------------

    def round_trip(self) -> int:
        """Everything goes there, and back. Returns how many envelopes that were."""
        carried = 0
        for one, other in (self.sides, self.sides[::-1]):
            one.phone.clock.advance(0.05)  # the way takes a while
            for row in self.ready(one, other):
                assert row.envelope is not None
                one.phone.taken(row, StatusEvent.DEPOSIT_SYNCED, STORED)
                other.phone.take(row.envelope)
                carried += 1
        return carried


class PowerCut(MepassaError):
    pass


def waiting_texts(side: Side) -> set[MessageId]:
    """Texts that stand in this outbox."""
    kept = [row.message_id for row in side.phone.outbox() if row.message_id is not None]
    rows = [side.phone.db.run_now(lambda tx: tx.message(known)) for known in kept]
    return {row.id for row in rows if row is not None and row.kind is MessageKind.TEXT}


@pytest.mark.parametrize("seed", range(SEEDS))
def test_after_any_storm_two_round_trips_heal_everything(seed: int, ana: Phone, beto: Phone, tmp_path: Path) -> None:
    befriend(ana, beto)
    settle(ana, beto, route=DIRECT)
    storm = Storm(ana, beto, tmp_path / "copies", seed)
    storm.rage()
    ana.clock.advance(61)  # one reset a minute is the storm's share; the calm has its own
    for side in storm.sides:
        side.under_way.clear()  # lost at last
        side.log_in()
        storm.write(side, storm.sides[side is storm.sides[0]])
    expected = [waiting_texts(side) for side in storm.sides]
    unopened = ana.unopened(beto) + beto.unopened(ana)
    rows = ana.waiting() + beto.waiting()
    carried = sum(storm.round_trip() for _ in range(ROUND_TRIPS))
    for side, other, texts in zip(storm.sides, storm.sides[::-1], expected, strict=True):
        shown = [row.id for row in other.phone.screen(side.phone) if row.kind is MessageKind.TEXT]
        assert {known for known in texts if shown.count(known) != 1} == set(), f"seed {seed}"
    for _ in range(30):
        ana.clock.advance(1800)
        for side in storm.sides:
            phone = side.phone
            phone.db.run_now(lambda tx: healing.ask_again(tx, phone.now, phone.rng))
        carried += storm.round_trip()
    print(f"seed {seed}: {storm.restores} restored, {unopened} unopened, {rows} waited, {carried} envelopes to silence")
    # Each envelope that would not open is asked for and answered at most three times; each content has one receipt.
    assert carried <= 2 * (rows + 2) + 2 * 2 * MAX_REQUESTS_PER_ENVELOPE * (unopened + rows)
    assert storm.round_trip() == 0, "then there is silence"
    assert ana.waiting() == beto.waiting() == 0
