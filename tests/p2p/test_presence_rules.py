"""docs/protocol/presence.md: who can make, judge and open a presence record. No network."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mepassa.identity import IdentityKeyPair, PresenceKeyPair, presence_slot, utc_day
from mepassa.model.addresses import parse_ip
from mepassa.model.errors import DecryptionError, MalformedError, RemoteError, SignatureError
from mepassa.model.ids import AccountId, Address
from mepassa.model.secret import SecretBytes
from mepassa.p2p.presence import (
    FoundPresence,
    PresenceRefusedError,
    PresenceValidator,
    PutLimits,
    check_stored_presence,
    make_presence,
    network_of_address,
    open_stored_presence,
    putting_network,
    slot_key,
    slot_of,
)
from mepassa.wire.presence import LIFE_MS, PresenceBody, decode_stored_presence, encode_stored_presence

NOW_MS = 1_790_000_000_000
DAY = utc_day(NOW_MS)
PRESENCE = PresenceKeyPair(SecretBytes(b"p" * 32))
DEVICE_KEY = IdentityKeyPair(SecretBytes(b"d" * 32))
OWN = Address(AccountId(b"a" * 16), 3)
BODY = PresenceBody("12D3KooWCSL1nq98jKeC1VUmcrXY6RbraubQcaMpFz3R2nj8Df73", ("/ip4/192.0.2.7/tcp/4001",))


def record(sequence: int = NOW_MS, *, day: int = DAY, body: PresenceBody = BODY) -> tuple[str, bytes]:
    return make_presence(PRESENCE, OWN, day=day, body=body, sequence=sequence, sign=DEVICE_KEY.sign)


def opened(value: bytes, *, day: int = DAY, device: Address = OWN, now_ms: int = NOW_MS) -> FoundPresence:
    return open_stored_presence(
        value, PRESENCE.public, day=day, device=device, device_key=DEVICE_KEY.public, now_ms=now_ms
    )


def test_a_contact_finds_the_slot_and_opens_what_the_device_said() -> None:
    key, value = record()
    assert key == slot_key(presence_slot(PRESENCE.public, DAY, OWN.device))
    assert len(key.encode()) <= 50
    assert opened(value) == FoundPresence(OWN, BODY.peer_id, BODY.addresses, NOW_MS)


def test_slots_of_two_days_and_two_devices_have_nothing_in_common() -> None:
    slots = {presence_slot(PRESENCE.public, day, device) for day in range(DAY, DAY + 3) for device in (1, 2)}
    assert len(slots) == 6


def test_whoever_stores_it_sees_no_address() -> None:
    key, value = record()
    assert BODY.addresses[0].encode() not in value
    assert BODY.peer_id.encode() not in value
    assert len(value) == len(record(body=PresenceBody(BODY.peer_id, ()))[1])  # nor how many there are
    assert key


def test_a_record_with_too_many_addresses_carries_those_that_fit() -> None:
    many = tuple(f"/ip6/2001:db8:1111:2222:3333:4444:5555:{n:04x}/tcp/65535" for n in range(16))
    _, value = record(body=PresenceBody(BODY.peer_id, many))
    kept = opened(value).addresses
    assert 10 <= len(kept) < 16
    assert kept == many[: len(kept)]


@pytest.mark.parametrize("age_ms", [LIFE_MS, LIFE_MS + 1, -10 * 60_000 - 1])
def test_expired_and_future_records_are_refused(age_ms: int) -> None:
    key, value = record(NOW_MS - age_ms)
    with pytest.raises(MalformedError):
        check_stored_presence(key, value, NOW_MS)


def test_a_record_in_another_slot_or_changed_in_any_bit_is_refused() -> None:
    key, value = record()
    check_stored_presence(key, value, NOW_MS)
    other_key, _ = record(day=DAY + 1)
    with pytest.raises(SignatureError):
        check_stored_presence(other_key, value, NOW_MS)
    stored = decode_stored_presence(value)
    later = encode_stored_presence(type(stored)(stored.sequence + 1, stored.sealed, stored.signature))
    with pytest.raises(SignatureError):
        check_stored_presence(key, later, NOW_MS)
    for position in range(0, len(value), 97):
        forged = value[:position] + bytes([value[position] ^ 1]) + value[position + 1 :]
        with pytest.raises(RemoteError):
            check_stored_presence(key, forged, NOW_MS)


def test_a_record_by_another_device_key_or_for_another_device_does_not_open() -> None:
    _, value = make_presence(
        PRESENCE, OWN, day=DAY, body=BODY, sequence=NOW_MS, sign=IdentityKeyPair(SecretBytes(b"x" * 32)).sign
    )
    with pytest.raises(SignatureError):
        opened(value)
    _, good = record()
    with pytest.raises(SignatureError):
        opened(good, device=Address(AccountId(b"b" * 16), OWN.device))
    with pytest.raises((SignatureError, DecryptionError)):
        opened(good, day=DAY + 1)


@given(st.text(max_size=60) | st.binary(min_size=30, max_size=34).map(slot_key))
def test_a_key_is_a_slot_in_exactly_one_spelling(key: str) -> None:
    try:
        slot = slot_of(key)
    except MalformedError:
        return
    assert slot_key(slot) == key


@given(st.binary(max_size=1100))
def test_random_values_are_refused_with_a_documented_error(value: bytes) -> None:
    key, _ = record()
    with pytest.raises(RemoteError):
        PresenceValidator(lambda: NOW_MS, ()).validate(key, value)


def test_the_newest_record_wins_and_among_equals_the_one_already_there() -> None:
    validator = PresenceValidator(lambda: NOW_MS, ())
    key, old = record(NOW_MS - 1)
    _, new = record(NOW_MS)
    assert validator.select(key, [old, new]) == 1
    assert validator.select(key, [new, old]) == 0
    assert validator.select(key, [new, new]) == 0
    assert validator.select(key, [b"junk", old]) == 1


def test_a_full_node_refuses_new_slots_and_takes_newer_records_of_those_it_has() -> None:
    key, value = record()
    token = putting_network.set("192.0.2.0/24")
    try:
        PresenceValidator(lambda: NOW_MS, {key.encode(): 0}, max_values=1).validate(key, value)
        with pytest.raises(PresenceRefusedError):
            PresenceValidator(lambda: NOW_MS, {b"another": 0}, max_values=1).validate(key, value)
    finally:
        putting_network.reset(token)


def test_a_network_is_counted_where_it_puts_and_not_where_we_look() -> None:
    key, value = record()
    validator = PresenceValidator(lambda: NOW_MS, ())
    validator.limits = PutLimits(puts_an_hour=1)
    for _ in range(2):
        validator.validate(key, value)  # found by ourselves
    token = putting_network.set("192.0.2.0/24")
    try:
        validator.validate(key, value)
        with pytest.raises(PresenceRefusedError):
            validator.validate(key, value)
    finally:
        putting_network.reset(token)


def test_one_network_cannot_flush_the_store() -> None:
    limits = PutLimits(puts_an_hour=10, max_networks=100)
    assert sum(limits.take("192.0.2.0/24", NOW_MS) for _ in range(50)) == 10
    assert limits.take("198.51.100.0/24", NOW_MS)
    assert not limits.take("192.0.2.0/24", NOW_MS + 60_000)
    assert limits.take("192.0.2.0/24", NOW_MS + 7 * 60_000)
    assert not limits.take("192.0.2.0/24", NOW_MS - 3_600_000)  # a clock that jumps back fills nothing
    for number in range(1000):
        limits.take(str(number), NOW_MS)
    assert len(limits._buckets) == 100


def test_networks_are_what_one_host_can_own() -> None:
    assert network_of_address(parse_ip("203.0.113.77")) == "203.0.113.0/24"
    assert network_of_address(parse_ip("2001:db8:1:2::7")) == "2001:db8:1::/48"
