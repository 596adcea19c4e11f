"""A home's refusals, as errors that the core knows.

RemoteError ── RegistrationRefusedError   LoginRefusedError   AccountUnknownError   WorkRefusedError
"""

from typing import TypeVar

from mepassa.model.envelope import MAX_REQUEST_ENVELOPE_BYTES
from mepassa.model.errors import (
    BusyError,
    ConflictError,
    DeviceListForkError,
    DeviceListStaleError,
    MailboxFullError,
    MalformedError,
    MepassaError,
    RemoteError,
    SignatureError,
    TokenRefusedError,
    TooLargeError,
)
from mepassa.wire.mailbox import Refusal, Refused

T = TypeVar("T")


class RegistrationRefusedError(RemoteError):
    sentence = (
        "The server did not accept this registration; ask its host for an invite code, or check the one you have."
    )


class LoginRefusedError(RemoteError):
    sentence = "The server does not know this device; it may have been removed from the account."


class AccountUnknownError(RemoteError):
    sentence = "The server does not know the account of these 24 words; check its address and the words."


class WorkRefusedError(RemoteError):
    sentence = "The server did not accept the proof of work."


def error_of(refused: Refused, size_bytes: int = 0) -> MepassaError:
    """What to raise for a refusal; `size_bytes`: of what was offered, where it was too large."""
    match refused.reason:
        case Refusal.TOKEN:
            return TokenRefusedError()
        case Refusal.MAILBOX_FULL:
            return MailboxFullError()
        case Refusal.TOO_LARGE:
            return TooLargeError(size_bytes, MAX_REQUEST_ENVELOPE_BYTES)
        case Refusal.BUSY | Refusal.DISK_FULL:
            return BusyError(refused.retry_after_s)
        case Refusal.WORK:
            return WorkRefusedError()
        case Refusal.REGISTRATION:
            return RegistrationRefusedError(field="invite")
        case Refusal.LOGIN:
            return LoginRefusedError()
        case Refusal.SIGNATURE:
            return SignatureError()
        case Refusal.LIST_STALE:
            return DeviceListStaleError()
        case Refusal.LIST_FORK:
            return DeviceListForkError()
        case Refusal.LIMIT:
            return ConflictError("The server keeps no more of these for one account.")


def expect(answer: object, kind: type[T]) -> T:
    """That answer, if it is one. Raises `error_of` a refusal, and `MalformedError` for anything else."""
    if isinstance(answer, Refused):
        raise error_of(answer)
    if not isinstance(answer, kind):
        raise MalformedError("The server answered something else.")
    return answer
