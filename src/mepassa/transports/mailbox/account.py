"""Before there is a log-in: what a home says of itself, and making an account there."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from mepassa.identity import home_document_message, verify_home
from mepassa.model.device_list import SignedDeviceList
from mepassa.model.errors import HomeUnreachableError, SignatureError
from mepassa.model.keys import HomeKey, RootPublicKey
from mepassa.ports.clock import Clock
from mepassa.ports.mailbox import HomeAddress
from mepassa.ports.rng import Rng
from mepassa.transports.mailbox.channel import CONNECT_DEADLINE_S, Channel, greet
from mepassa.transports.mailbox.errors import AccountUnknownError, expect
from mepassa.transports.mailbox.sockets import DialHome, WebSocketDialer
from mepassa.transports.mailbox.work import solve
from mepassa.wire.mailbox import (
    Done,
    MailboxToDevice,
    MailboxToHome,
    Recover,
    Recoverable,
    Refusal,
    Refused,
    Register,
    decode_mailbox_to_device,
    encode_mailbox_to_home,
)
from mepassa.wire.wellknown import (
    MAILBOX_PATH,
    WELL_KNOWN_PATH,
    WellKnown,
    decode_signed_well_known,
    decode_well_known,
)
from mepassa.wire.work import WorkPurpose, work_subject


@dataclass(frozen=True, slots=True)
class FetchedWellKnown:
    """`clock_offset_s`: own wall clock minus the home's (its Date header, so ±1 s); None where it sends none."""

    document: WellKnown
    clock_offset_s: float | None


async def fetch_well_known(
    url: str, *, expected_key: HomeKey | None, clock: Clock, insecure_home: bool = False, private_homes: bool = True
) -> FetchedWellKnown:
    """The document, its signature verified against `expected_key`, or, at the first meeting, against the key inside.

    Raises `HomeUnreachableError`, `SignatureError`, `MalformedError`, or `InvalidInputError` (field "home").
    """
    dialer = WebSocketDialer(insecure_home=insecure_home, private_homes=private_homes)
    try:
        data, date = await dialer.get(url, WELL_KNOWN_PATH)
    finally:
        await dialer.close()
    document = verify_well_known(data, expected_key)
    return FetchedWellKnown(document, _offset_s(date, clock))


def verify_well_known(data: bytes, expected_key: HomeKey | None) -> WellKnown:
    """Raises `SignatureError`, `MalformedError` or `TooLargeError`."""
    signed = decode_signed_well_known(data)
    if expected_key is not None:
        verify_home(expected_key, home_document_message(signed.body), signed.signature)
        document = decode_well_known(signed.body)
        if document.home_key != expected_key:
            raise SignatureError
        return document
    document = decode_well_known(signed.body)
    verify_home(document.home_key, home_document_message(signed.body), signed.signature)
    return document


@dataclass(frozen=True, slots=True)
class Recovery:
    """What recovering needs of whoever has the root key. `prove`: client nonce, home nonce -> signature.

    `renew` is handed the list that the home has, and gives the one to take its place; what it raises comes out.
    """

    root_key: RootPublicKey
    prove: Callable[[bytes, bytes], bytes]
    renew: Callable[[SignedDeviceList], Awaitable[SignedDeviceList]]


async def recover(dial: DialHome, home: HomeAddress, recovery: Recovery, *, clock: Clock, rng: Rng) -> None:
    """Name the account's devices anew by its root key alone (docs/protocol/home.md, "Recovery").

    Raises `AccountUnknownError`, `RegistrationRefusedError`, `DeviceListStaleError`, `SignatureError`,
    `HomeUnreachableError`, `BusyError`, `MalformedError`.
    """
    stream = await dial(home.url, MAILBOX_PATH)
    channel: Channel[MailboxToHome, MailboxToDevice] = Channel(stream, encode_mailbox_to_home, decode_mailbox_to_device)
    try:
        async with asyncio.timeout(CONNECT_DEADLINE_S):
            greeting = await greet(channel, home, clock, rng, lambda hello: hello)
            channel.send(Recover(1, recovery.root_key, recovery.prove(greeting.client_nonce, greeting.home.nonce)))
            answer = await channel.receive_one()
            if isinstance(answer, Refused) and answer.reason is Refusal.LOGIN:
                raise AccountUnknownError
            known = expect(answer, Recoverable)
            renewed = await recovery.renew(known.device_list)
            channel.send(Register(2, recovery.root_key, renewed))
            expect(await channel.receive_one(), Done)
    except TimeoutError:
        raise HomeUnreachableError from None
    finally:
        await channel.close()


def _offset_s(date: str | None, clock: Clock) -> float | None:
    if date is None:
        return None
    try:
        home_s = parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError, OSError):  # the second for a year of twenty digits, the third for year 1
        return None
    return clock.now_ms() / 1000 - home_s


@dataclass(frozen=True, slots=True)
class Registration:
    root_key: RootPublicKey
    device_list: SignedDeviceList
    invite: str | None = None


async def register(dial: DialHome, home: HomeAddress, registration: Registration, *, clock: Clock, rng: Rng) -> None:
    """Make the account at its home; the same root and list again is fine. Does the proof of work that the home asks.

    Raises `RegistrationRefusedError` (field "invite"), `SignatureError`, `HomeUnreachableError`, `BusyError`,
    `MalformedError`.
    """
    stream = await dial(home.url, MAILBOX_PATH)
    channel: Channel[MailboxToHome, MailboxToDevice] = Channel(stream, encode_mailbox_to_home, decode_mailbox_to_device)
    try:
        async with asyncio.timeout(CONNECT_DEADLINE_S):
            greeting = await greet(channel, home, clock, rng, lambda hello: hello)
        solution = None
        if bits := greeting.home.register_work_bits:
            subject = work_subject(registration.root_key.raw)
            solution = await solve(greeting.home.nonce, WorkPurpose.REGISTER, subject, bits)
        async with asyncio.timeout(CONNECT_DEADLINE_S):
            channel.send(Register(1, registration.root_key, registration.device_list, registration.invite, solution))
            answer = await channel.receive_one()
    except TimeoutError:
        raise HomeUnreachableError from None
    finally:
        await channel.close()
    expect(answer, Done)
