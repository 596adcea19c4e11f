"""docs/protocol/session.md, "Saved form": records of every version are read, and go on where they were."""

import json
from pathlib import Path

import pytest

from mepassa.crypto.errors import CorruptRecordError
from mepassa.crypto.kept_keys import KEY_BYTES, KeptKeys
from mepassa.crypto.records import Reader, Writer
from mepassa.identity import IdentityKeyPair
from mepassa.model.errors import DuplicateMessageError
from mepassa.model.ids import AccountId, Address
from mepassa.model.keys import IdentityKey
from mepassa.model.secret import SecretBytes
from mepassa.protocol import session
from mepassa.protocol.parties import LocalIdentity, RemoteDevice
from mepassa.protocol.session import MessageType, SessionRecord
from mepassa.testing.chance import SeededRng
from tests.crypto.people import NOW_MS, Prekeys

VECTORS = Path(__file__).parents[1] / "vectors"
GOLDEN = json.loads((VECTORS / "session-record-1.json").read_text())
SAVED = {
    1: bytes.fromhex(GOLDEN["record"]),
    2: bytes.fromhex((VECTORS / "session-record-2.hex").read_text()),
}


@pytest.mark.parametrize("version", SAVED)
def test_a_record_of_each_version_opens_what_it_still_waited_for(version: int) -> None:
    """One archived session, three receiving chains with passed-over messages, two key epochs."""
    key = IdentityKeyPair(SecretBytes(bytes.fromhex(GOLDEN["own_seed"])))
    own = LocalIdentity(Address(AccountId.from_hex(GOLDEN["own_account"]), 1), key, 77)
    account, identity_key = AccountId.from_hex(GOLDEN["remote_account"]), IdentityKey.from_hex(GOLDEN["remote_key"])
    remote = RemoteDevice(Address(account, 1), identity_key)
    record, rng = SessionRecord.from_bytes(SAVED[version]), SeededRng("golden")
    assert SAVED[version][0] == version
    assert len(record.archived) == 1
    for late in GOLDEN["late"]:
        kind, body = MessageType(late["type"]), bytes.fromhex(late["body"])
        opened = session.decrypt(record, own, remote, kind, body, prekeys=Prekeys(), now_ms=NOW_MS, rng=rng)
        assert opened.plaintext == late["text"].encode()
        record = SessionRecord.from_bytes(opened.record.to_bytes())
        with pytest.raises(DuplicateMessageError):
            session.decrypt(record, own, remote, kind, body, prekeys=Prekeys(), now_ms=NOW_MS, rng=rng)


def test_an_older_version_is_saved_as_the_newest() -> None:
    assert SessionRecord.from_bytes(SAVED[1]).to_bytes() == SAVED[2]
    assert SessionRecord.from_bytes(SAVED[2]).to_bytes() == SAVED[2]


def test_a_damaged_archived_session_of_an_older_version_costs_itself_alone() -> None:
    whole = SessionRecord.from_bytes(SAVED[1])
    begins = SAVED[1].rindex(whole.archived[0].base_key)
    damaged = SessionRecord.from_bytes(SAVED[1][: begins + 66] + b"\xff" * (len(SAVED[1]) - begins - 66))
    assert damaged.to_bytes() == SessionRecord(whole.current).to_bytes()


@pytest.mark.parametrize("version", [0, 3, 127])
def test_a_record_of_an_unknown_version_is_corrupt(version: int) -> None:
    with pytest.raises(CorruptRecordError):
        SessionRecord.from_bytes(bytes((version,)) + SAVED[2][1:])


def keys(*numbers: int) -> KeptKeys:
    return KeptKeys().followed_by((number, bytes([number % 256]) * KEY_BYTES) for number in numbers)


def test_kept_keys_are_found_once_and_dropped_from_the_old_end() -> None:
    kept = keys(0, 1, 5, 300, 2**32 - 1)
    for number in (0, 1, 5, 300, 2**32 - 1):
        taken = kept.take(number)
        assert taken is not None
        others, key = taken
        assert key == bytes([number % 256]) * KEY_BYTES
        assert number not in others.numbers()
        assert len(others) == len(kept) - 1
        assert others.take(number) is None
    for absent in (2, 4, 6, 299, 301, 2**32 - 2):
        assert kept.take(absent) is None
    assert KeptKeys().take(0) is None
    assert kept.newest(2).numbers() == [300, 2**32 - 1]
    assert kept.newest(5) is kept
    assert kept.since(5).numbers() == [5, 300, 2**32 - 1]
    assert kept.since(6).numbers() == [300, 2**32 - 1]
    assert kept.since(-3) is kept
    assert repr(kept) == "<5 keys>"


def test_more_kept_keys_than_may_be_are_corrupt() -> None:
    out = Writer()
    keys(1, 2, 3).write(out)
    assert KeptKeys.read(Reader(out.finish()), 3).numbers() == [1, 2, 3]
    with pytest.raises(CorruptRecordError):
        KeptKeys.read(Reader(out.finish()), 2)
    with pytest.raises(CorruptRecordError):
        KeptKeys.read(Reader(out.finish()[:-1]), 3)
