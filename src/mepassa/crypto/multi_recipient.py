"""One sealed message for many devices, as it is sent: the outer form alone, no key needed (docs/protocol/sealed-sender.md).

`23` + count + entries + what all share. The official creator and parser merge the devices of one account, and keep the
first one's key for all; every device of ours has an identity key of its own, so here each device has its own entry and
its own copy, always.
"""

from dataclasses import dataclass

from mepassa.crypto.errors import InvalidMessageError
from mepassa.crypto.protobuf import decode_varint, encode_varint
from mepassa.model.errors import InvalidInputError

SENT_VERSION_BYTE = 0x23
RECEIVED_VERSION_BYTE = 0x22

SERVICE_ID_BYTES = 17
SERVICE_ID_KINDS = (0, 1)
"""Account and phone-number identity. We write the first only."""
SEALED_KEY_BYTES = 48
EPHEMERAL_BYTES = 32
MAX_DEVICE = 127
MAX_REGISTRATION_ID = 2**14 - 1
_ANOTHER_DEVICE = 0x8000
_SMALLEST_ENTRY_BYTES = SERVICE_ID_BYTES + 1


@dataclass(frozen=True, slots=True)
class RecipientCopy:
    """What one device gets for itself. `service_id`: 17 bytes; `sealed_key`: 48, the message secret and the sender's tag."""

    service_id: bytes
    device: int
    registration_id: int
    sealed_key: bytes


@dataclass(frozen=True, slots=True)
class SentMessage:
    """`shared`: ephemeral key and ciphertext, the same for all. `excluded`: members who get nothing, by service id."""

    copies: tuple[RecipientCopy, ...]
    excluded: tuple[bytes, ...]
    shared: bytes

    def received_by(self, copy: RecipientCopy) -> bytes:
        """The whole message as that device opens it."""
        return bytes((RECEIVED_VERSION_BYTE,)) + copy.sealed_key + self.shared


def encode_sent_message(message: SentMessage) -> bytes:
    """68 bytes a device. Raises `InvalidInputError` for what `decode_sent_message` would refuse, and for no recipient."""
    _check(message)
    out = [bytes((SENT_VERSION_BYTE,)), encode_varint(len(message.copies) + len(message.excluded))]
    for copy in message.copies:
        out += (copy.service_id, bytes((copy.device,)), copy.registration_id.to_bytes(2, "big"), copy.sealed_key)
    out += (service_id + b"\x00" for service_id in message.excluded)
    return b"".join((*out, message.shared))


def decode_sent_message(data: bytes) -> SentMessage:
    """One copy a device, also where several share an entry. Raises `InvalidMessageError`.

    Stricter than the official parser: a count in its shortest form, no device twice, no older form (`22`).
    """
    if not data or data[0] != SENT_VERSION_BYTE:
        raise InvalidMessageError
    count, position = decode_varint(data, 1, 5)
    if count > 2**32 - 1 or encode_varint(count) != data[1:position]:
        raise InvalidMessageError
    if count * _SMALLEST_ENTRY_BYTES > len(data) - position:
        raise InvalidMessageError
    copies: list[RecipientCopy] = []
    excluded: list[bytes] = []
    for _ in range(count):
        devices, position = _decode_entry(data, position)
        if devices:
            copies += devices
        else:
            excluded.append(data[position - _SMALLEST_ENTRY_BYTES : position - 1])
    if len(data) - position < EPHEMERAL_BYTES:
        raise InvalidMessageError
    message = SentMessage(tuple(copies), tuple(excluded), data[position:])
    if not _consistent(message):
        raise InvalidMessageError
    return message


def _decode_entry(data: bytes, position: int) -> tuple[list[RecipientCopy], int]:
    """(its devices, the position after it); no devices means an excluded member."""
    service_id = data[position : position + SERVICE_ID_BYTES]
    position += SERVICE_ID_BYTES
    if len(service_id) != SERVICE_ID_BYTES or service_id[0] not in SERVICE_ID_KINDS:
        raise InvalidMessageError
    numbers: list[tuple[int, int]] = []
    while True:
        device = data[position] if position < len(data) else MAX_DEVICE + 1
        if device == 0 and not numbers:
            return [], position + 1
        flags = int.from_bytes(data[position + 1 : position + 3], "big")
        position += 3
        if not 1 <= device <= MAX_DEVICE or position > len(data) or len(numbers) == MAX_DEVICE:
            raise InvalidMessageError
        numbers.append((device, flags & MAX_REGISTRATION_ID))  # bit 14 is not looked at
        if not flags & _ANOTHER_DEVICE:
            break
    sealed_key = data[position : position + SEALED_KEY_BYTES]
    position += SEALED_KEY_BYTES
    if position > len(data):
        raise InvalidMessageError
    return [RecipientCopy(service_id, device, number, sealed_key) for device, number in numbers], position


def _check(message: SentMessage) -> None:
    if not message.copies:
        raise InvalidInputError("A message needs at least one recipient.")
    for copy in message.copies:
        if not 1 <= copy.device <= MAX_DEVICE or not 0 <= copy.registration_id <= MAX_REGISTRATION_ID:
            raise InvalidInputError("A device or registration number is out of range.")
    if not _consistent(message):
        raise InvalidInputError("A recipient is named twice, or is excluded as well.")


def _consistent(message: SentMessage) -> bool:
    """Nobody twice, and nobody both in and out."""
    devices = {(copy.service_id, copy.device) for copy in message.copies}
    recipients, excluded = {service_id for service_id, _ in devices}, set(message.excluded)
    return (
        len(devices) == len(message.copies)
        and len(excluded) == len(message.excluded)
        and recipients.isdisjoint(excluded)
    )
