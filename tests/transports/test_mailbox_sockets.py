"""docs/protocol/home.md over real WebSockets: the device's side against a real home process."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import msgspec
import pytest
from aiohttp import web

from devtools.home_process import HomeProcess, home_process
from mepassa.identity import HomeKeyPair
from mepassa.model.envelope import SealedEnvelope
from mepassa.model.errors import HomeUnreachableError, InvalidInputError, MalformedError, SignatureError
from mepassa.model.ids import Timestamp
from mepassa.model.keys import HomeKey
from mepassa.ports.clock import SystemClock
from mepassa.ports.mailbox import DepositOutcome, HomeAddress, SignalOutcome
from mepassa.server.home import sign_well_known
from mepassa.testing import SeededRng
from mepassa.testing.people import Listener, Person, fake_prekeys
from mepassa.transports.mailbox import (
    MailboxOwnHome,
    Registration,
    SealedHomes,
    WebSocketDialer,
    fetch_well_known,
    register,
    verify_well_known,
)
from mepassa.transports.mailbox.sockets import dialled_url
from mepassa.wire import mailbox as wire
from mepassa.wire.wellknown import (
    DEPOSIT_PATH,
    MAILBOX_PATH,
    WELL_KNOWN_PATH,
    RegistrationPolicy,
    SignedWellKnown,
    WellKnown,
    encode_signed_well_known,
)

CLOCK = SystemClock()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HomeProcess]:
    with home_process(tmp_path_factory.mktemp("sockets"), roles=["mailbox", "relay"]) as running:
        yield running


async def registered(dial: WebSocketDialer, address: HomeAddress, rng: SeededRng) -> Person:
    person = Person.make(rng, address)
    await register(dial, address, Registration(person.root.public, person.device_list), clock=CLOCK, rng=rng)
    return person


async def test_two_people_one_home_over_real_sockets(home: HomeProcess) -> None:
    rng = SeededRng("two people")
    inside, outside = WebSocketDialer(private_homes=True), WebSocketDialer(private_homes=True)
    bruno = await registered(inside, home.address, rng)
    listener = Listener()
    own_home = MailboxOwnHome(inside, home.address, bruno, listener, clock=CLOCK, rng=rng)
    task = asyncio.create_task(own_home.run())
    await listener.until_log_ins(1)
    await own_home.put_tokens(bruno.token_records())
    await own_home.put_prekeys(fake_prekeys())
    turn = listener.log_ins[0]
    assert turn is not None
    assert turn.servers[0] == f"turn:127.0.0.1:{home.ready['turn']['udp'][0]}?transport=udp"
    assert own_home.turn == turn
    assert own_home.clock_offset_s is not None
    assert abs(own_home.clock_offset_s) < 60

    homes = SealedHomes(outside, clock=CLOCK, rng=rng)
    sender = homes.recipient(home.address)
    assert homes.recipient(home.address) is sender
    envelopes = [SealedEnvelope(number.to_bytes(2) + bytes(20_000)) for number in range(50)]
    outcomes = await asyncio.gather(*(sender.deposit(bruno.own, each, bruno.delivery_token) for each in envelopes))
    assert set(outcomes) <= {DepositOutcome.DELIVERED, DepositOutcome.STORED}
    await listener.until_envelopes(50)
    assert listener.envelopes == envelopes
    assert await sender.signal(bruno.own, SealedEnvelope(b"meet"), bruno.signal_token) is SignalOutcome.FORWARDED
    bundle = (await sender.fetch_account(bruno.own.account, bruno.delivery_token)).bundles[0]
    assert bundle.identity_key == bruno.device_key.public

    await homes.close()
    task.cancel()
    await asyncio.wait([task])
    await inside.close()
    await outside.close()


async def test_a_home_that_comes_back_finds_its_devices_again(tmp_path: Path) -> None:
    rng, dial, listener = SeededRng("comes back"), WebSocketDialer(private_homes=True), Listener()
    with home_process(tmp_path) as first:
        address, port = first.address, first.port
        bruno = await registered(dial, address, rng)
        own_home = MailboxOwnHome(dial, address, bruno, listener, clock=CLOCK, rng=rng)
        task = asyncio.create_task(own_home.run())
        await listener.until_log_ins(1)
        assert first.stop() == 0
    while not listener.log_outs:  # the listener has no word for it
        await asyncio.sleep(0.01)
    assert not own_home.logged_in
    with pytest.raises(HomeUnreachableError):
        await own_home.put_tokens(bruno.token_records())
    with home_process(tmp_path, listen_port=port):
        own_home.wake()
        await listener.until_log_ins(2)
        await own_home.put_tokens(bruno.token_records())
        task.cancel()
        await asyncio.wait([task])
    await dial.close()


async def test_a_home_that_is_not_there_is_unreachable(home: HomeProcess) -> None:
    rng, dial = SeededRng("nowhere"), WebSocketDialer(private_homes=True)
    with socket.socket() as silent:  # bound, so that nobody else gets the port, and not listening
        silent.bind(("127.0.0.1", 0))
        nowhere = HomeAddress(f"http://127.0.0.1:{silent.getsockname()[1]}", home.address.key)
        bruno = Person.make(rng, nowhere)
        sender = SealedHomes(dial, clock=CLOCK, rng=rng).recipient(nowhere)
        with pytest.raises(HomeUnreachableError):
            await sender.deposit(bruno.own, SealedEnvelope(b"x"), bytes(16))
        with pytest.raises(HomeUnreachableError):
            await fetch_well_known(nowhere.url, expected_key=None, clock=CLOCK)
    await dial.close()


async def test_another_home_at_the_same_address_is_noticed(home: HomeProcess) -> None:
    rng, dial = SeededRng("another"), WebSocketDialer(private_homes=True)
    wrong = HomeAddress(home.url, HomeKey(b"\x02" * 32))
    homes = SealedHomes(dial, clock=CLOCK, rng=rng)
    with pytest.raises(SignatureError):
        await homes.recipient(wrong).deposit(Person.make(rng, wrong).own, SealedEnvelope(b"x"), bytes(16))
    with pytest.raises(SignatureError):
        await fetch_well_known(home.url, expected_key=wrong.key, clock=CLOCK)
    await homes.close()
    await dial.close()


def test_a_homes_document_is_its_keys_own_or_nothing() -> None:
    """Expected: from a contact's card or the last time. At the first meeting, the key inside."""
    ours, theirs = HomeKeyPair.generate(), HomeKeyPair.generate()
    document = WellKnown(ours.public, Timestamp(5), (1,), True, RegistrationPolicy.OPEN, 0, 18)
    about_others = msgspec.structs.replace(document, home_key=theirs.public)
    for expected in (ours.public, None):
        assert verify_well_known(sign_well_known(ours, document), expected) == document
        with pytest.raises(SignatureError):
            verify_well_known(sign_well_known(theirs, document), expected)
    with pytest.raises(SignatureError):
        verify_well_known(sign_well_known(ours, about_others), ours.public)
    unsigned = encode_signed_well_known(SignedWellKnown(b"no document", bytes(64)))
    with pytest.raises(SignatureError):
        verify_well_known(unsigned, ours.public)


@pytest.mark.parametrize("path", [MAILBOX_PATH, DEPOSIT_PATH])
@pytest.mark.parametrize("what", ["text", "oversize", "garbage"])
async def test_garbage_on_a_real_socket_closes_it(home: HomeProcess, path: str, what: str) -> None:
    async with aiohttp.ClientSession() as client, client.ws_connect(home.url + path, max_msg_size=0) as opened:
        match what:
            case "text":
                await opened.send_str("hello?")
            case "oversize":
                await opened.send_bytes(bytes(wire.MAX_FRAME_BYTES + 1))
            case _:
                await opened.send_bytes(b"\x92\x01\xff")
        while (message := await opened.receive()).type is aiohttp.WSMsgType.BINARY:
            assert wire.decode_deposit_to_client(message.data) == (wire.Bye(wire.ByeReason.PROTOCOL),)
        assert message.type in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING}


async def test_an_oversize_frame_from_a_home_is_malformed(home: HomeProcess) -> None:
    async def shout(request: web.Request) -> web.WebSocketResponse:
        opened = web.WebSocketResponse()
        await opened.prepare(request)
        await opened.send_bytes(bytes(wire.MAX_FRAME_BYTES + 1))
        await opened.receive()
        return opened

    app = web.Application()
    app.router.add_get(DEPOSIT_PATH, shout)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    dial = WebSocketDialer(private_homes=True)
    stream = await dial(f"http://127.0.0.1:{runner.addresses[0][1]}", DEPOSIT_PATH)
    with pytest.raises(MalformedError):
        await stream.receive()
    await stream.close()
    await dial.close()
    await runner.cleanup()


@pytest.mark.parametrize(
    "url", ["http://example.org", "ftp://example.org", "https://user@example.org", "https://example.org/x", "https://", "x",
            "https://example.org:99999", "https://example.org?x", "https://exa\u0301mple.org"],
)  # fmt: skip
def test_what_is_no_address_of_a_home_is_said_so(url: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        dialled_url(url, insecure_home=False)
    assert caught.value.field == "home"


def test_plain_http_is_for_loopback_or_for_whoever_insists() -> None:
    assert str(dialled_url("http://127.0.0.1:8080/", insecure_home=False)) == "http://127.0.0.1:8080"
    assert str(dialled_url("http://[::1]:8080", insecure_home=False)) == "http://[::1]:8080"
    assert str(dialled_url("http://example.org", insecure_home=True)) == "http://example.org"
    with pytest.raises(InvalidInputError):
        dialled_url("http://anything.localhost", insecure_home=False)  # some systems ask the network for it


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1", "https://10.0.0.1", "https://[fe80::1]", "https://[::ffff:192.168.1.1]"]
)
async def test_a_strangers_card_does_not_reach_into_our_own_network(url: str) -> None:
    dial = WebSocketDialer()
    with pytest.raises(InvalidInputError):
        await dial(url, DEPOSIT_PATH)
    await dial.close()


async def test_a_name_that_leads_to_a_private_address_is_not_dialled(home: HomeProcess) -> None:
    dial = WebSocketDialer()
    with pytest.raises(HomeUnreachableError):
        await dial(f"http://localhost:{home.port}", DEPOSIT_PATH)
    await dial.close()


@pytest.mark.parametrize(
    "date", ["1 Jan 99999999999999999999 00:00:00 GMT", "1 Jan 2020 00:00:00 99999999999999999999", "yesterday", ""]
)
async def test_a_date_that_is_none_costs_the_clock_check_and_nothing_else(home: HomeProcess, date: str) -> None:
    """The header is not signed: whoever sits between may write anything there."""
    async with aiohttp.ClientSession() as client, client.get(home.url + WELL_KNOWN_PATH) as genuine:
        signed = await genuine.read()

    async def document(_request: web.Request) -> web.Response:
        return web.Response(body=signed, headers={"Date": date})

    app = web.Application()
    app.router.add_get(WELL_KNOWN_PATH, document)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    found = await fetch_well_known(url, expected_key=home.address.key, clock=CLOCK)
    assert found.clock_offset_s is None
    await runner.cleanup()
