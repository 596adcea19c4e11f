"""docs/protocol/delivery.md, "Runs, copies, roll-back": a home that says "rolled back" without end costs two set-ups an hour."""

import asyncio
from pathlib import Path

from mepassa.client.run import AGAIN_AFTER_S
from mepassa.model.ids import RunId
from mepassa.model.status import MessageStatus
from mepassa.ports.stores import PrekeyKind
from mepassa.protocol.account import run_counter
from mepassa.server.directory.accounts import Directory, LoginState
from mepassa.transports.mailbox.own import RUN_INTERVAL_S
from tests.scenarios.household import House, Peer, copied, everyone_home


class Liar:
    """Stands before a home's directory: to this device it says "rolled back", `above` what the device tells."""

    def __init__(self, directory: Directory, above: int) -> None:
        self._directory, self._above = directory, above
        self.said = 0
        self.honest_log_in = directory.log_in

    async def log_in(self, mailbox: int, counter: int, run_id: RunId) -> tuple[LoginState, int]:
        self.said += 1
        return LoginState.ROLLED_BACK, counter + self._above


def lies(house: House, above: int) -> Liar:
    assert house.home is not None
    liar = Liar(house.home.directory, above)
    house.home.directory.log_in = liar.log_in  # type: ignore[method-assign]  # the home is the attacker here
    return liar


def prekey_ids(peer: Peer) -> set[int]:
    return {row.id for row in peer.look(lambda tx: tx.prekeys(PrekeyKind.ONE_TIME))}


def test_a_home_that_says_rolled_back_without_end_changes_one_thing_an_hour(two_friends: Path, tmp_path: Path) -> None:
    house = copied(two_friends, tmp_path / "house", seed=31)

    async def scenario() -> None:
        ana, beto = await everyone_home(house, "ana", "beto")
        ana.crash()
        liar = lies(house, above=5)
        ana.boot()
        await asyncio.sleep(60)
        after_one = prekey_ids(ana)
        counter = ana.look(run_counter)
        await asyncio.sleep(300)
        assert liar.said > 10, "it went on trying"
        assert (prekey_ids(ana), ana.look(run_counter)) == (after_one, counter)
        assert ana.alarms() == ["state_rolled_back"]
        assert ana.node is not None
        assert ana.node.own_home is not None
        assert ana.node.own_home.trouble is not None
        assert ana.node.own_home.trouble.code == "RolledBackAgainError"
        await asyncio.sleep(AGAIN_AFTER_S)
        assert ana.look(run_counter) > counter
        assert not after_one & prekey_ids(ana)
        assert len(ana.alarms()) <= 2
        assert house.home is not None
        house.home.directory.log_in = liar.honest_log_in  # type: ignore[method-assign]  # and comes to its senses
        await house.until(lambda: ana.node is not None and ana.node.is_logged_in)
        await ana.send(beto, "voltei")
        await house.until(lambda: ana.statuses(beto) == [MessageStatus.DELIVERED])

    house.run(scenario)


def test_a_counter_below_our_own_is_a_lie_and_costs_nothing(two_friends: Path, tmp_path: Path) -> None:
    house = copied(two_friends, tmp_path / "house", seed=32)

    async def scenario() -> None:
        (ana,) = await everyone_home(house, "ana")
        ana.crash()
        before = prekey_ids(ana)
        liar = lies(house, above=-1)
        ana.boot()
        await asyncio.sleep(300)
        assert liar.said > 10
        assert prekey_ids(ana) == before
        assert ana.alarms() == []

    house.run(scenario)


def test_the_highest_counter_that_can_be_said_leaves_room_for_runs(two_friends: Path, tmp_path: Path) -> None:
    """2^52 is the highest on the wire; our own may go to 2^53."""
    house = copied(two_friends, tmp_path / "house", seed=33)

    async def scenario() -> None:
        (ana,) = await everyone_home(house, "ana")
        ana.crash()
        counter = ana.look(run_counter)
        liar = lies(house, above=2**52 - counter - 1)
        ana.boot()
        await asyncio.sleep(60)
        assert ana.look(run_counter) == 2**52 + 1
        assert house.home is not None
        house.home.directory.log_in = liar.honest_log_in  # type: ignore[method-assign]  # no attacker any more
        await house.until(lambda: ana.node is not None and ana.node.is_logged_in)
        await asyncio.sleep(RUN_INTERVAL_S + 1)
        assert ana.look(run_counter) > 2**52 + 1, "it went on rising, and was told"
        assert ana.node is not None
        assert ana.node.is_logged_in

    house.run(scenario)
