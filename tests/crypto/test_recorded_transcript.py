"""A conversation recorded with the official library, replayed without it: old records stay readable, bytes stay the same."""

import json
from pathlib import Path

from mepassa.identity import IdentityKeyPair
from mepassa.model.ids import AccountId, Address
from mepassa.model.keys import IdentityKey
from mepassa.model.secret import SecretBytes
from mepassa.protocol import session
from mepassa.protocol.parties import LocalIdentity, RemoteDevice
from mepassa.protocol.session import MessageType, SessionRecord
from mepassa.testing.chance import SeededRng
from tests.crypto.people import NOW_MS, Prekeys

TRANSCRIPT = Path(__file__).parents[1] / "vectors" / "official-transcript.json"


def test_a_recorded_conversation_is_repeated_byte_for_byte() -> None:
    """104 messages, turn by turn, into the second SPQR epoch; saved and loaded at every step."""
    recorded = json.loads(TRANSCRIPT.read_text())
    key = IdentityKeyPair(SecretBytes(bytes.fromhex(recorded["own_seed"])))
    own = LocalIdentity(Address(AccountId.from_hex(recorded["own_account"]), 1), key, 77)
    remote = RemoteDevice(
        Address(AccountId.from_hex(recorded["remote_account"]), 1), IdentityKey.from_hex(recorded["remote_key"])
    )
    record = SessionRecord.from_bytes(bytes.fromhex(recorded["record"]))
    rng = SeededRng("transcript")
    for step in recorded["steps"]:
        if "we" in step:
            record, made = session.encrypt(record, own, remote, step["we"].encode(), now_ms=NOW_MS, rng=rng)
            assert (int(made.type), made.body.hex()) == (step["type"], step["body"])
        else:
            kind, body = MessageType(step["type"]), bytes.fromhex(step["body"])
            opened = session.decrypt(record, own, remote, kind, body, prekeys=Prekeys(), now_ms=NOW_MS, rng=rng)
            record = opened.record
            assert opened.plaintext == step["they"].encode()
        record = SessionRecord.from_bytes(record.to_bytes())
    assert record.to_bytes().hex() == recorded["record_after"]
    assert record.current is not None
    assert record.current.ratchet.spqr.epoch == 2
