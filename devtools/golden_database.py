"""Writes a golden device database of today's schema: `./dev run python -m devtools.golden_database`.

`tests/vectors/database-N.db` and what it holds in words beside it, `database-N.json`. One is added with each migration,
none is ever changed: tests/storage/test_golden_databases.py opens all of them and goes on (CONTRIBUTING.md, "Saved state").
"""

import json
import sys
import tempfile
from pathlib import Path

from mepassa.identity import IdentityKeyPair
from mepassa.model.ids import EnvelopeId
from mepassa.model.route import AddressClass, Policy, Route, RouteKind, RouteTransport
from mepassa.ports.stores import InviteKind, UnopenedRow
from mepassa.protocol import contacts, receipts
from mepassa.protocol.account import begin_run, sender_certificate
from mepassa.protocol.status import StatusEvent
from mepassa.protocol.tokens import token_changes, tokens_told
from mepassa.storage.connection import Connection
from mepassa.storage.schema import MIGRATIONS
from mepassa.testing import ManualClock
from tests.protocol.phones import KEY, Phone, befriend, settle

VECTORS = Path(__file__).parents[1] / "tests" / "vectors"
DIRECT = Route(RouteKind.DIRECT, RouteTransport.QUIC, None, AddressClass.HOLE_PUNCHED, rtt_ms=12.5)


def write(folder: Path, vectors: Path = VECTORS) -> Path:
    """Ana's database after a full day, and what Beto needs to go on talking with it."""
    clock = ManualClock()
    ana, beto, caio, duda, elisa = (
        Phone(name, folder / f"{name}.db", clock) for name in ("ana", "beto", "caio", "duda", "elisa")
    )
    befriend(ana, beto)
    ana.write(beto, "oi, Beto")
    settle(ana, beto, route=DIRECT)
    answer = beto.write(ana, "oi, Ana")
    settle(ana, beto)
    ana.db.run_now(lambda tx: receipts.mark_read(tx, contacts.require(tx, beto.account), answer.id, ana.now, ana.rng))
    settle(ana, beto)
    befriend(ana, elisa)
    ana.db.run_now(lambda tx: contacts.block(tx, elisa.account, ana.now, ana.rng))
    settle(ana, beto)
    caio.add(ana.invite(), ana)
    caio.write(ana, "posso falar com você?")
    for envelope in caio.post(ana):
        ana.take(envelope)
    ana.add(duda.invite(), duda)
    ana.write(duda, "sou a Ana")
    ana.invite(InviteKind.LINK)
    for policy in (Policy.HIDE_MY_IP, Policy.AUTO):  # the presence key is told anew, and that is not confirmed yet
        ana.db.run_now(
            lambda tx, policy=policy: contacts.set_policy(tx, beto.account, policy, ana.now, ana.rng)  # type: ignore[misc]  # mypy reads no default of a lambda
        )
    stored = ana.write(beto, "guardada no servidor")
    (row,) = [row for row in ana.outbox() if row.message_id == stored.id]
    ana.taken(row, StatusEvent.DEPOSIT_SYNCED, DIRECT)
    waiting = ana.write(beto, "na fila")
    (row,) = [row for row in ana.outbox() if row.message_id == waiting.id]
    beto.write(ana, "ainda sem recibo")
    for envelope in beto.post(ana):
        ana.take(envelope)
    beto.write(ana, "em voo")
    (in_flight,) = beto.post(ana)
    ana.db.run_now(begin_run)
    ana.db.run_now(lambda tx: tokens_told(tx, token_changes(tx, ana.now)))
    ana.db.run_now(lambda tx: tx.put_known_addresses(beto.address, ("/ip4/192.0.2.7/tcp/4001",), ana.now))
    ana.db.run_now(
        lambda tx: tx.put_unopened(UnopenedRow(EnvelopeId(bytes(16)), beto.address, b"\x05" * 33, ana.now, 1, ana.now))
    )
    certificate = beto.db.run_now(lambda tx: sender_certificate(tx, beto.own, beto.now))
    record = beto.db.run_now(lambda tx: tx.session(ana.address))
    assert row.envelope is not None
    assert record is not None
    own = ana.db.run_now(lambda tx: tx.own())
    facts = {
        "schema": len(MIGRATIONS),
        "key": KEY.expose().hex(),
        "now_ms": int(ana.now),
        "account": own.address.account.hex(),
        "device_list": own.device_list.body.hex(),
        "in_flight": in_flight.raw.hex(),
        "in_flight_text": "em voo",
        "waiting": row.envelope.raw.hex(),
        "waiting_text": "na fila",
        "texts_with_beto": [message.text for message in ana.screen(beto)],
        "states": {phone.name: ana.contact(phone).state.value for phone in (beto, caio, duda, elisa)},
        "accounts": {phone.name: phone.account.hex() for phone in (beto, caio, duda, elisa)},
        "tables": _counts(ana),
        "beto": {
            "device_seed": IdentityKeyPair(beto.own.device_seed).seed.expose().hex(),
            "registration_id": beto.own.registration_id,
            "certificate": certificate.hex(),
            "record": record.hex(),
            "list_version": beto.own.list_version,
            "list_hash": beto.own.device_list.hash.hex(),
        },
    }
    for phone in (ana, beto, caio, duda, elisa):
        phone.db.close()
    target = vectors / f"database-{len(MIGRATIONS)}.db"
    _copy(ana.path, target)
    target.with_suffix(".json").write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    return target


def _counts(phone: Phone) -> dict[str, int]:
    """Rows of each table that must not be empty for the file to be worth anything."""
    raw = phone.db._connection._raw  # noqa: SLF001 - a look at the file itself
    names = [name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    counts = {name: raw.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names}  # noqa: S608 - our tables
    return {name: count for name, count in counts.items() if count and not name.startswith("sqlite")}


def _copy(source: Path, target: Path) -> None:
    """One file without a log, as small as it gets."""
    connection = Connection(source, KEY, create=False)
    connection._raw.execute("VACUUM")  # noqa: SLF001 - nothing else needs it
    connection._raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # noqa: SLF001 - nothing else needs it
    connection._raw.execute("PRAGMA journal_mode = DELETE")  # noqa: SLF001 - nothing else needs it
    connection.close()
    target.write_bytes(source.read_bytes())


def main() -> int:
    target = VECTORS / f"database-{len(MIGRATIONS)}.db"
    if target.exists():
        print(f"{target} is there already and is never changed.", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        print(write(Path(folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
