"""What presence records mean: made by an owner, judged by those who store them, opened by those who may know.

No IO here and no libp2p but its `Validator`; the rules are docs/protocol/presence.md.
"""

import base64
import binascii
from collections import OrderedDict
from collections.abc import Callable, Collection
from contextvars import ContextVar
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from libp2p.records.validator import Validator

from mepassa.identity import (
    Label,
    PresenceKeyPair,
    labelled,
    open_presence,
    presence_record_message,
    presence_slot,
    seal_presence,
    verify_blinded,
    verify_xeddsa,
)
from mepassa.model.addresses import IpAddress
from mepassa.model.errors import InvalidInputError, MalformedError, RemoteError, TooLargeError
from mepassa.model.ids import Address
from mepassa.model.keys import IdentityKey, PresencePublicKey
from mepassa.wire.presence import (
    LIFE_MS,
    PresenceBody,
    PresenceRecord,
    StoredPresence,
    decode_presence_body,
    decode_presence_record,
    decode_stored_presence,
    encode_presence_body,
    encode_presence_record,
    encode_stored_presence,
)

NAMESPACE = "mp"
"""`/mp/` and 43 characters: py-libp2p looks up no key longer than 50 bytes."""
SLOT_BYTES = 32
PUTS_AN_HOUR = 600
"""New values an hour from one network (IPv4 /24, IPv6 /48): a few hundred devices behind one carrier's address."""
MAX_NETWORKS = 10_000
MAX_VALUES = 20_000
"""Values one node keeps, some 25 MB. Full means full: a new slot is refused, so junk can push nobody out."""

putting_network: ContextVar[str | None] = ContextVar("putting_network", default=None)
"""While a stranger's request is handled: where it comes from. py-libp2p hands its validator no more than the bytes."""


def slot_key(slot: bytes) -> str:
    """The DHT key of a slot."""
    return f"/{NAMESPACE}/{base64.urlsafe_b64encode(slot).rstrip(b'=').decode()}"


def slot_of(key: str) -> bytes:
    """Raises `MalformedError` unless `key` is exactly what `slot_key` writes."""
    try:
        slot = base64.urlsafe_b64decode(key.rpartition("/")[2] + "=")
    except (binascii.Error, ValueError) as error:
        raise MalformedError("A presence slot is not written in base64.") from error
    if len(slot) != SLOT_BYTES or slot_key(slot) != key:
        raise MalformedError("A presence key must be one slot.")
    return slot


def slot_message(slot: bytes, sequence: int, sealed: bytes) -> bytes:
    """What the blinded key signs."""
    return labelled(Label.PRESENCE_RECORD, b"slot", slot, sequence.to_bytes(8, "big"), sealed)


@dataclass(frozen=True, slots=True)
class FoundPresence:
    """Where a device said at `sequence` (unix ms) that it can be reached."""

    device: Address
    peer_id: str
    addresses: tuple[str, ...]
    sequence: int


def make_presence(
    presence: PresenceKeyPair,
    own: Address,
    *,
    day: int,
    body: PresenceBody,
    sequence: int,
    sign: Callable[[bytes], bytes],
) -> tuple[str, bytes]:
    """The DHT key and value for one day. `sign`: XEdDSA by the device key. Addresses that do not fit are left out."""
    blinded = presence.blinded(day, own.device)

    def sealed_with(count: int) -> bytes:
        encoded = encode_presence_body(PresenceBody(body.peer_id, body.addresses[:count]))
        message = presence_record_message(
            device=own, slot=blinded.public, expires_at_ms=sequence + LIFE_MS, body=encoded
        )
        record = encode_presence_record(PresenceRecord(encoded, sign(message)))
        return seal_presence(presence.public, day, own.device, record)

    sealed = _with_what_fits(sealed_with, len(body.addresses))
    signature = blinded.sign(slot_message(blinded.public, sequence, sealed))
    return slot_key(blinded.public), encode_stored_presence(StoredPresence(sequence, sealed, signature))


def _with_what_fits(make: Callable[[int], bytes], count: int) -> bytes:
    for fewer in range(count, -1, -1):
        try:
            return make(fewer)
        except (InvalidInputError, TooLargeError):
            continue
    raise InvalidInputError("A presence record does not fit even without addresses.")


def check_stored_presence(key: str, value: bytes, now_ms: int) -> StoredPresence:
    """What anybody can judge: form, the slot's signature, the time.

    Raises `MalformedError`, `TooLargeError`, `SignatureError`.
    """
    slot = slot_of(key)
    stored = decode_stored_presence(value)
    if not stored.is_fresh(now_ms):
        raise MalformedError("A presence record is expired, or from the future.")
    verify_blinded(slot, slot_message(slot, stored.sequence, stored.sealed), stored.signature)
    return stored


def open_stored_presence(
    value: bytes, key: PresencePublicKey, *, day: int, device: Address, device_key: IdentityKey, now_ms: int
) -> FoundPresence:
    """What only a contact can: open it, and see that the listed device said so. Raises `RemoteError`s."""
    slot = presence_slot(key, day, device.device)
    stored = check_stored_presence(slot_key(slot), value, now_ms)
    record = decode_presence_record(open_presence(key, day, device.device, stored.sealed))
    message = presence_record_message(device=device, slot=slot, expires_at_ms=stored.expires_at_ms, body=record.body)
    verify_xeddsa(device_key, message, record.signature)
    body = decode_presence_body(record.body)
    return FoundPresence(device, body.peer_id, body.addresses, stored.sequence)


def network_of_address(ip: IpAddress) -> str:
    """Who shares a limit: an IPv4 /24, an IPv6 /48."""
    kept = 24 if isinstance(ip, IPv4Address) else 48
    whole = int(ip) >> (ip.max_prefixlen - kept) << (ip.max_prefixlen - kept)
    return f"{IPv4Address(whole) if isinstance(ip, IPv4Address) else IPv6Address(whole)}/{kept}"


@dataclass
class PutLimits:
    """A bucket of `PUTS_AN_HOUR` a network, filled evenly. `now_ms` may jump; a bucket is never more than full."""

    puts_an_hour: int = PUTS_AN_HOUR
    max_networks: int = MAX_NETWORKS
    _buckets: OrderedDict[str, tuple[float, int]] = field(default_factory=OrderedDict)

    def take(self, network: str, now_ms: int) -> bool:
        left, at_ms = self._buckets.pop(network, (float(self.puts_an_hour), now_ms))
        filled = max(0, now_ms - at_ms) * self.puts_an_hour / 3_600_000
        left = min(float(self.puts_an_hour), left + filled)
        granted = left >= 1
        self._buckets[network] = (left - 1 if granted else left, now_ms)
        while len(self._buckets) > self.max_networks:
            self._buckets.popitem(last=False)
        return granted


class PresenceRefusedError(RemoteError):
    sentence = "A presence record was not taken."


class PresenceValidator(Validator):
    """py-libp2p's question about every value, stored or found. `held`: the keys this node stores now."""

    def __init__(self, now_ms: Callable[[], int], held: Collection[bytes], *, max_values: int = MAX_VALUES) -> None:
        self._now_ms, self._held, self._max_values = now_ms, held, max_values
        self.limits = PutLimits()

    def validate(self, key: str, value: bytes) -> None:
        """Raises `RemoteError` for a value that is not to be kept or believed."""
        now_ms = self._now_ms()
        check_stored_presence(key, value, now_ms)
        network = putting_network.get()
        if network is None:
            return
        if key.encode() not in self._held and len(self._held) >= self._max_values:
            raise PresenceRefusedError("This node is full.")
        if not self.limits.take(network, now_ms):
            raise PresenceRefusedError("Too many records from one network.")

    def select(self, key: str, values: list[bytes]) -> int:
        """The newest; the first of equals, so that what is stored stays."""
        sequences = [sequence_of(value) for value in values]
        return sequences.index(max(sequences))


def sequence_of(value: bytes) -> int:
    """For ordering only; -1 for what is no record."""
    try:
        return decode_stored_presence(value).sequence
    except RemoteError:
        return -1
