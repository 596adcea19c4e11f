"""docs/protocol/session.md, "Prekeys": no crash leaves a session beside the one-time prekeys that made it, or neither."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mepassa.ports.stores import PrekeyKind, Tx
from mepassa.protocol import inbound
from mepassa.protocol.prekeys import ConsumedPrekeys
from tests.scenarios.household import Peer, copied, everyone_home, link_of

TEXT = "a primeira"


@dataclass
class Found:
    """What lay in Beto's file just after a crash: his sessions, and the one-time prekeys that were gone."""

    sessions: int
    ec_spent: int
    kyber_spent: int

    @property
    def hangs_together(self) -> bool:
        return self.sessions == self.ec_spent == self.kyber_spent


@dataclass
class Ending:
    steps: int
    shown: list[str]
    last: Found
    at_crash: list[Found] = field(default_factory=list)

    @property
    def is_right(self) -> bool:
        return self.shown == [TEXT] and all(found.hangs_together for found in (self.last, *self.at_crash))


def look(beto: Peer) -> Found:
    def work(tx: Tx) -> Found:
        # Each kind's numbers rise by one: what was made and is not there any more has been spent.
        gone = [
            max(row.id for row in rows) - len(rows)
            for rows in (tx.prekeys(PrekeyKind.ONE_TIME), tx.prekeys(PrekeyKind.KYBER_ONE_TIME))
        ]
        return Found(len(tx.sessions()), *gone)

    return beto.look(work)


def story(template: Path, folder: Path, step: int | None) -> Ending:
    """Ana writes to Beto for the first time; he crashes at one step while it comes."""
    house = copied(template, folder, 5)
    at_crash: list[Found] = []

    async def scenario() -> Ending:
        ana, beto = await everyone_home(house, "ana", "beto")
        link = await link_of(beto)
        await ana.ask(lambda messenger: messenger.add_contact(link))
        before = house.world.steps["beto"]

        def on_crash() -> None:
            beto.after_crash()
            at_crash.append(look(beto))
            house.world.call_later(1, beto.boot)

        if step is not None:
            house.world.crash_at("beto", before + step, on_crash)
        await ana.send(beto, TEXT)
        await house.until(lambda: beto.inbox(ana) == [TEXT] and beto.node is not None, within_s=900)
        steps = house.world.steps["beto"] - before
        await house.at_rest(within_s=900)
        return Ending(steps, beto.inbox(ana), look(beto), at_crash)

    try:
        return house.run(scenario)
    finally:
        shutil.rmtree(folder)


@pytest.mark.slow
def test_a_crash_while_a_first_message_comes_spends_prekeys_with_their_session(
    two_strangers: Path, tmp_path: Path
) -> None:
    calm = story(two_strangers, tmp_path / "calm", None)
    assert calm.is_right
    assert calm.last == Found(1, 1, 1)
    endings = [story(two_strangers, tmp_path / "story", step) for step in range(1, calm.steps + 1)]
    assert [ending for ending in endings if not ending.is_right or ending.last != calm.last] == []
    found = [found for ending in endings for found in ending.at_crash]
    assert Found(0, 0, 0) in found, "no crash fell before the commit"
    assert Found(1, 1, 1) in found, "no crash fell after the commit"
    print(f"crash points: {len(found)}")


@pytest.mark.slow
def test_a_session_that_is_kept_before_its_prekeys_are_spent_is_caught(
    two_strangers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted fault: spending is left to a later transaction."""
    later: list[ConsumedPrekeys] = []
    monkeypatch.setattr(inbound, "consume", lambda _tx, consumed: later.append(consumed))
    assert not story(two_strangers, tmp_path / "story", None).is_right
    assert later
