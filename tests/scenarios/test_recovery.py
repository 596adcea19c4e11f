"""docs/protocol/identity.md, "Recovery", whole: a home, two friends, and one of them back from 24 words on a new device."""

import asyncio
from pathlib import Path

from mepassa.client.account import recover_account
from mepassa.client.device_lists import LOOKED_AT_EVERY_S
from mepassa.identity import decode_device_list, decode_recovery_phrase, encode_recovery_phrase
from mepassa.model.device_list import SignedDeviceList
from mepassa.model.errors import MepassaError
from mepassa.model.status import ChatState, MessageStatus
from mepassa.protocol.alarms import Alarm
from mepassa.protocol.removal import learn_own_list
from mepassa.storage import InlineDb
from mepassa.transports.mailbox import LoginRefusedError, Recovery, recover
from tests.scenarios.household import DATABASE_KEY, HOME, House, Peer, befriend, link_of, root_of


async def come_back(house: House, lost: Peer) -> Peer:
    """`lost` again, from words alone, on another file: its old device goes on where it is."""
    root = decode_recovery_phrase(encode_recovery_phrase(root_of(lost.name)))
    name, path = f"{lost.name} again", house.folder / f"{lost.name}-again.db"
    rng = house.rng.fork(name)
    db = InlineDb(path, DATABASE_KEY, create=True, synchronous="OFF")

    async def renew(known: SignedDeviceList) -> SignedDeviceList:
        own = await recover_account(db, root=root, home=HOME, name=lost.name, known=known, clock=house.clock, rng=rng)
        return own.device_list

    recovery = Recovery(root.public, lambda *nonces: root.sign_recovery(HOME.key, *nonces), renew)
    await recover(house.network.dialer(name), HOME, recovery, clock=house.clock, rng=rng)
    db.close()
    peer = house.peers[name] = Peer(name, house, path)
    peer.boot()
    await house.until(peer.is_known)
    return peer


async def two_friends_at_home(house: House) -> tuple[Peer, Peer]:
    await house.start_home()
    ana, beto = await house.move_in("ana"), await house.move_in("beto")
    await befriend(ana, beto)
    return ana, beto


def lose(peer: Peer) -> None:
    """For good."""
    peer.crash()
    del peer.house.peers[peer.name]


async def accept(peer: Peer, other: Peer) -> None:
    await house_until_request(peer, other)
    await peer.ask(lambda messenger: messenger.accept(other.account))


async def house_until_request(peer: Peer, other: Peer) -> None:
    account = other.account

    def asked() -> bool:
        contact = peer.look(lambda tx: tx.contact(account))
        return contact is not None and contact.state is ChatState.REQUEST

    await peer.house.until(asked)


def test_somebody_who_lost_every_device_comes_back_and_both_talk_again(tmp_path: Path) -> None:
    """Beto writes to devices that are gone; his words arrive once, the newest as a request, and all goes on from there."""
    house = House(tmp_path, seed=31)

    async def scenario() -> None:
        ana, beto = await two_friends_at_home(house)
        await ana.send(beto, "antes")
        await house.at_rest()
        lose(ana)
        await beto.send(ana, "guardada no servidor")
        await house.until(lambda: beto.statuses(ana)[-1] is MessageStatus.STORED)

        again = await come_back(house, ana)
        assert again.account == ana.account
        assert again.look(lambda tx: tx.contacts()) == (), "contacts do not come with the words"
        await beto.send(ana, "escrita depois")
        await accept(again, beto)
        await house.until(lambda: again.inbox(beto) == ["guardada no servidor", "escrita depois"])
        assert Alarm.ACCOUNT_RECOVERED in beto.alarms()
        await house.until(lambda: beto.contact(again).state is ChatState.ACCEPTED)
        await again.send(beto, "voltei")
        await beto.send(again, "que bom")
        await house.until(lambda: again.inbox(beto)[-1:] == ["que bom"])
        await house.at_rest()
        assert beto.inbox(again) == ["antes", "voltei"]
        assert set(beto.statuses(again)) == {MessageStatus.DELIVERED}
        assert beto.look(lambda tx: [peer.device for peer in tx.sessions() if peer.account == ana.account])[-1] == 2

    house.run(scenario)


def test_a_contact_who_never_writes_learns_of_it_within_a_day(tmp_path: Path) -> None:
    house = House(tmp_path, seed=32)

    async def scenario() -> None:
        ana, beto = await two_friends_at_home(house)
        lose(ana)
        again = await come_back(house, ana)
        await asyncio.sleep(2 * LOOKED_AT_EVERY_S)
        devices = beto.contact(again).device_list
        assert devices == again.look(lambda tx: tx.own()).device_list
        assert [entry.device for entry in decode_device_list(devices.body).devices] == [2]
        assert beto.alarms() == [Alarm.ACCOUNT_RECOVERED]

    house.run(scenario)


def test_whoever_is_back_and_uses_a_contacts_link_is_a_contact_at_once(tmp_path: Path) -> None:
    house = House(tmp_path, seed=33)

    async def scenario() -> None:
        ana, beto = await two_friends_at_home(house)
        lose(ana)
        again = await come_back(house, ana)
        link = await link_of(beto)
        await again.ask(lambda messenger: messenger.add_contact(link))
        await again.send(beto, "voltei")
        await house.until(lambda: again.contact(beto).state is ChatState.ACCEPTED)
        assert beto.inbox(again) == ["voltei"]
        assert beto.contact(again).state is ChatState.ACCEPTED
        await beto.send(again, "que bom")
        await house.until(lambda: again.inbox(beto) == ["que bom"])

    house.run(scenario)


def test_the_old_device_is_let_in_no_more_and_is_told_why_by_its_own_root_key(tmp_path: Path) -> None:
    house = House(tmp_path, seed=34)

    async def scenario() -> None:
        ana, beto = await two_friends_at_home(house)
        again = await come_back(house, ana)

        def trouble() -> MepassaError | None:
            return ana.node.own_home.trouble if ana.node is not None and ana.node.own_home is not None else None

        await house.until(lambda: isinstance(trouble(), LoginRefusedError))
        signed = again.look(lambda tx: tx.own()).device_list
        assert ana.look(lambda tx: learn_own_list(tx, signed))
        assert ana.alarms() == [Alarm.DEVICE_REMOVED]
        # What it sends all the same reaches nobody who has asked since.
        await beto.send(again, "para o aparelho novo")
        await house_until_request(again, beto)
        assert ana.inbox(beto) == []

    house.run(scenario)
