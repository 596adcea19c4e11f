"""What can go wrong, and whose fault it is. A caller chooses by class, never by text.

MepassaError
├── LocalError            our bug, our limits, or something the person can mend
│   ├── TextTooLongError  UnsupportedError  NotFoundError  ConflictError  InvalidInputError
│   ├── DeviceRemovedError
│   ├── FolderInUseError  PortTakenError  WrongPassphraseError  DiskFullError  NotInitialisedError
│   └── ClockWrongError
├── RemoteError           the peer (or the bytes it sent) broke the rules
│   ├── MalformedError    TooLargeError
│   ├── SignatureError    DecryptionError    DuplicateMessageError
│   ├── DeviceListStaleError    DeviceListForkError    UnlistedDeviceError
│   ├── TokenRefusedError    MailboxFullError    StateRolledBackError
│   └── PathRefusedError
└── TransientError        nobody's fault; trying again may work
    ├── HomeUnreachableError    LinkLostError
    └── BusyError         carries retry_after_s

Rooms add their own classes below these. Every message is one plain sentence without user data, keys or addresses.
"""

from typing import ClassVar


class MepassaError(Exception):
    """The root. `code` is the stable name that the local API shows; `field` names the offending input, if any."""

    sentence: ClassVar[str] = "Something went wrong."
    """What is said when the raiser has nothing better to say."""

    def __init__(self, message: str | None = None, *, field: str | None = None) -> None:
        super().__init__(message or self.sentence)
        self.field = field

    @property
    def code(self) -> str:
        return type(self).__name__

    @property
    def message(self) -> str:
        return str(self.args[0])


class LocalError(MepassaError):
    """Our bug or misuse, our limits, or something that the person at this device can mend."""


class InvalidInputError(LocalError):
    sentence = "That input is not of the expected form."


class TextTooLongError(InvalidInputError):
    """A text is empty or over its limit. `limit_bytes` counts UTF-8 bytes."""

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"The text must be 1 to {limit_bytes} bytes of UTF-8; this one has {size_bytes}.",
            field="text",
        )
        self.size_bytes, self.limit_bytes = size_bytes, limit_bytes


class UnsupportedError(LocalError):
    sentence = "This version cannot do that yet."


class NotFoundError(LocalError):
    sentence = "There is no such thing here."


class ConflictError(LocalError):
    sentence = "That does not fit the present state."


class DeviceRemovedError(ConflictError):
    sentence = (
        "This device was removed from the account. What is here stays readable; nothing is sent or received any more."
    )


class NotInitialisedError(LocalError):
    sentence = "There is no account in this folder yet; make one with `mepassa init`."


class FolderInUseError(LocalError):
    sentence = "Another MePassa process uses this folder; stop it first, or choose another folder."


class PortTakenError(LocalError):
    def __init__(self, port: int) -> None:
        super().__init__(f"Port {port} is taken by another program; choose another, or 0 for a free one.")
        self.port = port


class WrongPassphraseError(LocalError):
    sentence = "The passphrase does not open this database; nothing was changed. Try again with the right one."


class DiskFullError(LocalError):
    sentence = "The disk is full; nothing was lost. Free some space and try again."


class ClockWrongError(LocalError):
    def __init__(self, offset_s: float) -> None:
        minutes = abs(offset_s) / 60
        way = "ahead" if offset_s > 0 else "behind"
        super().__init__(f"This device's clock is about {minutes:.0f} minutes {way}; set it right and try again.")
        self.offset_s = offset_s


class RemoteError(MepassaError):
    """The peer, or bytes from outside, broke the rules."""


class MalformedError(RemoteError):
    sentence = "These bytes are not of the expected form."


class TooLargeError(MalformedError):
    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(f"{size_bytes} bytes are over the limit of {limit_bytes}.")
        self.size_bytes, self.limit_bytes = size_bytes, limit_bytes


class SignatureError(RemoteError):
    sentence = "A signature does not verify."


class DecryptionError(RemoteError):
    """One class for every way in which opening can fail, so that a peer never learns which check it was."""

    sentence = "This message could not be opened."


class DuplicateMessageError(DecryptionError):
    """The counter was used before. Not proof of origin: no receipt, no state change."""

    sentence = "This message was opened before."


class DeviceListStaleError(RemoteError):
    sentence = "An older device list than the known one was offered; it is ignored."


class DeviceListForkError(RemoteError):
    sentence = "Two different device lists carry the same version; talk to that person by another way before you go on."


class UnlistedDeviceError(RemoteError):
    sentence = "The sending device is not in the account's signed device list."


class TokenRefusedError(RemoteError):
    """Wrong, expired or revoked token, or unknown account: deliberately one and the same."""

    sentence = "The server did not accept the token for this account."


class MailboxFullError(RemoteError):
    sentence = "The recipient's mailbox is full; the message waits here and is tried again."


class StateRolledBackError(RemoteError):
    """The home has seen a later run of this device (docs/protocol/home.md): the database is an old copy."""

    def __init__(self, counter: int) -> None:
        super().__init__("This database is an older copy; conversations are being set up anew before anything is sent.")
        self.counter = counter


class PathRefusedError(RemoteError):
    sentence = "The other device refused this path."


class TransientError(MepassaError):
    """Nobody's fault: the same thing may work later."""


class HomeUnreachableError(TransientError):
    sentence = "The home server cannot be reached; check the network, or try again later."


class LinkLostError(TransientError):
    sentence = "The path to the other device was lost."


class BusyError(TransientError):
    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"Too much at once; try again in {retry_after_s:g} s.")
        self.retry_after_s = retry_after_s
