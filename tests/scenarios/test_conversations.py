"""Whole peers, a real home, virtual time: each test is a sentence that must be true (docs/protocol/delivery.md)."""

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mepassa.identity import decode_device_list, next_version, sign_device_list
from mepassa.model.device_list import DeviceList
from mepassa.model.envelope import SealedEnvelope
from mepassa.model.errors import HomeUnreachableError, TokenRefusedError
from mepassa.model.ids import Address, Timestamp
from mepassa.model.status import ChatState, MessageStatus
from mepassa.ports.stores import InviteKind, MessageKind, Tx
from mepassa.protocol.account import local_identity, sender_certificate
from mepassa.protocol.sealing import open_sealed, seal
from mepassa.protocol.session import MessageType
from mepassa.protocol.tokens import token_for
from mepassa.transports.mailbox import SealedHomes
from tests.scenarios.household import HOME, House, Peer, befriend, copied, everyone_home, link_of, root_of

DELIVERED = MessageStatus.DELIVERED


def test_request_accept_and_receipts(tmp_path: Path) -> None:
    house = House(tmp_path, seed=1)

    async def scenario() -> None:
        await house.start_home()
        ana, beto = await house.move_in("ana"), await house.move_in("beto")
        link = await link_of(beto)
        await ana.ask(lambda messenger: messenger.add_contact(link))
        await ana.send(beto, "oi, é a Ana")
        await house.until(lambda: beto.inbox(ana) == ["oi, é a Ana"])
        assert beto.contact(ana).state is ChatState.REQUEST
        await asyncio.sleep(60)
        assert ana.statuses(beto) == [MessageStatus.STORED], "a stranger gets no receipt"
        await beto.ask(lambda messenger: messenger.accept(ana.account))
        await house.until(lambda: ana.statuses(beto) == [DELIVERED])
        await beto.send(ana, "oi!")
        await house.until(lambda: beto.statuses(ana) == [DELIVERED])
        await house.at_rest()

    house.run(scenario)


@pytest.mark.slow
def test_a_message_sent_while_beto_sleeps_three_days_arrives_once_when_he_wakes(
    two_friends: Path, tmp_path: Path
) -> None:
    house = copied(two_friends, tmp_path / "house", seed=2)

    async def scenario() -> None:
        ana, beto = await everyone_home(house, "ana", "beto")
        beto.crash()
        await ana.send(beto, "chegou?")
        await asyncio.sleep(3 * 86_400)
        assert ana.statuses(beto) == [MessageStatus.STORED]
        beto.boot()
        await house.until(lambda: beto.inbox(ana) == ["chegou?"])
        await house.until(lambda: ana.statuses(beto) == [DELIVERED])
        await house.at_rest()

    house.run(scenario)


def test_while_the_home_is_down_messages_wait_and_then_all_arrive(two_friends: Path, tmp_path: Path) -> None:
    house = copied(two_friends, tmp_path / "house", seed=3)

    async def scenario() -> None:
        ana, beto = await everyone_home(house, "ana", "beto")
        house.stop_home()
        texts = [f"sem casa {number}" for number in range(5)]
        for text in texts:
            await ana.send(beto, text)
        await asyncio.sleep(600)
        assert ana.statuses(beto) == [MessageStatus.QUEUED] * 5
        await house.start_home()
        await house.until(lambda: beto.inbox(ana) == texts, within_s=400)
        await house.until(lambda: ana.statuses(beto) == [DELIVERED] * 5)

    house.run(scenario)


def test_two_requests_that_cross_make_one_friendship(tmp_path: Path) -> None:
    house = House(tmp_path, seed=4)

    async def scenario() -> None:
        await house.start_home()
        ana, beto = await house.move_in("ana"), await house.move_in("beto")
        to_beto, to_ana = await link_of(beto), await link_of(ana)
        await asyncio.gather(
            ana.ask(lambda messenger: messenger.add_contact(to_beto)),
            beto.ask(lambda messenger: messenger.add_contact(to_ana)),
        )
        await asyncio.gather(ana.send(beto, "da Ana"), beto.send(ana, "do Beto"))
        await house.until(lambda: ana.statuses(beto) == beto.statuses(ana) == [DELIVERED])
        assert (ana.inbox(beto), beto.inbox(ana)) == (["do Beto"], ["da Ana"])
        assert {ana.contact(beto).state, beto.contact(ana).state} == {ChatState.ACCEPTED}
        await house.at_rest()

    house.run(scenario)


def test_friends_who_write_first_at_the_same_moment_settle_on_a_session(two_friends: Path, tmp_path: Path) -> None:
    house = copied(two_friends, tmp_path / "house", seed=5)

    async def scenario() -> None:
        ana, beto = await everyone_home(house, "ana", "beto")
        for number in range(10):
            await asyncio.gather(ana.send(beto, f"a{number}"), beto.send(ana, f"b{number}"))
            await asyncio.sleep(house.rng.uniform(0, 3))
        await house.until(lambda: ana.statuses(beto) == beto.statuses(ana) == [DELIVERED] * 10)
        assert ana.inbox(beto) == [f"b{number}" for number in range(10)]
        assert beto.inbox(ana) == [f"a{number}" for number in range(10)]

    house.run(scenario)


def test_whoever_is_blocked_is_neither_heard_nor_told(two_friends: Path, tmp_path: Path) -> None:
    house = copied(two_friends, tmp_path / "house", seed=6)

    async def scenario() -> None:
        ana, beto = await everyone_home(house, "ana", "beto")
        await beto.ask(lambda messenger: messenger.block(ana.account))
        await ana.send(beto, "alô?")
        await asyncio.sleep(3600)
        assert beto.inbox(ana) == []
        assert ana.statuses(beto)[0] in {MessageStatus.QUEUED, MessageStatus.STORED}
        assert beto.waiting() == 0

    house.run(scenario)


@pytest.mark.slow
def test_a_link_is_used_twenty_times_and_then_no_more(tmp_path: Path) -> None:
    house = House(tmp_path, seed=7)

    async def scenario() -> None:
        await house.start_home()
        ana = await house.move_in("ana")
        link = await link_of(ana)
        for number in range(20):
            guest = await house.move_in(f"guest{number}")
            await guest.ask(lambda messenger: messenger.add_contact(link))
            await guest.send(ana, f"convidado {number}")
            await house.until(lambda: bool(ana.inbox(guest)))
            guest.crash()
            del house.peers[guest.name]
        await house.until(ana.is_known)
        late = await house.move_in("late")
        with pytest.raises(TokenRefusedError):
            await late.ask(lambda messenger: messenger.add_contact(link))

    house.run(scenario)


def test_a_qr_code_is_used_once(tmp_path: Path) -> None:
    house = House(tmp_path, seed=8)

    async def scenario() -> None:
        await house.start_home()
        ana, beto, caio = [await house.move_in(name) for name in ("ana", "beto", "caio")]
        link = await link_of(ana, InviteKind.QR)
        await beto.ask(lambda messenger: messenger.add_contact(link))
        await house.until(lambda: beto.contact(ana).state is ChatState.ACCEPTED)
        await house.until(ana.is_known)
        with pytest.raises(TokenRefusedError):
            await caio.ask(lambda messenger: messenger.add_contact(link))

    house.run(scenario)


def test_nobody_contacts_a_strangers_home_before_the_person_accepts(tmp_path: Path) -> None:
    house = House(tmp_path, seed=9)

    async def scenario() -> None:
        await house.start_home()
        ana, beto = await house.move_in("ana"), await house.move_in("beto")
        link = await link_of(beto)
        await ana.ask(lambda messenger: messenger.add_contact(link))
        await ana.send(beto, "oi")
        await house.until(lambda: bool(beto.inbox(ana)))
        assert beto.node is not None
        before = len([who for who, _ in house.network.dials if who == "beto"])
        await asyncio.sleep(3600)
        assert beto.waiting() == 0
        assert len([who for who, _ in house.network.dials if who == "beto"]) == before

    house.run(scenario)


def test_both_restored_from_copies_find_each_other_again(two_friends: Path, tmp_path: Path) -> None:
    """Both homes notice (the run counter); resends stay few; the talk goes on."""
    house = copied(two_friends, tmp_path / "house", seed=10)

    async def scenario() -> None:
        ana, beto = await everyone_home(house, "ana", "beto")
        for peer in (ana, beto):
            peer.crash()
            peer.back_up(tmp_path / "copies")
            peer.boot()
        for number in range(4):
            await ana.send(beto, f"a{number}")
            await beto.send(ana, f"b{number}")
        await house.until(lambda: ana.statuses(beto) == beto.statuses(ana) == [DELIVERED] * 4)
        await house.at_rest()
        for peer in (ana, beto):
            peer.crash()
            peer.boot()
            await asyncio.sleep(30)
            peer.crash()
            peer.restore(tmp_path / "copies")
        await asyncio.sleep(60)
        for peer in (ana, beto):
            peer.boot()
        await asyncio.gather(ana.send(beto, "depois"), beto.send(ana, "depois"))
        await house.until(lambda: ana.inbox(beto)[-1:] == beto.inbox(ana)[-1:] == ["depois"])
        await house.until(lambda: ana.statuses(beto)[-1:] == beto.statuses(ana)[-1:] == [DELIVERED])
        await house.at_rest()
        for one, two in ((ana, beto), (beto, ana)):
            assert one.alarms() == ["state_rolled_back"]
            assert MessageKind.UNOPENED not in one.shown(two)
            address = Address(two.account, 1)
            assert one.look(lambda tx: tx.resets_since(address, Timestamp(0))) <= 2

    house.run(scenario)


def test_one_restored_from_a_copy_while_nobody_could_tell_heals(two_friends: Path, tmp_path: Path) -> None:
    """The copy's home has lost its memory of runs, so nothing is noticed: the ratchets disagree, and healing mends it."""
    house = copied(two_friends, tmp_path / "house", seed=11)

    async def scenario() -> None:
        ana, beto = await everyone_home(house, "ana", "beto")
        ana.crash()
        ana.back_up(tmp_path / "copies")
        ana.boot()
        for number in range(4):
            await ana.send(beto, f"a{number}")
            await beto.send(ana, f"b{number}")
        await house.until(lambda: ana.statuses(beto) == beto.statuses(ana) == [DELIVERED] * 4)
        await house.at_rest()
        counter = ana.look(lambda tx: tx.setting("run-counter"))
        ana.crash()
        ana.restore(tmp_path / "copies")
        ana.look(lambda tx: tx.put_setting("run-counter", counter))
        ana.boot()
        await ana.send(beto, "da cópia")
        await beto.send(ana, "para a cópia")
        await house.until(lambda: beto.inbox(ana)[-1:] == ["da cópia"] and ana.inbox(beto)[-1:] == ["para a cópia"])
        await house.until(lambda: ana.statuses(beto)[-1:] == beto.statuses(ana)[-1:] == [DELIVERED])
        await house.at_rest()
        assert MessageKind.UNOPENED not in ana.shown(beto) + beto.shown(ana)

    house.run(scenario)


@pytest.mark.slow
def test_a_poison_envelope_costs_one_row_and_nothing_else(two_friends: Path, tmp_path: Path) -> None:
    house = copied(two_friends, tmp_path / "house", seed=12)

    async def scenario() -> None:
        ana, beto = await everyone_home(house, "ana", "beto")
        poison = make_poison(ana, beto)
        homes = SealedHomes(house.network.dialer("ana"), clock=house.clock, rng=house.rng)
        token, address = token_for(ana.contact(beto)), Address(beto.account, 1)
        await homes.recipient(HOME).deposit(address, poison, token)
        await house.until(lambda: beto.shown(ana) == [MessageKind.UNOPENED])
        await asyncio.sleep(3 * 86_400)
        await ana.send(beto, "e a vida segue")
        await house.until(lambda: ana.statuses(beto) == [DELIVERED])
        assert beto.shown(ana) == [MessageKind.UNOPENED, MessageKind.TEXT]
        await house.at_rest()
        await homes.close()

    house.run(scenario)


def make_poison(writer: Peer, reader: Peer) -> SealedEnvelope:
    """Properly sealed by Ana, around a message that no session opens."""
    house, reader_own = writer.house, reader.look(lambda tx: tx.own())

    def work(tx: Tx) -> SealedEnvelope:
        own, now_ms = tx.own(), house.clock.now_ms()
        certificate = sender_certificate(tx, own, now_ms)
        me, body = local_identity(own), b"\x44\x0a\x21\x05" + bytes(31) + b"\x01\x10\x00\x22\x10" + bytes(24)
        envelope = seal(me, certificate, reader_own.identity_key, MessageType.SIGNAL, body, rng=house.rng)
        assert open_sealed(local_identity(reader_own), envelope).body == body
        return envelope

    return writer.look(work)


def test_a_message_from_a_device_newer_than_our_list_waits_for_the_list(two_friends: Path, tmp_path: Path) -> None:
    house = copied(two_friends, tmp_path / "house", seed=13)

    async def scenario() -> None:
        ana, beto = await everyone_home(house, "ana", "beto")

        def renew(tx: Tx) -> int:
            own = tx.own()
            old = decode_device_list(own.device_list.body)
            version = next_version(old.version, house.clock.now_ms())
            fresh = DeviceList(version, own.device_list.hash, old.devices, old.home_url, old.home_key)
            signed = sign_device_list(root_of("ana"), fresh)
            tx.put_own(replace(own, device_list=signed, list_version=version))
            return version

        version = ana.look(renew)
        assert ana.node is not None
        assert ana.node.own_home is not None
        own_home, signed = ana.node.own_home, ana.look(lambda tx: tx.own()).device_list
        await own_home.put_device_list(signed)
        await ana.send(beto, "tenho lista nova")
        await house.until(lambda: ana.statuses(beto) == [DELIVERED])
        await house.until(lambda: beto.contact(ana).list_version == version)

    house.run(scenario)


def test_adding_while_the_home_is_away_says_so_and_keeps_nothing(tmp_path: Path) -> None:
    house = House(tmp_path, seed=14)

    async def scenario() -> None:
        await house.start_home()
        ana, beto = await house.move_in("ana"), await house.move_in("beto")
        link = await link_of(beto)
        house.stop_home()
        with pytest.raises(HomeUnreachableError):
            await ana.ask(lambda messenger: messenger.add_contact(link))
        assert ana.look(lambda tx: tx.contacts()) == ()
        await house.start_home()
        await ana.ask(lambda messenger: messenger.add_contact(link))

    house.run(scenario)


@pytest.mark.slow
def test_fourteen_days_in_an_empty_house_is_failed_and_sent_again(two_friends: Path, tmp_path: Path) -> None:
    house = copied(two_friends, tmp_path / "house", seed=15)

    async def scenario() -> None:
        ana, beto = await everyone_home(house, "ana", "beto")
        beto.crash()
        sent = await ana.send(beto, "de férias")
        await house.until(lambda: ana.statuses(beto) == [MessageStatus.FAILED], within_s=15 * 86_400, every_s=3600)
        beto.boot()
        await asyncio.sleep(60)
        assert beto.inbox(ana) == [], "the home keeps an envelope for 14 days"
        await ana.ask(lambda messenger: messenger.send_again(sent.id))
        await house.until(lambda: ana.statuses(beto) == [DELIVERED])
        assert beto.inbox(ana) == ["de férias"]

    house.run(scenario)


def test_a_third_friend_changes_nothing_between_two(two_friends: Path, tmp_path: Path) -> None:
    house = copied(two_friends, tmp_path / "house", seed=16)

    async def scenario() -> None:
        ana, beto = await everyone_home(house, "ana", "beto")
        caio = await house.move_in("caio")
        await befriend(caio, ana)
        await asyncio.gather(caio.send(ana, "do Caio"), beto.send(ana, "do Beto"))
        await house.until(lambda: caio.statuses(ana) == beto.statuses(ana) == [DELIVERED])
        assert (ana.inbox(caio), ana.inbox(beto)) == (["do Caio"], ["do Beto"])
        await house.at_rest()

    house.run(scenario)
    shutil.rmtree(tmp_path / "house")
