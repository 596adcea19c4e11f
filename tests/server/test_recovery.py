"""docs/protocol/home.md, "Recovery": the root key alone names an account's devices anew, and nothing less does."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from mepassa.identity import IdentityKeyPair, RootKey, hash_token, sign_device_list
from mepassa.model.device_list import DeviceEntry, DeviceList, SignedDeviceList
from mepassa.model.envelope import SealedEnvelope
from mepassa.model.errors import BusyError, DeviceListForkError, DeviceListStaleError, SignatureError, TokenRefusedError
from mepassa.model.ids import Address, RunId
from mepassa.model.keys import HomeKey
from mepassa.model.secret import SecretBytes
from mepassa.ports.mailbox import TokenRecord
from mepassa.server.directory import LoginState
from mepassa.testing.people import Person, Runs, fake_prekeys
from mepassa.transports.mailbox import (
    AccountUnknownError,
    Recovery,
    Registration,
    RegistrationRefusedError,
    recover,
    register,
)
from mepassa.wire.mailbox import Refusal, TokenEntry, TokenRight
from mepassa.wire.wellknown import RegistrationPolicy
from tests.server.home_world import EASY, HomeWorld, eventually, home_world

SEALED = SealedEnvelope(b"for the lost device")


def anew(world: HomeWorld, person: Person, number: int = 2, version: int = 9) -> tuple[Person, SignedDeviceList]:
    """The same account on another device, and the list that names it alone."""
    key = IdentityKeyPair(SecretBytes(world.rng.token(32)))
    entry = DeviceEntry(number, key.public, 55)
    devices = DeviceList(version, person.device_list.hash, (entry,), world.address.url, world.address.key)
    signed = sign_device_list(person.root, devices)
    own = Address(person.own.account, number)
    fresh = replace(person, device_key=key, own=own, device_list=signed, runs=Runs(RunId(world.rng.token(16))))
    return replace(fresh, profile_key=world.rng.token(32)), signed


async def recovers(
    world: HomeWorld, root: RootKey, signed: SignedDeviceList, *, prover: RootKey | None = None
) -> SignedDeviceList:
    """Returns the list that the home had."""
    seen: list[SignedDeviceList] = []

    async def renew(known: SignedDeviceList) -> SignedDeviceList:
        seen.append(known)
        return signed

    def prove(client_nonce: bytes, home_nonce: bytes) -> bytes:
        return (prover or root).sign_recovery(world.address.key, client_nonce, home_nonce)

    await recover(world.dial, world.address, Recovery(root.public, prove, renew), clock=world.clock, rng=world.rng)
    return seen[0]


async def test_a_new_device_takes_the_place_of_all_old_ones(tmp_path: Path) -> None:
    async with home_world(tmp_path) as world:
        ana = await world.person()
        await world.sender().deposit(ana.own, SEALED, ana.delivery_token)
        old = await world.online(ana)
        fresh, signed = anew(world, ana)
        assert await recovers(world, ana.root, signed) == ana.device_list, "told what it has to be above"
        await eventually(lambda: bool(old.listener.log_outs))
        assert await world.waiting() == 0, "sealed for keys that are gone"
        for token in (ana.delivery_token, ana.signal_token):
            with pytest.raises(TokenRefusedError):
                await world.sender().fetch_account(ana.own.account, token)
        with pytest.raises(TokenRefusedError):
            await world.sender().deposit(fresh.own, SEALED, ana.delivery_token)
        found = await world.sender().fetch_account(ana.own.account, None, prekeys=False)
        assert found.device_list == signed, "by work, as anybody: so contacts learn of it"

        online = await world.online(fresh)
        await online.own_home.put_tokens(fresh.token_records())
        await online.own_home.put_prekeys(fake_prekeys())
        await world.sender().deposit(fresh.own, SEALED, fresh.delivery_token)
        await online.listener.until_envelopes(1)
        await old.leave()


async def test_a_removed_device_that_still_talks_gives_no_rights(tmp_path: Path) -> None:
    async with home_world(tmp_path) as world:
        ana = await world.person()
        directory = world.home.directory
        entry = await directory.entry(ana.own.account)
        assert entry is not None
        mailbox = entry.devices[0].mailbox
        _, signed = anew(world, ana)
        await recovers(world, ana.root, signed)
        token = b"i" * 16
        given = (TokenEntry(hash_token(token), TokenRight.DELIVERY, None),)
        assert await directory.put_tokens(ana.own.account, mailbox, given, ()) is Refusal.LOGIN
        assert await directory.log_in(mailbox, 99, RunId(bytes(16))) == (LoginState.ROLLED_BACK, 99)
        with pytest.raises(TokenRefusedError):
            await world.sender().fetch_account(ana.own.account, token)


async def test_the_old_device_is_not_let_in_again(tmp_path: Path) -> None:
    async with home_world(tmp_path) as world:
        ana = await world.person()
        _, signed = anew(world, ana)
        await recovers(world, ana.root, signed)
        refused = world.home.counters.log_ins_refused
        task = asyncio.create_task(online_forever(world, ana))
        await eventually(lambda: world.home.counters.log_ins_refused > refused)
        task.cancel()
        await asyncio.wait([task])


async def online_forever(world: HomeWorld, person: Person) -> None:
    await world.online(person)


async def test_said_twice_it_is_done_once_and_a_third_device_may_come_later(tmp_path: Path) -> None:
    async with home_world(tmp_path) as world:
        ana = await world.person()
        fresh, signed = anew(world, ana)
        await recovers(world, ana.root, signed)
        online = await world.online(fresh)
        await online.own_home.put_tokens(fresh.token_records())
        assert await recovers(world, ana.root, signed) == signed
        await world.sender().fetch_account(ana.own.account, fresh.delivery_token)
        await online.leave()
        _, third = anew(world, fresh, number=3, version=10)
        assert await recovers(world, ana.root, third) == signed


async def test_no_invite_and_no_work_are_asked_of_somebody_who_lives_here(tmp_path: Path) -> None:
    async with home_world(tmp_path, registration=RegistrationPolicy.INVITE) as world:
        ana = Person.make(world.rng, world.address)
        invite = await world.home.invites.make_first(1)
        registration = Registration(ana.root.public, ana.device_list, invite)
        await register(world.dial, world.address, registration, clock=world.clock, rng=world.rng)
        await recovers(world, ana.root, anew(world, ana)[1])


async def test_whoever_has_not_the_root_key_is_told_nothing_and_changes_nothing(tmp_path: Path) -> None:
    """Not even with a list that the root key has signed: lists are seen by every contact."""
    async with home_world(tmp_path) as world:
        ana = await world.person()
        _, signed = anew(world, ana)
        thief = RootKey(SecretBytes(world.rng.token(32)))
        with pytest.raises(AccountUnknownError):
            await recovers(world, ana.root, signed, prover=thief)
        with pytest.raises(AccountUnknownError):
            await recovers(world, thief, signed)
        registration = Registration(ana.root.public, signed)
        with pytest.raises(RegistrationRefusedError):
            await register(world.dial, world.address, registration, clock=world.clock, rng=world.rng)
        found = await world.sender().fetch_account(ana.own.account, ana.delivery_token)
        assert found.device_list == ana.device_list


async def test_a_proof_is_for_one_home_and_one_hello(tmp_path: Path) -> None:
    async with home_world(tmp_path) as world:
        ana = await world.person()
        _, signed = anew(world, ana)
        kept: list[bytes] = []

        async def renew(_known: SignedDeviceList) -> SignedDeviceList:
            return signed

        def overheard(client_nonce: bytes, home_nonce: bytes) -> bytes:
            kept.append(ana.root.sign_recovery(world.address.key, client_nonce, home_nonce))
            return bytes(64)

        def elsewhere(client_nonce: bytes, home_nonce: bytes) -> bytes:
            return ana.root.sign_recovery(HomeKey(bytes(32)), client_nonce, home_nonce)

        for prove in (overheard, lambda _client, _home: kept[0], elsewhere):
            recovery = Recovery(ana.root.public, prove, renew)
            with pytest.raises(AccountUnknownError):
                await recover(world.dial, world.address, recovery, clock=world.clock, rng=world.rng)


async def test_the_new_list_must_be_newer_ours_and_keep_no_number_with_another_key(tmp_path: Path) -> None:
    async with home_world(tmp_path) as world:
        ana, first = anew(world, await world.person(), version=5)
        await recovers(world, ana.root, first)
        stranger = Person.make(world.rng, world.address, version=50)
        entry = DeviceEntry(3, IdentityKeyPair(SecretBytes(world.rng.token(32))).public, 1)
        elsewhere = DeviceList(9, bytes(32), (entry,), "https://elsewhere.test", HomeKey(bytes(32)))
        for signed, error in (
            (anew(world, ana, number=3, version=4)[1], DeviceListStaleError),
            (anew(world, ana, number=3, version=5)[1], DeviceListForkError),
            (anew(world, ana, number=2, version=9)[1], SignatureError),
            (stranger.device_list, SignatureError),
            (sign_device_list(ana.root, elsewhere), RegistrationRefusedError),
        ):
            with pytest.raises(error):
                await recovers(world, ana.root, signed)
        found = await world.sender().fetch_account(ana.own.account, None, prekeys=False)
        assert found.device_list == first


async def test_the_invites_that_the_lost_device_has_given_out_end(tmp_path: Path) -> None:
    async with home_world(tmp_path) as world:
        ana = await world.person()
        online = await world.online(ana)
        await online.own_home.put_tokens((TokenRecord(hash_token(b"i" * 16), "invite"),))
        await online.leave()
        await recovers(world, ana.root, anew(world, ana)[1])
        with pytest.raises(TokenRefusedError):
            await world.sender().fetch_account(ana.own.account, b"i" * 16)


async def test_whoever_keeps_guessing_is_told_to_wait(tmp_path: Path) -> None:
    async with home_world(tmp_path, policy=replace(EASY, refusals_per_minute=3)) as world:
        ana = await world.person()
        thief = RootKey(SecretBytes(world.rng.token(32)))
        for _ in range(3):
            with pytest.raises(AccountUnknownError):
                await recovers(world, ana.root, ana.device_list, prover=thief)
        with pytest.raises(BusyError):
            await recovers(world, ana.root, ana.device_list, prover=thief)
