"""docs/protocol/home.md, "What is refused": whatever comes in on a socket, the home closes it or answers; it never fails."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from mepassa.model.envelope import SealedEnvelope
from mepassa.model.errors import LinkLostError, MalformedError
from mepassa.model.ids import AccountId, Address, EnvelopeId, RunId
from mepassa.ports.frames import FrameStream
from mepassa.testing.people import Listener, Person, fake_prekeys
from mepassa.transports.mailbox.channel import Channel, greet
from mepassa.transports.mailbox.own import MailboxOwnHome
from mepassa.wire import mailbox as wire
from mepassa.wire.wellknown import DEPOSIT_PATH, MAILBOX_PATH
from tests.server.home_world import EASY, HOST, HomeWorld, eventually, home_world
from tests.wire.test_mailbox_codec import CODECS, mutate

ALIVE = SealedEnvelope(b"still alive")
HELLO = wire.Hello(bytes(32))


async def drained(stream: FrameStream) -> list[bytes]:
    """All that is still said until the other side closes."""
    frames = []
    while (frame := await stream.receive()) is not None:
        frames.append(frame)
    return frames


def last_word(frames: Sequence[bytes]) -> object:
    return wire.decode_deposit_to_client(frames[-1])[-1]


GARBAGE = {
    "random bytes": b"\xffgarbage",
    "an empty frame": b"",
    "a frame too large": bytes(wire.MAX_FRAME_BYTES + 1),
    "a record of the other socket": wire.encode_mailbox_to_home([wire.AskTurn(1)]),
    "what only a home says": wire.encode_deposit_to_client([wire.Deposited(1, wire.Outcome.STORED)]),
    "two records before the hello": wire.encode_deposit_to_home([HELLO, HELLO]),
    "a deposit before the hello": wire.encode_deposit_to_home(
        [wire.Deposit(1, Address(AccountId(bytes(16)), 1), b"x", bytes(16))]
    ),
}


@pytest.mark.parametrize("name", GARBAGE)
@pytest.mark.parametrize("path", [DEPOSIT_PATH, MAILBOX_PATH])
@pytest.mark.parametrize("greeted", [False, True])
async def test_a_peer_that_breaks_the_rules_is_told_and_closed(
    tmp_path: Path, name: str, path: str, greeted: bool
) -> None:
    async with home_world(tmp_path) as world:
        stream = await world.dial("https://" + HOST, path)
        if greeted:
            await stream.send(wire.encode_deposit_to_home([HELLO]))
            assert await stream.receive()
            if name == "a record of the other socket" and path == MAILBOX_PATH:
                name = "random bytes"  # that one is a record of this socket
            if name == "a deposit before the hello" and path == DEPOSIT_PATH:
                name = "random bytes"
        await stream.send(GARBAGE[name])
        assert last_word(await drained(stream)) == wire.Bye(wire.ByeReason.PROTOCOL)


async def test_mutated_conversations_never_fail_the_home(tmp_path: Path, seed: int) -> None:
    """Whole conversations with a few bytes changed, on both sockets; afterwards the home still does its work."""
    dice = Random(seed)
    async with home_world(tmp_path) as world:
        bruno = await world.person()
        for name, path in (("deposit to home", DEPOSIT_PATH), ("mailbox to home", MAILBOX_PATH)) * 40:
            encode, _, records = CODECS[name]
            stream = await world.dial("https://" + HOST, path)
            try:
                await stream.send(wire.encode_deposit_to_home([HELLO]))
                assert await stream.receive()
                for _ in range(4):
                    await stream.send(mutate(encode(dice.sample(records, dice.randint(1, 4))), dice))
                    await asyncio.sleep(0)
            except LinkLostError:
                pass  # it had enough of us
            await stream.close()
        await eventually(lambda: all(task.done() for task in world.tasks))
        assert [task.exception() for task in world.tasks if not task.cancelled()].count(None) == len(world.tasks)
        assert await world.sender().signal(bruno.own, ALIVE, bruno.signal_token)


async def logged_in(world: HomeWorld, person: Person) -> FrameStream:
    """A logged-in socket under the test's own hands."""
    stream = await world.dial(world.address.url, MAILBOX_PATH)
    channel: Channel[wire.MailboxToHome, wire.MailboxToDevice] = Channel(
        stream, wire.encode_mailbox_to_home, wire.decode_mailbox_to_device
    )
    greeting = await greet(channel, world.address, world.clock, world.rng, lambda hello: hello)
    own_home = MailboxOwnHome(world.dial, world.address, person, Listener(), clock=world.clock, rng=world.rng)
    answer = await own_home._authenticate(channel, greeting, await person.runs.rise())
    assert isinstance(answer, wire.LoggedIn)
    return stream


async def test_a_logged_in_device_that_breaks_the_rules_is_closed_too(tmp_path: Path) -> None:
    async with home_world(tmp_path) as world:
        bruno = await world.person()
        for record in (HELLO, wire.Auth(bruno.own, 1, RunId(bytes(16)), bytes(64)), wrong_prekeys()):
            stream = await logged_in(world, bruno)
            await stream.send(wire.encode_mailbox_to_home([record]))
            assert last_word(await drained(stream)) == wire.Bye(wire.ByeReason.PROTOCOL)
        assert world.home.counters.devices_online == 0


def wrong_prekeys() -> wire.PutPrekeys:
    good = fake_prekeys(1, 1)
    return wire.PutPrekeys(1, type(good)(good.signed_prekey, good.kyber_prekeys[0]))


async def test_a_device_cannot_acknowledge_for_another(tmp_path: Path) -> None:
    async with home_world(tmp_path) as world:
        ana, bruno = await world.person(), await world.person()
        await world.sender().deposit(bruno.own, ALIVE, bruno.delivery_token)
        stream = await logged_in(world, ana)
        id_ = EnvelopeId.of(b"still alive")
        await stream.send(wire.encode_mailbox_to_home([wire.Acknowledge((id_,)), wire.AskTurn(1)]))
        assert await stream.receive()
        assert await world.waiting() == 1
        await stream.close()


async def test_claiming_credit_does_not_widen_the_window(tmp_path: Path) -> None:
    """A device that says it has dealt with more than it was given still has one window in flight."""
    async with home_world(tmp_path) as world:
        bruno = await world.person()
        sender = world.sender()
        stream = await logged_in(world, bruno)
        await stream.send(wire.encode_mailbox_to_home([wire.Credit(2 * wire.DELIVERY_WINDOW_BYTES)] * 50))
        envelopes = [number.to_bytes(2) * 16 * 1024 for number in range(80)]
        await asyncio.gather(
            *(sender.deposit(bruno.own, SealedEnvelope(each), bruno.delivery_token) for each in envelopes)
        )
        window = wire.DELIVERY_WINDOW_BYTES // (32 * 1024)
        assert len(world.session(bruno.own).in_flight) <= window + 1
        await stream.close()


async def test_an_address_with_too_many_sockets_gets_no_more(tmp_path: Path) -> None:
    async with home_world(tmp_path, policy=replace(EASY, sockets_per_address=3)) as world:
        streams = [await world.dial(world.address.url, DEPOSIT_PATH) for _ in range(4)]
        assert last_word(await drained(streams[3])) == wire.Bye(wire.ByeReason.BUSY)
        await streams[0].close()
        await eventually(lambda: any(task.done() for task in list(world.tasks)[:3]))
        another = await world.dial(world.address.url, DEPOSIT_PATH)
        await another.send(wire.encode_deposit_to_home([HELLO]))
        assert await another.receive()


class Sleeper(Listener):
    """A device whose disk is full: it takes nothing until it is woken."""

    def __init__(self) -> None:
        super().__init__()
        self.woken = asyncio.Event()

    async def envelope_delivered(self, envelope: SealedEnvelope) -> None:
        await self.woken.wait()
        await super().envelope_delivered(envelope)


async def test_a_home_that_delivers_past_its_credit_is_left_before_it_fills_our_memory(tmp_path: Path) -> None:
    async with home_world(tmp_path) as world:
        bruno = await world.person()
        online = await world.online(bruno, Sleeper())
        session = world.session(bruno.own)
        window = wire.DELIVERY_WINDOW_BYTES // 30_000
        for number in range(window):  # what the credit allows
            session.push(number.to_bytes(16), number.to_bytes(2) + bytes(30_000))
        await asyncio.sleep(0.05)
        assert online.own_home.logged_in
        for number in range(window, 3 * window):
            session.push(number.to_bytes(16), number.to_bytes(2) + bytes(30_000))
        await eventually(lambda: isinstance(online.own_home.trouble, MalformedError))
        await online.leave()
