"""docs/protocol/home.md, "Directory", "Tokens", "Log-in": who is let in, and what is handed out to whom."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from mepassa.identity import IdentityKeyPair, hash_token, sign_device_list
from mepassa.model.device_list import DeviceEntry, DeviceList
from mepassa.model.envelope import SealedEnvelope
from mepassa.model.errors import (
    BusyError,
    DeviceListForkError,
    DeviceListStaleError,
    MailboxFullError,
    SignatureError,
    TokenRefusedError,
    TooLargeError,
)
from mepassa.model.ids import Address, RunId, Timestamp
from mepassa.model.keys import HomeKey
from mepassa.model.prekeys import LAST_RESORT_ID_BASE, KyberPrekey
from mepassa.model.secret import SecretBytes
from mepassa.ports.mailbox import DepositOutcome, HomeAddress, SignalOutcome, TokenRecord
from mepassa.testing import START_MS, ManualClock
from mepassa.testing.people import Listener, Person, fake_prekeys
from mepassa.transports.mailbox import Registration, RegistrationRefusedError, register
from mepassa.wire.wellknown import RegistrationPolicy
from tests.server.home_world import EASY, HOST, HomeWorld, eventually, home_world

DAY_MS = 86_400_000


def sealed(*parts: object) -> SealedEnvelope:
    return SealedEnvelope("/".join(map(str, parts)).encode())


async def registers(world: HomeWorld, person: Person, invite: str | None = None) -> None:
    registration = Registration(person.root.public, person.device_list, invite)
    await register(world.dial, world.address, registration, clock=world.clock, rng=world.rng)


# --- registration -------------------------------------------------------------------------------------------------------


async def test_an_invite_lets_in_as_many_accounts_as_it_says(tmp_path: Path) -> None:
    async with home_world(tmp_path, registration=RegistrationPolicy.INVITE) as world:
        invite = await world.home.invites.make_first(2)
        assert invite is not None
        people = [Person.make(world.rng, world.address) for _ in range(3)]
        await registers(world, people[0], invite)
        await registers(world, people[0], invite)  # the answer was lost: asking again costs no use
        await registers(world, people[1], invite.lower().replace("-", " "))
        for code in (invite, "WRONG-CODE", None):
            with pytest.raises(RegistrationRefusedError):
                await registers(world, people[2], code)
        assert await world.home.invites.make_first(2) is None


async def test_registration_by_work_needs_the_work(tmp_path: Path) -> None:
    async with home_world(tmp_path, registration=RegistrationPolicy.WORK) as world:
        await registers(world, Person.make(world.rng, world.address))
        assert await world.home.directory.count() == 1


async def test_a_list_that_its_root_did_not_sign_or_that_names_another_home_makes_no_account(tmp_path: Path) -> None:
    async with home_world(tmp_path) as world:
        ana, other = (Person.make(world.rng, world.address) for _ in range(2))
        with pytest.raises(SignatureError):
            await registers(world, replace(ana, device_list=other.device_list))
        elsewhere = Person.make(world.rng, HomeAddress("https://elsewhere.test", HomeKey(bytes(32))))
        with pytest.raises(RegistrationRefusedError):
            await registers(world, elsewhere)
        assert await world.home.directory.count() == 0


async def test_a_home_whose_key_is_not_the_expected_one_is_told_nothing(tmp_path: Path) -> None:
    async with home_world(tmp_path) as world:
        wrong = HomeAddress(f"https://{HOST}", HomeKey(b"\x01" * 32))
        ana = Person.make(world.rng, wrong)
        registration = Registration(ana.root.public, ana.device_list)
        with pytest.raises(SignatureError):
            await register(world.dial, wrong, registration, clock=world.clock, rng=world.rng)


# --- device lists -------------------------------------------------------------------------------------------------------


def next_list(person: Person, version: int, *entries: DeviceEntry, home_url: str | None = None) -> DeviceList:
    return DeviceList(version, person.device_list.hash, entries, home_url or person.home.url, person.home.key)


def own_entry(person: Person) -> DeviceEntry:
    return DeviceEntry(1, person.device_key.public, 77)


async def test_only_a_newer_list_of_the_same_root_replaces_a_list(tmp_path: Path) -> None:
    async with home_world(tmp_path) as world:
        ana = await world.person()
        online = await world.online(ana)
        newer = sign_device_list(ana.root, next_list(ana, 5, own_entry(ana)))
        await online.own_home.put_device_list(newer)
        await online.own_home.put_device_list(newer)
        with pytest.raises(DeviceListStaleError):
            await online.own_home.put_device_list(ana.device_list)
        forked = next_list(ana, 5, own_entry(ana), home_url="https://other.test")
        with pytest.raises(DeviceListForkError):
            await online.own_home.put_device_list(sign_device_list(ana.root, forked))
        stranger = Person.make(world.rng, world.address, version=9)
        with pytest.raises(SignatureError):
            await online.own_home.put_device_list(stranger.device_list)
        fetched = await world.sender().fetch_account(ana.own.account, ana.delivery_token, prekeys=False)
        assert fetched.device_list == newer
        assert fetched.bundles == ()


async def test_a_device_that_leaves_the_list_is_logged_out_and_its_mailbox_erased(tmp_path: Path) -> None:
    async with home_world(tmp_path) as world:
        ana = await world.person()
        second_key = IdentityKeyPair(SecretBytes(world.rng.token(32)))
        online = await world.online(ana)
        second = DeviceEntry(2, second_key.public, 78)
        await online.own_home.put_device_list(sign_device_list(ana.root, next_list(ana, 5, own_entry(ana), second)))
        await online.leave()
        await world.sender().deposit(ana.own, sealed("for the first"), ana.delivery_token)
        other = replace(
            ana, own=Address(ana.own.account, 2), device_key=second_key, runs=type(ana.runs)(RunId(bytes(16)))
        )
        survivor = await world.online(other)
        assert sorted(await world.runs()) == [(1, ana.runs.counter), (2, other.runs.counter)]
        await survivor.own_home.put_device_list(sign_device_list(ana.root, next_list(ana, 6, second)))
        assert await world.waiting() == 0
        assert await world.runs() == [(2, other.runs.counter)], "no run counter is kept of the device that left"
        with pytest.raises(TokenRefusedError):
            await world.sender().deposit(ana.own, sealed("too late"), ana.delivery_token)


async def test_a_device_number_never_gets_another_key(tmp_path: Path) -> None:
    async with home_world(tmp_path) as world:
        ana = await world.person()
        online = await world.online(ana)
        other = DeviceEntry(1, IdentityKeyPair(SecretBytes(world.rng.token(32))).public, 77)
        with pytest.raises(SignatureError):
            await online.own_home.put_device_list(sign_device_list(ana.root, next_list(ana, 5, other)))


# --- prekeys ------------------------------------------------------------------------------------------------------------


async def test_each_one_time_prekey_is_handed_out_exactly_once(tmp_path: Path) -> None:
    async with home_world(tmp_path, policy=replace(EASY, fetches_per_minute=1_000)) as world:
        bruno = await world.person()
        senders = [world.sender() for _ in range(5)]
        fetched = await asyncio.gather(
            *(sender.fetch_account(bruno.own.account, bruno.delivery_token) for sender in senders for _ in range(24))
        )
        bundles = [each.bundles[0] for each in fetched]
        one_time = [bundle.one_time_prekey.id for bundle in bundles if bundle.one_time_prekey is not None]
        kyber = [bundle.kyber_prekey.id for bundle in bundles if bundle.kyber_prekey.id < LAST_RESORT_ID_BASE]
        assert sorted(one_time) == list(range(1, 101))
        assert sorted(kyber) == list(range(1, 101))
        rest = [bundle for bundle in bundles if bundle.one_time_prekey is None]
        assert len(rest) == 20
        assert {bundle.kyber_prekey.id for bundle in rest} == {LAST_RESORT_ID_BASE + 1}


async def test_an_account_with_two_devices_has_two_mailboxes_and_two_stocks_of_prekeys(tmp_path: Path) -> None:
    """Whoever lacks a session with one device asks for its prekeys alone; the other's are not spent."""
    async with home_world(tmp_path) as world:
        bruno = await world.person()
        key = IdentityKeyPair(SecretBytes(world.rng.token(32)))
        second = replace(
            bruno, device_key=key, own=Address(bruno.own.account, 2), runs=type(bruno.runs)(RunId(bytes(16)))
        )
        first_online = await world.online(bruno)
        entry = DeviceEntry(2, key.public, 88)
        both = next_list(bruno, 5, own_entry(bruno), entry)
        await first_online.own_home.put_device_list(sign_device_list(bruno.root, both))
        second_online = await world.online(second)
        await second_online.own_home.put_prekeys(fake_prekeys())
        sender = world.sender()

        async def handed(*devices: int) -> list[tuple[int, int | None]]:
            fetched = await sender.fetch_account(bruno.own.account, bruno.delivery_token, devices=devices)
            once = [(bundle.device, bundle.one_time_prekey) for bundle in fetched.bundles]
            return [(device, None if key is None else key.id) for device, key in once]

        assert await handed(2) == [(2, 1)]
        assert await handed() == [(1, 1), (2, 2)]
        assert await handed(1) == [(1, 2)]
        assert await handed(9) == []
        envelope = sealed("for the second")
        await sender.deposit(second.own, envelope, bruno.delivery_token)
        await eventually(lambda: second_online.listener.envelopes == [envelope])
        assert first_online.listener.envelopes == []


async def test_an_upload_sent_twice_brings_no_key_back(tmp_path: Path) -> None:
    async with home_world(tmp_path) as world:
        bruno = await world.person()
        sender = world.sender()
        first = await sender.fetch_account(bruno.own.account, bruno.delivery_token)
        online = await world.online(bruno)
        await online.own_home.put_prekeys(fake_prekeys())
        second = await sender.fetch_account(bruno.own.account, bruno.delivery_token)
        ids = [each.bundles[0].one_time_prekey for each in (first, second)]
        assert [None if key is None else key.id for key in ids] == [1, 2]


async def test_a_device_is_told_when_fewer_than_25_prekeys_are_left(tmp_path: Path) -> None:
    async with home_world(tmp_path, policy=replace(EASY, fetches_per_minute=1_000)) as world:
        bruno = await world.person()
        online = await world.online(bruno)
        sender = world.sender()
        for _ in range(75):
            await sender.fetch_account(bruno.own.account, bruno.delivery_token)
        assert online.listener.low == []
        await sender.fetch_account(bruno.own.account, bruno.delivery_token)
        await eventually(lambda: online.listener.low == [(24, 24)])
        await online.leave()
        again = await world.online(bruno)
        await eventually(lambda: again.listener.low == [(24, 24)])


async def test_a_stranger_without_a_token_gets_signed_and_last_resort_keys_only(tmp_path: Path) -> None:
    async with home_world(tmp_path) as world:
        bruno = await world.person()
        bundle = (await world.sender().fetch_account(bruno.own.account, None)).bundles[0]
        assert bundle.one_time_prekey is None
        assert bundle.kyber_prekey.id >= LAST_RESORT_ID_BASE


async def test_prekey_ids_on_the_wrong_side_of_two_to_the_24_end_the_connection(tmp_path: Path) -> None:
    """A reader tells a one-time key from a last-resort key by its id alone."""
    async with home_world(tmp_path) as world:
        bruno = await world.person()
        online = await world.online(bruno)
        good = fake_prekeys()
        wrong = KyberPrekey(LAST_RESORT_ID_BASE, good.kyber_prekeys[0].public, bytes(64))
        online_task = asyncio.create_task(
            online.own_home.put_prekeys(type(good)(good.signed_prekey, good.last_resort_prekey, (), (wrong,)))
        )
        await eventually(lambda: bool(online.listener.log_outs))
        with pytest.raises(Exception, match="home"):
            await online_task


async def test_fetching_is_limited_to_ten_a_minute_for_one_account(tmp_path: Path) -> None:
    clock = ManualClock()
    async with home_world(tmp_path, clock=clock) as world:
        bruno, carla = await world.person(), await world.person()
        sender = world.sender()
        for _ in range(10):
            await sender.fetch_account(bruno.own.account, bruno.delivery_token)
        with pytest.raises(BusyError) as caught:
            await sender.fetch_account(bruno.own.account, bruno.delivery_token)
        assert 0 < caught.value.retry_after_s <= 60
        await sender.fetch_account(carla.own.account, carla.delivery_token)
        clock.advance(61)
        await sender.fetch_account(bruno.own.account, bruno.delivery_token)


# --- tokens -------------------------------------------------------------------------------------------------------------


async def test_tokens_end_when_they_expire_or_are_revoked(tmp_path: Path) -> None:
    clock = ManualClock()
    async with home_world(tmp_path, clock=clock) as world:
        bruno = await world.person()
        online = await world.online(bruno)
        invite = world.rng.token(16)
        record = TokenRecord(hash_token(invite), "invite", Timestamp(START_MS + DAY_MS))
        await online.own_home.put_tokens((record,))
        await online.leave()
        sender = world.sender()
        assert await sender.deposit(bruno.own, sealed("request"), invite)
        clock.advance(days=1)
        with pytest.raises(TokenRefusedError):
            await sender.deposit(bruno.own, sealed("late"), invite)
        assert await sender.deposit(bruno.own, sealed("contact"), bruno.delivery_token)
        online = await world.online(bruno)
        await online.own_home.put_tokens((), (hash_token(bruno.delivery_token),))
        with pytest.raises(TokenRefusedError):
            await sender.deposit(bruno.own, sealed("blocked"), bruno.delivery_token)
        assert await world.home.directory.expire() >= 0


async def test_the_request_lane_is_small_and_takes_fifty(tmp_path: Path) -> None:
    async with home_world(tmp_path, policy=replace(EASY, requests_per_minute=100)) as world:
        bruno = await world.person()
        online = await world.online(bruno)
        invite = world.rng.token(16)
        await online.own_home.put_tokens((TokenRecord(hash_token(invite), "invite"),))
        await online.leave()
        sender = world.sender()
        with pytest.raises(TooLargeError):
            await sender.deposit(bruno.own, SealedEnvelope(bytes(8 * 1024 + 1)), invite)
        for number in range(10):
            await sender.deposit(bruno.own, sealed("by work", number), None)
        with pytest.raises(MailboxFullError):
            await sender.deposit(bruno.own, sealed("by work", 10), None)
        for number in range(40):
            await sender.deposit(bruno.own, SealedEnvelope(number.to_bytes(2) * 4 * 1024), invite)
        with pytest.raises(MailboxFullError):
            await sender.deposit(bruno.own, sealed("one too many"), invite)
        assert await sender.deposit(bruno.own, sealed("a contact still gets in"), bruno.delivery_token)


async def test_a_previous_token_fills_a_tenth_and_fetches_nothing(tmp_path: Path) -> None:
    async with home_world(tmp_path, policy=replace(EASY, mailbox_envelopes=30)) as world:
        bruno = await world.person()
        online = await world.online(bruno)
        previous = world.rng.token(16)
        await online.own_home.put_tokens((TokenRecord(hash_token(previous), "previous"),))
        await online.leave()
        sender = world.sender()
        for number in range(3):
            assert await sender.deposit(bruno.own, sealed(number), previous) is DepositOutcome.STORED
        with pytest.raises(MailboxFullError):
            await sender.deposit(bruno.own, sealed(3), previous)
        with pytest.raises(TokenRefusedError):
            await sender.fetch_account(bruno.own.account, previous)


async def test_signals_reach_a_connected_device_twelve_times_a_minute_and_are_never_stored(tmp_path: Path) -> None:
    clock = ManualClock()
    async with home_world(tmp_path, clock=clock) as world:
        bruno = await world.person()
        sender = world.sender()
        assert await sender.signal(bruno.own, sealed("too early"), bruno.signal_token) is SignalOutcome.NO_DEVICE
        online = await world.online(bruno)
        for number in range(11):
            assert await sender.signal(bruno.own, sealed(number), bruno.signal_token) is SignalOutcome.FORWARDED
        with pytest.raises(BusyError):
            await sender.signal(bruno.own, sealed("too many"), bruno.signal_token)
        await eventually(lambda: len(online.listener.signals) == 11)
        assert await world.waiting() == 0
        assert await sender.signal(bruno.own, sealed("x"), bruno.delivery_token) is SignalOutcome.UNKNOWN


async def test_whoever_keeps_guessing_is_told_to_wait(tmp_path: Path) -> None:
    async with home_world(tmp_path, policy=replace(EASY, refusals_per_minute=5)) as world:
        bruno = await world.person()
        sender = world.sender()
        for number in range(5):
            with pytest.raises(TokenRefusedError):
                await sender.deposit(bruno.own, sealed("guess"), number.to_bytes(16))
        with pytest.raises(BusyError):
            await sender.deposit(bruno.own, sealed("guess"), bytes(16))


# --- log-in and the run counter -----------------------------------------------------------------------------------------


async def test_a_device_unknown_to_the_home_is_not_logged_in(tmp_path: Path) -> None:
    async with home_world(tmp_path) as world:
        bruno = await world.person()
        impostor = replace(bruno, device_key=IdentityKeyPair(SecretBytes(world.rng.token(32))))
        nobody = Person.make(world.rng, world.address)
        for person in (impostor, nobody):
            refused = world.home.counters.log_ins_refused
            task = asyncio.create_task(online_forever(world, person))
            await eventually(lambda: world.home.counters.log_ins_refused > refused)
            task.cancel()
            await asyncio.wait([task])


async def online_forever(world: HomeWorld, person: Person) -> None:
    await world.online(person)


async def test_a_restored_copy_is_told_and_its_old_prekeys_are_dropped_before_it_is_let_in(tmp_path: Path) -> None:
    async with home_world(tmp_path) as world:
        bruno = await world.person()
        online = await world.online(bruno)
        await online.leave()
        before = bruno.runs.counter
        bruno.runs.counter, bruno.runs.run_id = 0, RunId(world.rng.token(16))  # the database of long ago, a new start
        restored = await world.online(bruno)
        assert bruno.runs.replaced == 1
        assert bruno.runs.counter == before + 1
        assert (await world.sender().fetch_account(bruno.own.account, bruno.delivery_token)).bundles == ()
        await restored.own_home.put_prekeys(fake_prekeys(1, 10, replace=True))
        bundle = (await world.sender().fetch_account(bruno.own.account, bruno.delivery_token)).bundles[0]
        assert bundle.one_time_prekey is not None
        assert bundle.one_time_prekey.id == 1
        assert world.home.counters.rolled_back == 1


async def test_the_same_run_may_log_in_again_with_its_counter(tmp_path: Path) -> None:
    async with home_world(tmp_path) as world:
        bruno = await world.person()
        listener = Listener()
        online = await world.online(bruno, listener)
        counter = bruno.runs.counter
        world.device_streams[-1].drop()
        online.own_home.wake()
        await eventually(lambda: bool(listener.log_outs))
        online.own_home.wake()
        await listener.until_log_ins(2)
        assert (bruno.runs.counter, bruno.runs.replaced) == (counter, 0)
