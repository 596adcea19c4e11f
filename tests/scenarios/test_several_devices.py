"""docs/protocol/delivery.md, "Many devices" and "Own devices": whole nodes of two people with two devices each, one home."""

from pathlib import Path

from mepassa.model.status import ChatState, MessageStatus
from mepassa.ports.stores import MessageKind, PrekeyKind, Tx
from mepassa.protocol import own_devices
from tests.scenarios.household import House, Peer, copied, everyone_home, root_of

Four = tuple[Peer, Peer, Peer, Peer]


def said(peer: Peer, chat: Peer) -> list[str]:
    """What this account has written in that chat, as this device shows it."""
    own = peer.account
    return [row.text for row in peer.screen(chat) if row.sender == own and row.kind is MessageKind.TEXT]


async def four_devices(house: House) -> Four:
    """Ana and Beto, friends, and then a second device of each."""
    ana, beto = await everyone_home(house, "ana", "beto")
    ana2, beto2 = await house.link(ana, "ana2"), await house.link(beto, "beto2")
    await house.at_rest()
    assert [peer.contact(other).state for peer, other in ((ana2, beto), (beto2, ana))] == [ChatState.ACCEPTED] * 2
    return ana, ana2, beto, beto2


def test_a_message_reaches_every_device_of_both_people_once(two_friends: Path, tmp_path: Path) -> None:
    house = copied(two_friends, tmp_path / "house", 3)

    async def scenario() -> None:
        ana, ana2, beto, beto2 = await four_devices(house)
        await ana.send(beto, "de um")
        await house.until(lambda: beto.inbox(ana) == beto2.inbox(ana) == ["de um"], within_s=120)
        await ana2.send(beto, "de outro")
        await house.until(lambda: said(ana, beto) == said(ana2, beto) == ["de um", "de outro"], within_s=120)
        await house.at_rest()
        assert beto.inbox(ana) == beto2.inbox(ana) == ["de um", "de outro"]
        assert ana.statuses(beto) == ana2.statuses(beto) == [MessageStatus.DELIVERED] * 2
        last, account = beto2.screen(ana)[-1].id, ana.account
        await beto2.ask(lambda messenger: messenger.mark_read(account, last))
        await house.at_rest()
        assert ana.statuses(beto) == ana2.statuses(beto) == [MessageStatus.READ] * 2
        assert [peer.look(lambda tx: tx.unread(account)) for peer in (beto, beto2)] == [0, 0]

    house.run(scenario)


def test_a_device_that_was_off_gets_its_copies_from_its_own_mailbox(two_friends: Path, tmp_path: Path) -> None:
    house = copied(two_friends, tmp_path / "house", 4)

    async def scenario() -> None:
        ana, ana2, beto, beto2 = await four_devices(house)
        await ana.send(beto, "sessões")
        await house.at_rest()
        ana2.crash()
        beto2.crash()
        await ana.send(beto, "um")
        await beto.send(ana, "dois")
        await house.until(lambda: ana.statuses(beto)[-1] is MessageStatus.DELIVERED, within_s=120)
        await house.until(lambda: not ana.waiting() and not beto.waiting(), within_s=120)
        ana2.boot()
        beto2.boot()
        await house.until(lambda: said(ana2, beto) == beto2.inbox(ana) == ["sessões", "um"], within_s=120)
        await house.until(lambda: said(beto2, ana) == ana2.inbox(beto) == ["dois"], within_s=120)
        await house.at_rest()
        assert {peer.screen(other)[-1].kind for peer, other in ((ana2, beto), (beto2, ana))} == {MessageKind.TEXT}

    house.run(scenario)


def test_a_removed_device_is_let_in_nowhere_and_a_crash_of_the_primary_loses_no_list(
    two_friends: Path, tmp_path: Path
) -> None:
    house = copied(two_friends, tmp_path / "house", 5)

    async def scenario() -> None:
        ana, ana2, beto, _ = await four_devices(house)
        assert ana.node is not None
        root, now_ms, number = root_of("ana"), house.clock.now_ms(), ana2.look(lambda tx: tx.own()).address.device

        def remove(tx: Tx) -> None:
            own_devices.remove_device(tx, root, number, now_ms, house.rng)

        await ana.node.db.run(remove)
        ana.crash()  # committed, and nobody told
        ana.boot()
        await house.until(lambda: ana2.node is not None and not ana2.node.is_logged_in, within_s=600)
        await ana.send(beto, "só dos que ficam")
        await house.until(lambda: ana.statuses(beto) == [MessageStatus.DELIVERED], within_s=600)
        assert said(ana2, beto) == []
        key = ana.look(lambda tx: tx.own()).profile_key
        await house.until(lambda: beto.contact(ana).profile_key == key, within_s=600)
        ana2.crash()

    house.run(scenario)


def test_a_device_without_prekeys_does_not_use_up_those_of_the_others(two_friends: Path, tmp_path: Path) -> None:
    """Listed, and never switched on: what waits for it is tried again, and asks the home for its prekeys alone."""
    house = copied(two_friends, tmp_path / "house", 6)

    async def scenario() -> None:
        ana, beto = await everyone_home(house, "ana", "beto")
        device = own_devices.new_device(house.rng)
        root, now_ms = root_of("beto"), house.clock.now_ms()

        def add(tx: Tx) -> None:
            own_devices.add_device(tx, root, device.key.public, device.registration_id, now_ms, house.rng)

        assert beto.node is not None
        await beto.node.db.run(add)
        beto.node.upkeep.wake()
        await beto.send(ana, "tenho outro aparelho")
        await house.until(lambda: ana.contact(beto).list_version > 0 and len(ana.outbox()) >= 1, within_s=300)
        await ana.send(beto, "aos dois")
        await house.until(lambda: ana.statuses(beto) == [MessageStatus.DELIVERED], within_s=300)
        left = beto.look(lambda tx: tx.prekey_count(PrekeyKind.ONE_TIME))
        await house.until(lambda: any(row.attempts > 20 for row in ana.outbox()), within_s=10 * 3600, every_s=60)
        assert {row.to.device for row in ana.outbox()} == {2}
        assert house.home is not None
        handed = house.home.counters.prekeys_fetched
        assert beto.look(lambda tx: tx.prekey_count(PrekeyKind.ONE_TIME)) == left
        assert handed <= 3

    house.run(scenario)
