"""This account: keys, settings, prekeys, sessions, what the home knows of tokens."""

from collections.abc import Callable
from typing import Any, TypeVar

from mepassa.model.errors import NotInitialisedError
from mepassa.model.ids import AccountId, Address, Timestamp
from mepassa.model.keys import HomeKey, IdentityKey, RootPublicKey
from mepassa.model.secret import SecretBytes
from mepassa.ports.mailbox import HomeAddress, TokenRecord
from mepassa.ports.stores import OwnAccount, PrekeyKind, PrekeyRow
from mepassa.storage.rows import SIGNED_LIST, Rows, to_secret, to_time

R = TypeVar("R")

_OWN = (
    "account, device, name, root_key, identity_key, device_seed, registration_id, device_certificate, device_list,"
    " list_version, home_url, home_key, profile_key, presence_seed"
)
_OWN_MARKS = ", ".join("?" for _ in _OWN.split(","))


class OwnRows(Rows):
    def own(self) -> OwnAccount:
        if self._remembered.own is None:
            self._remembered.own = self._read_own()
        return self._remembered.own

    def _read_own(self) -> OwnAccount:
        row = self._one(f"SELECT {_OWN} FROM own")
        if row is None:
            raise NotInitialisedError
        return OwnAccount(
            address=Address(AccountId(row[0]), row[1]),
            name=row[2],
            root_key=RootPublicKey(row[3]),
            identity_key=IdentityKey(row[4]),
            device_seed=SecretBytes(row[5]),
            registration_id=row[6],
            device_certificate=row[7],
            device_list=SIGNED_LIST.decode(row[8]),
            list_version=row[9],
            home=HomeAddress(row[10], HomeKey(row[11])),
            profile_key=SecretBytes(row[12]),
            presence_seed=SecretBytes(row[13]),
        )

    def put_own(self, own: OwnAccount) -> None:
        self._remembered.own = None
        fresh = ", ".join(f"{name} = excluded.{name}" for name in _OWN.split(", "))
        self._do(  # not REPLACE: what an earlier version keeps in its row of its own stays until it is moved
            f"INSERT INTO own (one, {_OWN}) VALUES (1, {_OWN_MARKS}) ON CONFLICT (one) DO UPDATE SET {fresh}",
            own.address.account.raw,
            own.address.device,
            own.name,
            own.root_key.raw,
            own.identity_key.raw,
            own.device_seed.expose(),
            own.registration_id,
            own.device_certificate,
            SIGNED_LIST.encode(own.device_list),
            own.list_version,
            own.home.url,
            own.home.key.raw,
            own.profile_key.expose(),
            own.presence_seed.expose(),
        )

    def kept_root_seed(self) -> SecretBytes | None:
        row = self._one("SELECT root_seed FROM own")
        return to_secret(row[0]) if row else None

    def drop_root_seed(self) -> None:
        self._do("UPDATE own SET root_seed = NULL")

    def setting(self, name: str) -> bytes | None:
        if name in self._remembered.settings:
            return self._remembered.settings[name]
        row = self._one("SELECT value FROM settings WHERE name = ?", name)
        return self._remembered.settings.keep(name, row[0] if row else None)

    def put_setting(self, name: str, value: bytes | None) -> None:
        self._remembered.settings.keep(name, value)
        if value is None:
            self._do("DELETE FROM settings WHERE name = ?", name)
        else:
            self._do("INSERT OR REPLACE INTO settings VALUES (?, ?)", name, value)

    def home_tokens(self) -> tuple[TokenRecord, ...]:
        rows = self._all("SELECT sha256, rights, expires_ms FROM home_tokens ORDER BY sha256")
        return tuple(TokenRecord(row[0], row[1], row[2] if row[2] is None else Timestamp(row[2])) for row in rows)

    def put_home_tokens(self, add: tuple[TokenRecord, ...], remove: tuple[bytes, ...]) -> None:
        for digest in remove:
            self._do("DELETE FROM home_tokens WHERE sha256 = ?", digest)
        for record in add:
            self._do(
                "INSERT OR REPLACE INTO home_tokens VALUES (?, ?, ?)",
                record.sha256,
                record.rights,
                record.expires_at_ms,
            )


class PrekeyRows(Rows):
    def prekey(self, kind: PrekeyKind, prekey_id: int) -> PrekeyRow | None:
        row = self._one(
            "SELECT secret, created_ms, uploaded FROM prekeys WHERE kind = ? AND id = ?", int(kind), prekey_id
        )
        if row is None:
            return None
        return PrekeyRow(kind, prekey_id, SecretBytes(row[0]), to_time(row[1]), bool(row[2]))

    def prekeys(self, kind: PrekeyKind) -> tuple[PrekeyRow, ...]:
        rows = self._all("SELECT id, secret, created_ms, uploaded FROM prekeys WHERE kind = ? ORDER BY id", int(kind))
        return tuple(PrekeyRow(kind, row[0], SecretBytes(row[1]), to_time(row[2]), bool(row[3])) for row in rows)

    def untold_prekeys(self, kind: PrekeyKind) -> tuple[PrekeyRow, ...]:
        rows = self._all(
            "SELECT id, secret, created_ms FROM prekeys WHERE kind = ? AND uploaded = 0 ORDER BY id", int(kind)
        )
        return tuple(PrekeyRow(kind, row[0], SecretBytes(row[1]), to_time(row[2])) for row in rows)

    def prekey_count(self, kind: PrekeyKind) -> int:
        row = self._one("SELECT count(*) FROM prekeys WHERE kind = ?", int(kind))
        return int(row[0]) if row else 0

    def put_prekey(self, row: PrekeyRow) -> None:
        self._do(
            "INSERT OR REPLACE INTO prekeys VALUES (?, ?, ?, ?, ?)",
            int(row.kind),
            row.id,
            row.secret.expose(),
            row.created_ms,
            row.uploaded,
        )

    def delete_prekey(self, kind: PrekeyKind, prekey_id: int) -> None:
        self._do("DELETE FROM prekeys WHERE kind = ? AND id = ?", int(kind), prekey_id)
        if kind is PrekeyKind.KYBER_LAST_RESORT:
            self._do("DELETE FROM last_resort_uses WHERE kyber_id = ?", prekey_id)

    def next_prekey_id(self, kind: PrekeyKind, count: int, first: int = 1) -> int:
        row = self._one("SELECT next FROM prekey_numbers WHERE kind = ?", int(kind))
        number = int(row[0]) if row else first
        self._do("INSERT OR REPLACE INTO prekey_numbers VALUES (?, ?)", int(kind), number + count)
        return number

    def mark_prekeys_uploaded(self, kind: PrekeyKind, prekey_id: int) -> None:
        self._do("UPDATE prekeys SET uploaded = 1 WHERE kind = ? AND id = ?", int(kind), prekey_id)

    def last_resort_used(self, kyber_id: int, signed_id: int, base_key: bytes) -> bool:
        return (
            self._one(
                "SELECT 1 FROM last_resort_uses WHERE kyber_id = ? AND signed_id = ? AND base_key = ?",
                kyber_id,
                signed_id,
                base_key,
            )
            is not None
        )

    def put_last_resort_use(self, kyber_id: int, signed_id: int, base_key: bytes) -> None:
        self._do("INSERT OR IGNORE INTO last_resort_uses VALUES (?, ?, ?)", kyber_id, signed_id, base_key)


class SessionRows(Rows):
    def session(self, peer: Address) -> bytes | None:
        if (kept := self._remembered.sessions.get(peer)) is not None:
            return kept
        row = self._one("SELECT record FROM sessions WHERE account = ? AND device = ?", peer.account.raw, peer.device)
        return self._remembered.sessions.keep(peer, row[0]) if row else None

    def read_session(self, peer: Address, read: Callable[[bytes], R]) -> R | None:
        as_read: Any = self._remembered.sessions_read.get(peer)
        if as_read is None and (record := self.session(peer)) is not None:
            as_read = self._remembered.sessions_read.keep(peer, read(record))
        return as_read  # type: ignore[no-any-return]  # all who read sessions read them alike

    def put_session(self, peer: Address, record: bytes, as_read: object = None) -> None:
        # Not OR REPLACE, which would take the row out and its index entry with it: one for every message.
        self._do(
            "INSERT INTO sessions VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET record = excluded.record",
            peer.account.raw,
            peer.device,
            record,
        )
        self._remembered.sessions.keep(peer, record)
        if as_read is None:
            self._remembered.sessions_read.pop(peer, None)
        else:
            self._remembered.sessions_read.keep(peer, as_read)

    def delete_session(self, peer: Address) -> None:
        self._remembered.sessions.pop(peer, None)
        self._remembered.sessions_read.pop(peer, None)
        self._do("DELETE FROM sessions WHERE account = ? AND device = ?", peer.account.raw, peer.device)

    def sessions(self) -> tuple[Address, ...]:
        rows = self._all("SELECT account, device FROM sessions ORDER BY account, device")
        return tuple(Address(AccountId(row[0]), row[1]) for row in rows)

    def add_reset(self, peer: Address, at_ms: Timestamp) -> None:
        self._do("INSERT INTO resets VALUES (?, ?, ?)", peer.account.raw, peer.device, at_ms)

    def resets_since(self, peer: Address, since_ms: Timestamp) -> int:
        row = self._one(
            "SELECT count(*) FROM resets WHERE account = ? AND device = ? AND at_ms > ?",
            peer.account.raw,
            peer.device,
            since_ms,
        )
        return int(row[0]) if row else 0
