"""docs/protocol/home.md, "Log-in", "Work", "What is refused", record by record, without our own client's manners."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path

import pytest

from mepassa.identity import account_id, auth_message
from mepassa.model.envelope import SealedEnvelope
from mepassa.model.errors import BusyError, HomeUnreachableError
from mepassa.model.ids import AccountId, Address
from mepassa.server.hello import HELLO_DEADLINE_S
from mepassa.server.mailbox import Outbox, Session
from mepassa.server.mailbox_socket import LOGIN_DEADLINE_S
from mepassa.testing import LoopClock, ManualClock, VirtualLoop
from mepassa.testing.people import Person
from mepassa.transports.mailbox.channel import Channel, Greeting, greet
from mepassa.wire import mailbox as wire
from mepassa.wire.wellknown import DEPOSIT_PATH, MAILBOX_PATH, RegistrationPolicy
from mepassa.wire.work import WorkPurpose, search_work, work_subject
from tests.server.home_world import EASY, HomeWorld, home_world
from tests.server.test_recovery import anew

BROKEN_RULES = wire.Bye(wire.ByeReason.PROTOCOL)
FAREWELL = wire.Bye(wire.ByeReason.STOPPING)
HARD = replace(EASY, request_work_bits=40, register_work_bits=40)
"""Work that nobody has done by chance."""
UNSEARCHED = 7
"""A solution that nothing was searched for."""


class Talk:
    """One greeted socket, a record at a time."""

    def __init__(self, world: HomeWorld, channel: Channel[object, object], greeting: Greeting) -> None:
        self.world, self.channel, self.greeting = world, channel, greeting

    @classmethod
    async def begin(cls, world: HomeWorld, path: str = MAILBOX_PATH) -> "Talk":
        encode, decode = {
            MAILBOX_PATH: (wire.encode_mailbox_to_home, wire.decode_mailbox_to_device),
            DEPOSIT_PATH: (wire.encode_deposit_to_home, wire.decode_deposit_to_client),
        }[path]
        stream = await world.dial(world.address.url, path)
        channel = Channel[object, object](stream, encode, decode)  # type: ignore[arg-type]  # either socket's records
        return cls(world, channel, await greet(channel, world.address, world.clock, world.rng, lambda hello: hello))

    async def ask(self, record: object) -> object:
        self.channel.send(record)
        return await self.channel.receive_one()

    def auth(self, person: Person, *, signature: bytes | None = None) -> wire.Auth:
        counter, run_id = person.runs.counter + 1, person.runs.run_id
        message = auth_message(
            home_key=self.world.address.key,
            client_nonce=self.greeting.client_nonce,
            home_nonce=self.greeting.home.nonce,
            device=person.own,
            run_counter=counter,
            run_id=run_id,
        )
        return wire.Auth(person.own, counter, run_id, signature or person.sign(message))


def registers(person: Person, *, invite: str | None = None, work: int | None = None) -> wire.Register:
    return wire.Register(1, person.root.public, person.device_list, invite, work)


def run_virtually(scenario: Coroutine[object, object, None]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(scenario)


# --- before the log-in --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("records", [(wire.AskTurn(1),), (FAREWELL, wire.AskTurn(1))])
def test_before_the_log_in_one_record_at_a_time_and_none_of_a_devices(
    tmp_path: Path, records: tuple[wire.MailboxToHome, ...]
) -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        async with home_world(tmp_path, inline=True, clock=LoopClock(loop.time)) as world:
            begun, talk = loop.time(), await Talk.begin(world)
            for record in records:  # one turn of the loop, so one frame
                talk.channel.send(record)
            assert await talk.channel.receive_one() == BROKEN_RULES
            assert loop.time() - begun < LOGIN_DEADLINE_S

    run_virtually(scenario())


@pytest.mark.parametrize("path", [MAILBOX_PATH, DEPOSIT_PATH])
def test_who_says_nothing_is_let_go_after_ten_seconds_and_who_leaves_at_once(tmp_path: Path, path: str) -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        async with home_world(tmp_path, inline=True, clock=LoopClock(loop.time)) as world:
            begun, silent = loop.time(), await world.dial(world.address.url, path)
            gone = await world.dial(world.address.url, path)
            await gone.close()
            assert (said := await silent.receive()) is not None
            assert wire.decode_deposit_to_client(said) == (BROKEN_RULES,)
            assert loop.time() - begun == pytest.approx(HELLO_DEADLINE_S)

    run_virtually(scenario())


def test_who_takes_leave_before_the_log_in_is_let_go_without_a_word(tmp_path: Path) -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        async with home_world(tmp_path, inline=True, clock=LoopClock(loop.time)) as world:
            polite, hasty = [await Talk.begin(world) for _ in range(2)]
            begun = loop.time()
            await hasty.channel.close()
            with pytest.raises(HomeUnreachableError):
                await polite.ask(FAREWELL)
            assert loop.time() - begun < LOGIN_DEADLINE_S

    run_virtually(scenario())


async def test_a_refused_log_in_counts_and_past_the_limit_even_the_right_one_waits(tmp_path: Path) -> None:
    async with home_world(tmp_path, policy=replace(EASY, refusals_per_minute=2), clock=ManualClock()) as world:
        ana = await world.person()
        talk = await Talk.begin(world)
        for _ in range(2):
            wrong = talk.auth(ana, signature=bytes(64))
            assert await talk.ask(wrong) == wire.Refused(0, wire.Refusal.LOGIN)
        assert await talk.ask(talk.auth(ana)) == wire.Refused(0, wire.Refusal.BUSY, 60.0)


async def test_who_is_taken_off_the_list_while_it_logs_in_is_not_let_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with home_world(tmp_path) as world:
        ana = await world.person()
        connect = world.home.mailboxes.connect

        async def a_list_comes_between(mailbox: int, outbox: Outbox[wire.MailboxToDevice]) -> Session:
            session = await connect(mailbox, outbox)
            refusal, _removed = await world.home.directory.recover(ana.own.account, anew(world, ana)[1])
            assert refusal is None
            return session

        monkeypatch.setattr(world.home.mailboxes, "connect", a_list_comes_between)
        talk = await Talk.begin(world)
        assert await talk.ask(talk.auth(ana)) == wire.Refused(0, wire.Refusal.LOGIN)
        assert world.home.counters.devices_online == 0


# --- registration -------------------------------------------------------------------------------------------------------


async def test_so_many_accounts_an_hour_from_one_address(tmp_path: Path) -> None:
    async with home_world(tmp_path, policy=replace(EASY, registrations_per_hour=2), clock=ManualClock()) as world:
        people = [Person.make(world.rng, world.address) for _ in range(3)]
        talk = await Talk.begin(world)
        said = [await talk.ask(registers(person)) for person in people]
        assert said == [wire.Done(1), wire.Done(1), wire.Refused(1, wire.Refusal.BUSY, 3600.0)]


async def test_who_guesses_at_invites_is_told_to_wait(tmp_path: Path) -> None:
    policy = replace(EASY, refusals_per_minute=2)
    async with home_world(
        tmp_path, policy=policy, clock=ManualClock(), registration=RegistrationPolicy.INVITE
    ) as world:
        person, talk = Person.make(world.rng, world.address), await Talk.begin(world)
        said = [await talk.ask(registers(person, invite="WRONG-CODE")) for _ in range(3)]
        refused = wire.Refused(1, wire.Refusal.REGISTRATION)
        assert said == [refused, refused, wire.Refused(1, wire.Refusal.BUSY, 60.0)]


@pytest.mark.parametrize("work", [None, UNSEARCHED])
async def test_where_registration_asks_for_work_none_and_wrong_work_are_refused(
    tmp_path: Path, work: int | None
) -> None:
    async with home_world(tmp_path, policy=HARD, registration=RegistrationPolicy.WORK) as world:
        person, talk = Person.make(world.rng, world.address), await Talk.begin(world)
        assert await talk.ask(registers(person, work=work)) == wire.Refused(1, wire.Refusal.WORK)
        assert await world.home.directory.count() == 0


async def test_who_has_proven_one_root_key_may_still_register_another_account(tmp_path: Path) -> None:
    async with home_world(tmp_path) as world:
        ana, other = await world.person(), Person.make(world.rng, world.address)
        talk = await Talk.begin(world)
        proof = ana.root.sign_recovery(world.address.key, talk.greeting.client_nonce, talk.greeting.home.nonce)
        answer = await talk.ask(wire.Recover(1, ana.root.public, proof))
        assert answer == wire.Recoverable(1, ana.device_list)
        assert await talk.ask(registers(other)) == wire.Done(1)
        entry = await world.home.directory.entry(account_id(other.root.public))
        assert entry is not None
        assert entry.device_list == other.device_list


# --- without a token ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("work", [None, UNSEARCHED])
async def test_without_a_token_none_and_wrong_work_are_refused(tmp_path: Path, work: int | None) -> None:
    async with home_world(tmp_path, policy=HARD) as world:
        bruno = await world.person()
        talk = await Talk.begin(world, DEPOSIT_PATH)
        refused = wire.Refused(1, wire.Refusal.WORK)
        assert await talk.ask(wire.Deposit(1, bruno.own, b"sealed", None, work)) == refused
        assert await talk.ask(wire.FetchAccount(1, bruno.own.account, work=work)) == refused
        assert await world.waiting() == 0


async def test_work_for_an_account_that_is_not_there_is_refused_as_a_wrong_token_is(tmp_path: Path) -> None:
    async with home_world(tmp_path) as world:
        nobody = AccountId(bytes(16))
        talk = await Talk.begin(world, DEPOSIT_PATH)
        nonce, subject = talk.greeting.home.nonce, work_subject(nobody.raw)
        work = search_work(nonce, WorkPurpose.FETCH, subject, EASY.request_work_bits, range(10_000))
        refused = wire.Refused(1, wire.Refusal.TOKEN)
        assert await talk.ask(wire.FetchAccount(1, nobody, work=work)) == refused


async def test_guessing_at_devices_and_tokens_counts_and_signals_wait_too(tmp_path: Path) -> None:
    async with home_world(tmp_path, policy=replace(EASY, refusals_per_minute=2), clock=ManualClock()) as world:
        bruno = await world.person()
        sender = world.sender()
        for device in (2, 3):
            await sender.signal(Address(bruno.own.account, device), SealedEnvelope(b"?"), bruno.signal_token)
        with pytest.raises(BusyError) as caught:
            await sender.signal(bruno.own, SealedEnvelope(b"meet"), bruno.signal_token)
        assert caught.value.retry_after_s == 60
