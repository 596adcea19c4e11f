"""CONTRIBUTING.md, "Saved state": a database of every version opens, holds what it held, and goes on from there."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mepassa.client.root_key import move_root_key_out
from mepassa.identity import IdentityKeyPair, RootKey, verify_device_list
from mepassa.model.content import Content, Text
from mepassa.model.envelope import SealedEnvelope
from mepassa.model.ids import AccountId, Address, MessageId, Timestamp
from mepassa.model.route import AddressClass, Route, RouteKind, RouteTransport
from mepassa.model.secret import SecretBytes
from mepassa.model.status import MessageStatus, Verification
from mepassa.ports.stores import Contact, PrekeyKind
from mepassa.protocol import contacts, delivery
from mepassa.protocol.account import local_identity, run_counter, sender_certificate
from mepassa.protocol.inbound import Arrival, Fate, receive
from mepassa.protocol.parties import LocalIdentity, RemoteDevice
from mepassa.protocol.prekeys import ConsumedPrekeys, LastResortUse
from mepassa.protocol.sealing import open_content, open_sealed, seal_content
from mepassa.protocol.session import Decrypted, SessionRecord
from mepassa.protocol.tokens import previous_keys
from mepassa.storage import InlineDb, make_key, open_database, root_key_file
from mepassa.storage.schema import MIGRATIONS
from mepassa.testing import SeededRng
from mepassa.wire.content import decode_content, encode_content

VECTORS = Path(__file__).parents[1] / "vectors"
GOLDEN = sorted(VECTORS.glob("database-*.db"), key=lambda path: int(path.stem.partition("-")[2]))
STORED = Route(RouteKind.STORED, RouteTransport.MAILBOX, "home.test", AddressClass.HOME)
RNG = SeededRng("golden")


class NoPrekeys:
    """Beto's session stands: no prekey is looked for."""

    def one_time(self, prekey_id: int) -> SecretBytes | None:
        return None

    def signed(self, prekey_id: int) -> SecretBytes | None:
        return None

    def kyber(self, prekey_id: int) -> SecretBytes | None:
        return None

    def last_resort_used(self, use: LastResortUse) -> bool:
        return False


@dataclass
class Golden:
    """Ana's database, opened and migrated, and Beto as he was when it was put away."""

    facts: dict[str, Any]
    db: InlineDb
    path: Path

    def __post_init__(self) -> None:
        beto = self.facts["beto"]
        key = IdentityKeyPair(SecretBytes(bytes.fromhex(beto["device_seed"])))
        account = AccountId.from_hex(self.facts["accounts"]["beto"])
        self.beto = LocalIdentity(Address(account, 1), key, beto["registration_id"])
        self.record = SessionRecord.from_bytes(bytes.fromhex(beto["record"]))
        self.now = Timestamp(self.facts["now_ms"])

    @property
    def ana(self) -> RemoteDevice:
        own = self.db.run_now(lambda tx: tx.own())
        return RemoteDevice(own.address, own.identity_key)

    def contact(self, name: str) -> Contact:
        account = AccountId.from_hex(self.facts["accounts"][name])
        return self.db.run_now(lambda tx: contacts.require(tx, account))

    def texts(self) -> list[str]:
        return [row.text for row in self.db.run_now(lambda tx: tx.messages(self.beto.address.account, None, 100))]

    def beto_opens(self, envelope: SealedEnvelope) -> Content:
        unsealed = open_sealed(self.beto, envelope)
        opened: Decrypted = open_content(
            self.record, self.beto, unsealed, prekeys=NoPrekeys(), now_ms=self.now, rng=RNG
        )
        assert opened.consumed == ConsumedPrekeys()
        self.record = opened.record
        return decode_content(opened.plaintext)

    def beto_writes(self, text: str) -> SealedEnvelope:
        beto = self.facts["beto"]
        content = Content(
            message_id=MessageId(RNG.token(16)),
            sender_seq=50,
            sent_at_ms=self.now,
            list_version=beto["list_version"],
            list_hash=bytes.fromhex(beto["list_hash"]),
            body=Text(text),
        )
        self.record, envelope, _ = seal_content(
            self.record, self.beto, self.ana, bytes.fromhex(beto["certificate"]), encode_content(content),
            now_ms=self.now, rng=RNG,
        )  # fmt: skip
        return envelope

    def ana_takes(self, envelope: SealedEnvelope) -> Fate:
        return self.db.run_now(lambda tx: receive(tx, envelope, Arrival(STORED), self.now, RNG)).fate


@pytest.fixture(params=GOLDEN, ids=lambda path: path.stem)
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Golden]:
    facts = json.loads(request.param.with_suffix(".json").read_text())
    path = tmp_path / "node.db"
    shutil.copy(request.param, path)
    db = InlineDb(path, SecretBytes(bytes.fromhex(facts["key"])), synchronous="OFF")
    yield Golden(facts, db, path)
    db.close()


def test_todays_schema_has_its_golden_database() -> None:
    """One for each version that anybody may have: the first, and every one since this rule began."""
    versions = [int(path.stem.partition("-")[2]) for path in GOLDEN]
    assert versions[0] == 1
    assert versions[-1] == len(MIGRATIONS), "write it with `./dev run python -m devtools.golden_database`, and keep it"


def test_it_holds_what_it_held(golden: Golden) -> None:
    facts, db = golden.facts, golden.db
    own = db.run_now(lambda tx: tx.own())
    assert own.address.account.hex() == facts["account"]
    assert own.device_list.body.hex() == facts["device_list"]
    assert verify_device_list(own.root_key, own.device_list).version == own.list_version
    assert {name: golden.contact(name).state.value for name in facts["states"]} == facts["states"]
    assert all(golden.contact(name).verification in Verification for name in facts["states"])
    assert golden.texts() == facts["texts_with_beto"]
    counted = {
        name: db._connection._raw.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in facts["tables"]
    }
    assert counted == facts["tables"], "no migration loses a row"
    for kind in PrekeyKind:
        assert db.run_now(lambda tx, kind=kind: tx.prekeys(kind)), kind  # type: ignore[misc]  # mypy reads no default of a lambda
    assert db.run_now(run_counter) == 1
    assert len(db.run_now(previous_keys)) == 1, "the block has replaced the profile key once"


def test_every_row_is_read_by_todays_code(golden: Golden) -> None:
    db = golden.db
    account = golden.beto.address.account
    invites, tokens = db.run_now(lambda tx: tx.invites()), db.run_now(lambda tx: tx.home_tokens())
    assert len(invites) == golden.facts["tables"]["invites"]
    assert len(tokens) == golden.facts["tables"]["home_tokens"]
    rows = db.run_now(lambda tx: tx.outbox())
    assert len(rows) == golden.facts["tables"]["outbox"]
    assert [decode_content(row.content).body for row in rows]
    assert [decode_content(renewal.content).body for renewal in db.run_now(lambda tx: tx.renewals())]
    assert db.run_now(lambda tx: tx.known_addresses(golden.beto.address)) == ("/ip4/192.0.2.7/tcp/4001",)
    assert len(db.run_now(lambda tx: tx.unopened_due(Timestamp(2**52)))) == 1
    assert len(db.run_now(lambda tx: tx.events_after(0))) == golden.facts["tables"]["events"]
    messages = db.run_now(lambda tx: tx.messages(account, None, 100))
    assert {row.status for row in messages} >= {MessageStatus.READ, MessageStatus.STORED, MessageStatus.QUEUED}
    for peer in db.run_now(lambda tx: tx.sessions()):
        saved = db.run_now(lambda tx, peer=peer: tx.session(peer))  # type: ignore[misc]  # mypy reads no default of a lambda
        assert saved is not None
        assert SessionRecord.from_bytes(saved).has_current


def test_its_sessions_go_on_in_both_directions(golden: Golden) -> None:
    """What was in flight opens, what waited opens there, and a conversation follows."""
    facts = golden.facts
    in_flight = SealedEnvelope(bytes.fromhex(facts["in_flight"]))
    assert golden.ana_takes(in_flight) is Fate.OPENED
    assert golden.ana_takes(in_flight) is Fate.SEEN_BEFORE
    assert golden.texts()[-1] == facts["in_flight_text"]
    waiting = golden.db.run_now(lambda tx: tx.outbox(golden.beto.address.account))
    sealed = [row.envelope for row in waiting if row.envelope is not None]
    assert bytes.fromhex(facts["waiting"]) in [envelope.raw for envelope in sealed]
    bodies = [golden.beto_opens(envelope).body for envelope in sealed]
    assert facts["waiting_text"] in [body.text for body in bodies if isinstance(body, Text)]
    for turn in range(3):
        text = f"ainda aqui {turn}"
        sent = golden.db.run_now(
            lambda tx, text=text, turn=turn: delivery.compose_text(  # type: ignore[misc]  # mypy reads no default of a lambda
                tx, golden.beto.address.account, text, client_id=bytes([turn]) * 16, reply_to=None,
                now_ms=golden.now, rng=RNG,
            )
        )  # fmt: skip
        row = next(row for row in golden.db.run_now(lambda tx: tx.outbox()) if row.message_id == sent.id)
        assert row.envelope is not None
        assert golden.beto_opens(row.envelope).body == Text(text)
        assert golden.ana_takes(golden.beto_writes(f"aqui também {turn}")) is Fate.OPENED
    assert golden.texts()[-1] == "aqui também 2"


def test_its_certificates_are_still_good(golden: Golden) -> None:
    own = golden.db.run_now(lambda tx: tx.own())
    kept = golden.db.run_now(lambda tx: sender_certificate(tx, own, golden.now))
    assert kept == golden.db.run_now(lambda tx: tx.setting("sender-certificate"))
    assert local_identity(own).key.public == own.identity_key


async def test_the_first_version_gives_its_root_key_to_a_file(golden: Golden, tmp_path: Path) -> None:
    seed = golden.db.run_now(lambda tx: tx.kept_root_seed())
    own = golden.db.run_now(lambda tx: tx.own())
    assert (seed is not None) is (golden.facts["schema"] == 1)
    golden.db.close()
    make_key(tmp_path, RNG)  # stands beside the database; the golden one keeps its own
    db = await open_database(golden.path, SecretBytes(bytes.fromhex(golden.facts["key"])))

    class NoKeyring:
        def get_password(self, service_name: str, username: str) -> str | None:
            return None

        def set_password(self, service_name: str, username: str, password: str) -> None: ...

        def delete_password(self, service_name: str, username: str) -> None: ...

    await move_root_key_out(db, tmp_path, RNG, passphrase=None, keyring=NoKeyring())
    assert await db.run(lambda tx: tx.kept_root_seed()) is None
    await db.close()
    if seed is not None:
        assert RootKey(root_key_file(tmp_path).load()).public == own.root_key
