"""Whole peers, a real home, virtual time: each test is a sentence that must be true (docs/protocol/delivery.md)."""

from pathlib import Path

from mepassa.model.status import ChatState, MessageStatus
from mepassa.ports.stores import InviteKind
from tests.scenarios.household import House


def test_request_accept_and_receipts(tmp_path: Path) -> None:
    house = House(tmp_path, seed=1)

    async def scenario() -> None:
        await house.start_home()
        ana, beto = await house.move_in("ana"), await house.move_in("beto")
        invite = await beto.ask(lambda messenger: messenger.create_invite(InviteKind.LINK))
        await house.at_rest()
        await ana.ask(lambda messenger: messenger.add_contact(invite.link))
        await ana.send(beto, "oi, é a Ana")
        await house.until(lambda: beto.inbox(ana) == ["oi, é a Ana"])
        assert beto.contact(ana).state is ChatState.REQUEST
        assert ana.statuses(beto) == [MessageStatus.STORED]
        await beto.ask(lambda messenger: messenger.accept(ana.account))
        await house.until(lambda: ana.statuses(beto) == [MessageStatus.DELIVERED])
        await house.at_rest()

    house.run(scenario)
