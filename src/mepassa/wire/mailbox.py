"""What travels on a home's two WebSockets: `/v1/mailbox` (logged in) and `/v1/deposit` (sealed). docs/protocol/home.md

A frame is `[1, [record, …]]`, at most 256 KiB; a record is `[tag, field, …]`. Answers carry the `request` number of
what they answer and may come in any order. Four kinds of frame, one codec each, so that an end that speaks out of
turn is told apart by the decoder already.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import msgspec

from mepassa.model.card import Token
from mepassa.model.device_list import SignedDeviceList
from mepassa.model.envelope import MAX_ENVELOPE_BYTES
from mepassa.model.ids import AccountId, Address, DeviceId, EnvelopeId, RunId, Timestamp
from mepassa.model.keys import RootPublicKey
from mepassa.model.prekeys import PrekeyBundle, PrekeyUpload, Signature
from mepassa.model.secret import silent
from mepassa.wire.codec import Codec

MAX_FRAME_BYTES = 256 * 1024
"""One frame of either socket. The largest single record, an upload of 200 prekeys, is about 180 KB."""
MAX_RECORDS = 4096
"""Records in one frame; only acknowledgements and credits are small enough to come near."""
MAX_ACKNOWLEDGED = 4096
"""Envelope ids in one acknowledgement."""
RECORD_OVERHEAD_BYTES = 64
"""What a record costs beside its sealed bytes: the unit of credit is `len(sealed)` plus this."""
DELIVERY_WINDOW_BYTES = 1024 * 1024
"""Credit a device has at log-in. It bounds what waits at either end for a reader that has fallen asleep."""

Nonce = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
Hash32 = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
Sealed = Annotated[bytes, msgspec.Meta(min_length=1, max_length=MAX_ENVELOPE_BYTES)]
RequestNumber = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Counter = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
WorkSolution = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e6)]
Url = Annotated[str, msgspec.Meta(min_length=1, max_length=300)]
InviteCode = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class Refusal(StrEnum):
    """Why a request was not carried out."""

    TOKEN = "token"  # noqa: S105  # a reason, not a secret
    """Wrong, expired or revoked token, a right that it lacks, unknown account or device: one and the same."""
    MAILBOX_FULL = "mailbox_full"
    TOO_LARGE = "too_large"
    """Over what this token may deposit (the request lane takes 8 KiB)."""
    BUSY = "busy"
    """Over a rate; `retry_after_s` says when it is worth trying again."""
    DISK_FULL = "disk_full"
    """The home's disk. Nothing was stored, nothing was lost."""
    WORK = "work"
    """The proof of work is missing or wrong."""
    REGISTRATION = "registration"
    """Registration is not open for this invite, or the invite is used up."""
    LOGIN = "login"
    """Unknown account, unknown device or wrong signature: one and the same."""
    SIGNATURE = "signature"
    LIST_STALE = "list_stale"
    LIST_FORK = "list_fork"
    LIMIT = "limit"
    """More of something than a home keeps for one account."""


class ByeReason(StrEnum):
    """Why an end closes."""

    REPLACED = "replaced"
    """The same device has logged in anew."""
    REMOVED = "removed"
    """The device is no longer in its account's list."""
    PROTOCOL = "protocol"
    """The other end broke the rules."""
    BUSY = "busy"
    STOPPING = "stopping"


class TokenRight(StrEnum):
    """What a token lets its holder do at this home (docs/protocol/home.md, "Tokens")."""

    DELIVERY = "delivery"
    PREVIOUS = "previous"
    INVITE = "invite"
    SIGNAL = "signal"


# --- both sockets: hello ------------------------------------------------------------------------------------------


class Hello(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """First record of a client on either socket."""

    nonce: Nonce


class HomeHello(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """The home's answer: `signature` over `identity.hello_message` with both nonces, the host dialled and the time."""

    nonce: Nonce
    host: Annotated[str, msgspec.Meta(max_length=260)]
    time_ms: Timestamp
    signature: Signature
    request_work_bits: Annotated[int, msgspec.Meta(ge=0, le=40)]
    """Leading zero bits asked of whoever deposits or fetches without a token."""
    register_work_bits: Annotated[int, msgspec.Meta(ge=0, le=40)]
    """The same for a registration; 0: none is asked."""


class Bye(msgspec.Struct, frozen=True, array_like=True, tag=3):
    reason: ByeReason


class Refused(msgspec.Struct, frozen=True, array_like=True, tag=4):
    request: RequestNumber
    reason: Refusal
    retry_after_s: Seconds = 0.0


class Done(msgspec.Struct, frozen=True, array_like=True, tag=5):
    request: RequestNumber


# --- /v1/mailbox ----------------------------------------------------------------------------------------------------


class Register(msgspec.Struct, frozen=True, array_like=True, tag=10):
    """Makes the account: allowed before the log-in. The same root and list again is answered like the first time."""

    request: RequestNumber
    root_key: RootPublicKey
    device_list: SignedDeviceList
    invite: InviteCode | None = None
    work: WorkSolution | None = None


class Auth(msgspec.Struct, frozen=True, array_like=True, tag=11):
    """The log-in: XEdDSA by the device key over `identity.auth_message`."""

    address: Address
    run_counter: Counter
    run_id: RunId
    signature: Signature


class Turn(msgspec.Struct, frozen=True, array_like=True):
    """Ephemeral credentials for the home's relay."""

    servers: Annotated[tuple[Url, ...], msgspec.Meta(max_length=16)]
    stun_servers: Annotated[tuple[Url, ...], msgspec.Meta(max_length=16)]
    username: Annotated[str, msgspec.Meta(max_length=128)]
    password: Annotated[bytes, msgspec.Meta(max_length=128)]
    expires_at_ms: Timestamp

    __repr__ = silent


class LoggedIn(msgspec.Struct, frozen=True, array_like=True, tag=12):
    """`one_time_left`, `kyber_left`: prekeys of this device that the home still has to hand out."""

    one_time_left: Annotated[int, msgspec.Meta(ge=0)]
    kyber_left: Annotated[int, msgspec.Meta(ge=0)]
    turn: Turn | None = None


class RolledBack(msgspec.Struct, frozen=True, array_like=True, tag=13):
    """The home knows the later run `counter`. The next `Auth` on this or another socket has to be above it.

    At most half of what an `Auth` can say: a forged one must not use up the numbers of an account for ever.
    """

    counter: Annotated[int, msgspec.Meta(ge=0, le=2**52)]


class RunRisen(msgspec.Struct, frozen=True, array_like=True, tag=14):
    """The counter as the device has just committed it, every ten minutes while logged in."""

    run_counter: Counter


class Deliver(msgspec.Struct, frozen=True, array_like=True, tag=15):
    sealed: Sealed


class Acknowledge(msgspec.Struct, frozen=True, array_like=True, tag=16):
    """Committed on the device: the home deletes them. Ids that it does not hold are ignored."""

    ids: Annotated[tuple[EnvelopeId, ...], msgspec.Meta(min_length=1, max_length=MAX_ACKNOWLEDGED)]


class Credit(msgspec.Struct, frozen=True, array_like=True, tag=17):
    """The device has dealt with so much (`len(sealed) + 64` each) and takes as much again.

    A home may go over the window by one envelope, so a credit may be a little larger than it.
    """

    size_bytes: Annotated[int, msgspec.Meta(ge=1, le=2 * DELIVERY_WINDOW_BYTES)]


class DeliverSignal(msgspec.Struct, frozen=True, array_like=True, tag=18):
    sealed: Sealed


class TokenEntry(msgspec.Struct, frozen=True, array_like=True):
    """`sha256` of the token; `expires_at_ms` None: until revoked."""

    sha256: Hash32
    right: TokenRight
    expires_at_ms: Timestamp | None = None


class PutTokens(msgspec.Struct, frozen=True, array_like=True, tag=19):
    """Adds (or re-dates) and removes tokens of the account in one step."""

    request: RequestNumber
    add: Annotated[tuple[TokenEntry, ...], msgspec.Meta(max_length=256)] = ()
    remove: Annotated[tuple[Hash32, ...], msgspec.Meta(max_length=256)] = ()


class PutDeviceList(msgspec.Struct, frozen=True, array_like=True, tag=20):
    request: RequestNumber
    device_list: SignedDeviceList


class PutPrekeys(msgspec.Struct, frozen=True, array_like=True, tag=21):
    request: RequestNumber
    upload: PrekeyUpload


class PrekeysLow(msgspec.Struct, frozen=True, array_like=True, tag=22):
    """Fewer than 25 one-time keys of a kind are left."""

    one_time_left: Annotated[int, msgspec.Meta(ge=0)]
    kyber_left: Annotated[int, msgspec.Meta(ge=0)]


class AskTurn(msgspec.Struct, frozen=True, array_like=True, tag=23):
    request: RequestNumber


class TurnGiven(msgspec.Struct, frozen=True, array_like=True, tag=24):
    request: RequestNumber
    turn: Turn | None = None


class Recover(msgspec.Struct, frozen=True, array_like=True, tag=25):
    """Before the log-in, by whoever has the root key alone: `identity.RootKey.sign_recovery`.

    Answered with the list that the home has; a `Register` with a newer one then takes its place on this connection.
    """

    request: RequestNumber
    root_key: RootPublicKey
    signature: Signature


class Recoverable(msgspec.Struct, frozen=True, array_like=True, tag=26):
    request: RequestNumber
    device_list: SignedDeviceList


# --- /v1/deposit ----------------------------------------------------------------------------------------------------


class Deposit(msgspec.Struct, frozen=True, array_like=True, tag=30):
    """`work` only where there is no token: see `wire.work`."""

    request: RequestNumber
    to: Address
    sealed: Sealed
    token: Token | None = None
    work: WorkSolution | None = None

    __repr__ = silent


class Outcome(StrEnum):
    """What became of a deposit."""

    STORED = "stored"
    DELIVERED = "delivered"


class Deposited(msgspec.Struct, frozen=True, array_like=True, tag=31):
    request: RequestNumber
    outcome: Outcome


class SendSignal(msgspec.Struct, frozen=True, array_like=True, tag=32):
    request: RequestNumber
    to: Address
    sealed: Sealed
    token: Token

    __repr__ = silent


class SignalFate(StrEnum):
    FORWARDED = "forwarded"
    NO_DEVICE = "no_device"
    UNKNOWN = "unknown"


class Signalled(msgspec.Struct, frozen=True, array_like=True, tag=33):
    request: RequestNumber
    fate: SignalFate


class FetchAccount(msgspec.Struct, frozen=True, array_like=True, tag=34):
    """`devices`: whose bundles are wanted (none named: all), so that the others' one-time prekeys are not spent."""

    request: RequestNumber
    account: AccountId
    token: Token | None = None
    prekeys: bool = True
    work: WorkSolution | None = None
    devices: Annotated[tuple[DeviceId, ...], msgspec.Meta(max_length=16)] = ()

    __repr__ = silent


class Account(msgspec.Struct, frozen=True, array_like=True, tag=35):
    """Nothing in it is to be believed before the root signature is checked."""

    request: RequestNumber
    device_list: SignedDeviceList
    bundles: Annotated[tuple[PrekeyBundle, ...], msgspec.Meta(max_length=16)] = ()


MailboxToHome = (
    Hello
    | Bye
    | Register
    | Auth
    | RunRisen
    | Acknowledge
    | Credit
    | PutTokens
    | PutDeviceList
    | PutPrekeys
    | AskTurn
    | Recover
)
MailboxToDevice = (
    HomeHello
    | Bye
    | Refused
    | Done
    | LoggedIn
    | RolledBack
    | Deliver
    | DeliverSignal
    | PrekeysLow
    | TurnGiven
    | Recoverable
)
DepositToHome = Hello | Bye | Deposit | SendSignal | FetchAccount
DepositToClient = HomeHello | Bye | Refused | Deposited | Signalled | Account

_Frame = msgspec.Meta(max_length=MAX_RECORDS)
_MAILBOX_TO_HOME: Codec[tuple[MailboxToHome, ...]] = Codec(
    Annotated[tuple[MailboxToHome, ...], _Frame], limit_bytes=MAX_FRAME_BYTES
)
_MAILBOX_TO_DEVICE: Codec[tuple[MailboxToDevice, ...]] = Codec(
    Annotated[tuple[MailboxToDevice, ...], _Frame], limit_bytes=MAX_FRAME_BYTES
)
_DEPOSIT_TO_HOME: Codec[tuple[DepositToHome, ...]] = Codec(
    Annotated[tuple[DepositToHome, ...], _Frame], limit_bytes=MAX_FRAME_BYTES
)
_DEPOSIT_TO_CLIENT: Codec[tuple[DepositToClient, ...]] = Codec(
    Annotated[tuple[DepositToClient, ...], _Frame], limit_bytes=MAX_FRAME_BYTES
)


def encode_mailbox_to_home(records: Sequence[MailboxToHome]) -> bytes:
    """Raises `TooLargeError` when the records do not fit one frame; the other three do likewise."""
    return _MAILBOX_TO_HOME.encode(tuple(records))


def decode_mailbox_to_home(frame: bytes) -> tuple[MailboxToHome, ...]:
    """Raises `MalformedError` or `TooLargeError`, whatever the bytes; the other three do likewise."""
    return _MAILBOX_TO_HOME.decode(frame)


def encode_mailbox_to_device(records: Sequence[MailboxToDevice]) -> bytes:
    return _MAILBOX_TO_DEVICE.encode(tuple(records))


def decode_mailbox_to_device(frame: bytes) -> tuple[MailboxToDevice, ...]:
    return _MAILBOX_TO_DEVICE.decode(frame)


def encode_deposit_to_home(records: Sequence[DepositToHome]) -> bytes:
    return _DEPOSIT_TO_HOME.encode(tuple(records))


def decode_deposit_to_home(frame: bytes) -> tuple[DepositToHome, ...]:
    return _DEPOSIT_TO_HOME.decode(frame)


def encode_deposit_to_client(records: Sequence[DepositToClient]) -> bytes:
    return _DEPOSIT_TO_CLIENT.encode(tuple(records))


def decode_deposit_to_client(frame: bytes) -> tuple[DepositToClient, ...]:
    return _DEPOSIT_TO_CLIENT.decode(frame)


def size_of(record: object) -> int:
    """About how many bytes a record takes in a frame: never too few, so that frames can be filled by adding up."""
    match record:
        case Deliver() | DeliverSignal() | Deposit() | SendSignal():
            return len(record.sealed) + 2 * RECORD_OVERHEAD_BYTES
        case Acknowledge():
            return 18 * len(record.ids) + RECORD_OVERHEAD_BYTES
        case PutTokens():
            return 64 * len(record.add) + 34 * len(record.remove) + RECORD_OVERHEAD_BYTES
        case PutPrekeys():
            return MAX_FRAME_BYTES
        case Account():
            return 8192 + 2048 * len(record.bundles)
        case PutDeviceList() | Register() | Recoverable() | LoggedIn() | TurnGiven():
            return 16_384
        case _:
            return 512
