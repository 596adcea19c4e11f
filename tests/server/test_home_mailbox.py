"""docs/protocol/home.md, "Mailbox": deposit, deliver, acknowledge, in a real database, without sockets."""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from mepassa.identity import hash_token
from mepassa.model.envelope import SealedEnvelope
from mepassa.model.errors import BusyError, MailboxFullError, TokenRefusedError
from mepassa.model.ids import AccountId, Address
from mepassa.ports.mailbox import DepositOutcome, SignalOutcome, TokenRecord
from mepassa.server.db import Tx
from mepassa.server.mailbox import Fate, Lane
from mepassa.testing import ManualClock
from mepassa.testing.people import Listener
from tests.server.home_world import EASY, eventually, home_world

T = TypeVar("T")
PATIENT = replace(EASY, elision_s=30.0)
"""Waits for an acknowledgement longer than any test takes."""


def sealed(*parts: object) -> SealedEnvelope:
    return SealedEnvelope("/".join(map(str, parts)).encode())


async def test_a_deposit_for_an_absent_device_is_stored_and_delivered_when_it_comes(tmp_path: Path) -> None:
    async with home_world(tmp_path) as world:
        bruno = await world.person()
        outcome = await world.sender().deposit(bruno.own, sealed("chegou?"), bruno.delivery_token)
        assert outcome is DepositOutcome.STORED
        online = await world.online(bruno)
        await online.listener.until_envelopes(1)
        assert online.listener.envelopes == [sealed("chegou?")]


async def test_a_deposit_for_a_connected_device_is_answered_by_its_acknowledgement_and_never_written(
    tmp_path: Path,
) -> None:
    async with home_world(tmp_path, policy=PATIENT) as world:
        bruno = await world.person()
        online = await world.online(bruno)
        await eventually(lambda: not world.session(bruno.own).behind)
        commits = world.home.counters.commits
        outcome = await world.sender().deposit(bruno.own, sealed("oi"), bruno.delivery_token)
        assert outcome is DepositOutcome.DELIVERED
        assert online.listener.envelopes == [sealed("oi")]
        assert world.home.counters.commits == commits
        assert world.session(bruno.own).in_flight == set()


async def test_a_device_that_does_not_acknowledge_in_time_leaves_the_deposit_to_the_disk(tmp_path: Path) -> None:
    async with home_world(tmp_path) as world:
        bruno = await world.person()
        online = await world.online(bruno, Listener(refuse={sealed("oi").raw}))
        outcome = await world.sender().deposit(bruno.own, sealed("oi"), bruno.delivery_token)
        assert outcome is DepositOutcome.STORED
        assert await world.waiting() == 1
        await online.leave()
        again = await world.online(bruno)
        await again.listener.until_envelopes(1)
        await world.until_empty()


async def test_what_is_acknowledged_is_deleted_and_not_delivered_again(tmp_path: Path) -> None:
    async with home_world(tmp_path) as world:
        bruno = await world.person()
        sender = world.sender()
        for number in range(5):
            await sender.deposit(bruno.own, sealed(number), bruno.delivery_token)
        online = await world.online(bruno)
        await online.listener.until_envelopes(5)
        await world.until_empty()
        await world.home.mailboxes.flush()
        assert world.session(bruno.own).in_flight == set()
        await online.leave()
        again = await world.online(bruno)
        await sender.deposit(bruno.own, sealed("last"), bruno.delivery_token)
        await again.listener.until_envelopes(1)
        assert again.listener.envelopes == [sealed("last")]
        await eventually(lambda: world.home.counters.envelopes_acknowledged >= 6)
        await sender.deposit(bruno.own, sealed("very last"), bruno.delivery_token)
        await eventually(lambda: world.home.counters.envelopes_acknowledged >= 7)
        assert world.home.counters.envelopes_acknowledged == 7, "each once"


async def test_the_same_envelope_deposited_twice_is_kept_once(tmp_path: Path) -> None:
    async with home_world(tmp_path) as world:
        bruno = await world.person()
        sender = world.sender()
        outcomes = await asyncio.gather(
            *(sender.deposit(bruno.own, sealed("once"), bruno.delivery_token) for _ in range(5))
        )
        outcomes.append(await world.sender().deposit(bruno.own, sealed("once"), bruno.delivery_token))
        assert set(outcomes) == {DepositOutcome.STORED}
        assert await world.waiting() == 1


async def test_order_within_one_depositing_connection_survives_coming_and_going(tmp_path: Path) -> None:
    """Envelopes pushed at once, envelopes from disk and envelopes whose acknowledgement is late: one order."""
    async with home_world(tmp_path) as world:
        bruno = await world.person()
        sender = world.sender()
        deposits: list[asyncio.Task[DepositOutcome]] = []
        listener = Listener()
        for round_number in range(6):
            online = await world.online(bruno, listener)
            for number in range(40):
                envelope = sealed(round_number, number, "x" * (number * 300))
                deposits.append(asyncio.create_task(sender.deposit(bruno.own, envelope, bruno.delivery_token)))
                if number % 7 == round_number:
                    await asyncio.sleep(0)
            await online.leave()
        await asyncio.gather(*deposits)
        online = await world.online(bruno, listener)
        await world.until_empty()
        first_seen = list(dict.fromkeys(tuple(map(int, each.raw.split(b"/")[:2])) for each in listener.envelopes))
        assert first_seen == [(round_number, number) for round_number in range(6) for number in range(40)]


async def test_a_request_goes_by_way_of_the_disk_and_the_next_message_does_not(tmp_path: Path) -> None:
    """What was on its way to disk is counted as settled once it is there: the session is not behind for ever."""
    async with home_world(tmp_path, policy=PATIENT) as world:
        bruno = await world.person()
        online = await world.online(bruno)
        await online.own_home.put_tokens((TokenRecord(hash_token(b"i" * 16), "invite", None),))
        sender = world.sender()
        assert await sender.deposit(bruno.own, sealed("request"), b"i" * 16) is DepositOutcome.STORED
        assert world.home.mailboxes.unpushed(world.session(bruno.own).mailbox) == 0
        await online.listener.until_envelopes(1)
        await eventually(lambda: not world.session(bruno.own).behind)
        assert await sender.deposit(bruno.own, sealed("oi"), bruno.delivery_token) is DepositOutcome.DELIVERED


async def test_what_is_acknowledged_while_it_is_written_is_delivered_and_leaves_nothing(tmp_path: Path) -> None:
    async with home_world(tmp_path) as world:
        bruno = await world.person()
        await world.online(bruno, Listener(refuse={b"oi"}))
        await eventually(lambda: not world.session(bruno.own).behind)
        session, mailboxes, run = world.session(bruno.own), world.home.mailboxes, world.db.run

        async def acknowledged_meanwhile(work: Callable[[Tx], T]) -> T:
            done = await run(work)
            world.db.run = run  # type: ignore[method-assign]  # the real one again
            assert mailboxes.unpushed(session.mailbox) == 0
            mailboxes.acknowledge(session, [hashlib.sha256(b"oi").digest()[:16]])
            return done

        answers: list[Fate] = []
        world.db.run = acknowledged_meanwhile  # type: ignore[method-assign]  # a spy before the real one
        mailboxes.deposit(session.mailbox, Lane.CONTACT, b"oi", answers.append)
        await eventually(lambda: bool(answers))
        assert answers == [Fate.DELIVERED]
        assert mailboxes.unpushed(session.mailbox) == 0
        await mailboxes.flush()
        assert await world.waiting() == 0
        assert session.in_flight == set()


async def test_one_acknowledgement_ends_the_copy_on_disk_and_the_one_on_its_way_there(tmp_path: Path) -> None:
    async with home_world(tmp_path) as world:
        bruno = await world.person()
        await world.sender().deposit(bruno.own, sealed("oi"), bruno.delivery_token)
        await world.online(bruno, Listener(refuse={b"oi"}))
        session, mailboxes = world.session(bruno.own), world.home.mailboxes
        await eventually(lambda: bool(session.in_flight))
        answers: list[Fate] = []
        mailboxes.deposit(session.mailbox, Lane.CONTACT, b"oi", answers.append)
        mailboxes.acknowledge(session, list(session.in_flight))
        assert answers == [Fate.DELIVERED]
        await mailboxes.flush()
        assert await world.waiting() == 0


async def test_a_slow_reader_has_one_window_in_flight_and_no_more(tmp_path: Path) -> None:
    """Credit: 1 MiB is under way to a device that deals with nothing; the rest waits on disk."""
    async with home_world(tmp_path) as world:
        bruno = await world.person()
        sender = world.sender()
        stuck = asyncio.Event()

        class Sleeper(Listener):
            async def envelope_delivered(self, envelope: SealedEnvelope) -> None:
                await stuck.wait()
                await super().envelope_delivered(envelope)

        online = await world.online(bruno, Sleeper())
        size = 32 * 1024
        envelopes = [SealedEnvelope(number.to_bytes(2) * (size // 2)) for number in range(64)]
        await asyncio.gather(*(sender.deposit(bruno.own, each, bruno.delivery_token) for each in envelopes))
        session = world.session(bruno.own)
        in_flight = len(session.in_flight)
        assert in_flight <= 1024 * 1024 // size + 1
        stuck.set()
        await online.listener.until_envelopes(64)
        assert online.listener.envelopes == envelopes


async def test_a_second_socket_of_the_same_device_replaces_the_first(tmp_path: Path) -> None:
    async with home_world(tmp_path) as world:
        bruno = await world.person()
        first = await world.online(bruno)
        second = await world.online(bruno)
        await eventually(lambda: bool(first.listener.log_outs))
        first.task.cancel()
        await world.sender().deposit(bruno.own, sealed("to the second"), bruno.delivery_token)
        await second.listener.until_envelopes(1)
        assert world.home.counters.devices_online == 1


async def test_a_connection_that_dies_with_envelopes_in_flight_loses_none(tmp_path: Path) -> None:
    async with home_world(tmp_path, policy=PATIENT) as world:
        bruno = await world.person()
        online = await world.online(bruno)
        await eventually(lambda: not world.session(bruno.own).behind)
        world.device_streams[-1].cut()  # the device's network is gone, nobody has noticed
        outcome = asyncio.create_task(world.sender().deposit(bruno.own, sealed("under way"), bruno.delivery_token))
        await eventually(lambda: bool(world.session(bruno.own).in_flight))
        await online.leave()
        again = await world.online(bruno)
        await again.listener.until_envelopes(1)
        assert await outcome in {DepositOutcome.STORED, DepositOutcome.DELIVERED}


async def test_a_full_mailbox_refuses_and_drops_nothing(tmp_path: Path) -> None:
    async with home_world(tmp_path, policy=replace(EASY, mailbox_envelopes=3)) as world:
        bruno = await world.person()
        sender = world.sender()
        for number in range(3):
            await sender.deposit(bruno.own, sealed(number), bruno.delivery_token)
        with pytest.raises(MailboxFullError):
            await sender.deposit(bruno.own, sealed(3), bruno.delivery_token)
        assert await sender.deposit(bruno.own, sealed(2), bruno.delivery_token) is DepositOutcome.STORED
        online = await world.online(bruno)
        await online.listener.until_envelopes(3)
        await world.until_empty()
        assert await sender.deposit(bruno.own, sealed(3), bruno.delivery_token)


async def test_a_mailbox_is_full_by_bytes_too(tmp_path: Path) -> None:
    async with home_world(tmp_path, policy=replace(EASY, mailbox_bytes=10_000)) as world:
        bruno = await world.person()
        sender = world.sender()
        await sender.deposit(bruno.own, SealedEnvelope(bytes(6_000)), bruno.delivery_token)
        with pytest.raises(MailboxFullError):
            await sender.deposit(bruno.own, SealedEnvelope(b"x" * 6_000), bruno.delivery_token)
        assert await sender.deposit(bruno.own, SealedEnvelope(bytes(3_999)), bruno.delivery_token)


async def test_what_has_waited_fourteen_days_is_deleted(tmp_path: Path) -> None:
    clock = ManualClock()
    async with home_world(tmp_path, clock=clock) as world:
        bruno = await world.person()
        sender = world.sender()
        await sender.deposit(bruno.own, sealed("old"), bruno.delivery_token)
        clock.advance(days=13)
        await sender.deposit(bruno.own, sealed("new"), bruno.delivery_token)
        assert await world.home.mailboxes.expire() == 0
        clock.advance(days=1, seconds=1)
        assert await world.home.mailboxes.expire() == 1
        online = await world.online(bruno)
        await online.listener.until_envelopes(1)
        assert online.listener.envelopes == [sealed("new")]


async def test_a_full_disk_refuses_and_the_home_goes_on_when_there_is_room_again(tmp_path: Path) -> None:
    """`PRAGMA max_page_count`: a real SQLITE_FULL. What was acknowledged stays; delivering makes room."""
    async with home_world(tmp_path, max_pages=200) as world:
        bruno = await world.person()
        sender = world.sender()
        stored: list[SealedEnvelope] = []
        refused = False
        for number in range(100):
            envelope = SealedEnvelope(number.to_bytes(2) * 9_000)
            try:
                await sender.deposit(bruno.own, envelope, bruno.delivery_token)
                stored.append(envelope)
            except BusyError as error:
                refused = error.retry_after_s > 0
                break
        assert stored
        assert refused
        online = await world.online(bruno)
        await online.listener.until_envelopes(len(stored))
        assert online.listener.envelopes == stored
        await world.until_empty()
        assert await sender.deposit(bruno.own, SealedEnvelope(bytes(18_000)), bruno.delivery_token)


async def test_a_wrong_token_an_unknown_account_and_an_unknown_device_look_the_same(tmp_path: Path) -> None:
    async with home_world(tmp_path) as world:
        bruno = await world.person()
        nobody = await world.person()
        sender = world.sender()
        strangers = [
            (bruno.own, bytes(16)),
            (Address(AccountId(bytes(16)), 1), bruno.delivery_token),
            (Address(bruno.own.account, 2), bruno.delivery_token),
            (nobody.own, bruno.delivery_token),
            (bruno.own, bruno.signal_token),
        ]
        for to, token in strangers:
            with pytest.raises(TokenRefusedError):
                await sender.deposit(to, sealed("x"), token)
            if token != bruno.signal_token:
                assert await sender.signal(to, sealed("x"), token) is SignalOutcome.UNKNOWN
        assert await world.waiting() == 0


async def test_every_refusal_costs_one_look_into_the_database_whichever_it_is(tmp_path: Path) -> None:
    async with home_world(tmp_path) as world:
        bruno = await world.person()
        sender = world.sender()
        await sender.deposit(bruno.own, sealed("known"), bruno.delivery_token)
        looks = 0
        run = world.db.run

        async def counted(work: Callable[[Tx], T]) -> T:
            nonlocal looks
            looks += 1
            return await run(work)

        world.db.run = counted  # type: ignore[method-assign]  # a spy before the real one
        costs = []
        nobody, second = Address(AccountId(bytes(16)), 1), Address(bruno.own.account, 2)
        for to, token in (
            (bruno.own, bytes(16)),
            (nobody, bytes(16)),
            (second, bytes(16)),
            (second, bruno.delivery_token),
        ):
            looks = 0
            with pytest.raises(TokenRefusedError):
                await sender.deposit(to, sealed("x"), token)
            costs.append(looks)
        assert costs == [1, 1, 1, 1]
        looks = 0
        assert await sender.signal(bruno.own, sealed("x"), bruno.signal_token) is SignalOutcome.NO_DEVICE
        assert looks == 0, "what is known of an account is not asked again"


async def test_a_links_holder_cannot_keep_a_device_busy_with_requests(tmp_path: Path) -> None:
    """The device empties the lane as fast as it fills: the rate bounds the work, and only that of one address."""
    async with home_world(tmp_path, policy=replace(EASY, requests_per_minute=3)) as world:
        bruno = await world.person()
        online = await world.online(bruno)
        await online.own_home.put_tokens((TokenRecord(hash_token(b"i" * 16), "invite", None),))
        stranger = world.sender()
        for number in range(3):
            await stranger.deposit(bruno.own, SealedEnvelope(bytes([number])), b"i" * 16)
        with pytest.raises(BusyError):
            await stranger.deposit(bruno.own, SealedEnvelope(b"four"), b"i" * 16)
        await stranger.deposit(bruno.own, SealedEnvelope(b"a contact"), bruno.delivery_token)
        world.remote = "198.51.100.8"
        await world.sender().deposit(bruno.own, SealedEnvelope(b"elsewhere"), b"i" * 16)
        await online.leave()


async def test_a_round_of_expiry_that_fails_is_not_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mepassa.server.home.EXPIRY_INTERVAL_S", 0.01)
    rounds: list[int] = []
    async with home_world(tmp_path) as world:

        async def fails() -> int:
            rounds.append(1)
            raise OSError("no space left on device")

        monkeypatch.setattr(world.home.mailboxes, "expire", fails)
        await eventually(lambda: len(rounds) >= 3)
