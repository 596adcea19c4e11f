"""Sender keys: our own with their holders, and those that other devices told us."""

from mepassa.model.ids import AccountId, Address, DistributionId, Timestamp
from mepassa.model.keys import IdentityKey
from mepassa.ports.stores import OwnSenderKey, SenderKeyHolder
from mepassa.storage.rows import Rows, to_time


class SenderKeyRows(Rows):
    def own_sender_key(self, distribution_id: DistributionId) -> OwnSenderKey | None:
        row = self._one("SELECT record, created_ms FROM own_sender_keys WHERE distribution_id = ?", distribution_id.raw)
        return OwnSenderKey(distribution_id, row[0], to_time(row[1])) if row else None

    def put_own_sender_key(self, key: OwnSenderKey) -> None:
        self._do(
            "INSERT OR REPLACE INTO own_sender_keys (distribution_id, record, created_ms) VALUES (?, ?, ?)",
            key.distribution_id.raw,
            key.record,
            key.created_ms,
        )

    def delete_own_sender_keys(self, distribution_id: DistributionId | None = None) -> None:
        for table in ("own_sender_keys", "sender_key_holders"):
            if distribution_id is None:
                self._do(f"DELETE FROM {table}")
            else:
                self._do(f"DELETE FROM {table} WHERE distribution_id = ?", distribution_id.raw)

    def sender_key_holders(self, distribution_id: DistributionId) -> tuple[SenderKeyHolder, ...]:
        rows = self._all(
            "SELECT account, device, identity_key FROM sender_key_holders WHERE distribution_id = ?"
            " ORDER BY account, device",
            distribution_id.raw,
        )
        return tuple(SenderKeyHolder(Address(AccountId(row[0]), row[1]), IdentityKey(row[2])) for row in rows)

    def put_sender_key_holder(self, distribution_id: DistributionId, holder: SenderKeyHolder) -> None:
        self._do(
            "INSERT OR REPLACE INTO sender_key_holders (distribution_id, account, device, identity_key)"
            " VALUES (?, ?, ?, ?)",
            distribution_id.raw,
            holder.address.account.raw,
            holder.address.device,
            holder.identity_key.raw,
        )

    def distributions_held_by(self, peer: Address) -> tuple[DistributionId, ...]:
        rows = self._all(
            "SELECT distribution_id FROM sender_key_holders WHERE account = ? AND device = ? ORDER BY distribution_id",
            peer.account.raw,
            peer.device,
        )
        return tuple(DistributionId(row[0]) for row in rows)

    def sender_key(self, sender: Address, distribution_id: DistributionId) -> bytes | None:
        row = self._one(
            "SELECT record FROM sender_keys WHERE account = ? AND device = ? AND distribution_id = ?",
            sender.account.raw,
            sender.device,
            distribution_id.raw,
        )
        return row[0] if row else None

    def put_sender_key(
        self, sender: Address, distribution_id: DistributionId, record: bytes, now_ms: Timestamp
    ) -> None:
        self._do(
            "INSERT OR REPLACE INTO sender_keys (account, device, distribution_id, record, used_ms)"
            " VALUES (?, ?, ?, ?, ?)",
            sender.account.raw,
            sender.device,
            distribution_id.raw,
            record,
            now_ms,
        )

    def sender_keys(self, sender: Address) -> dict[DistributionId, int]:
        rows = self._all(
            "SELECT distribution_id, length(record) FROM sender_keys WHERE account = ? AND device = ?"
            " ORDER BY used_ms, rowid",
            sender.account.raw,
            sender.device,
        )
        return {DistributionId(row[0]): row[1] for row in rows}

    def delete_sender_key(self, sender: Address, distribution_id: DistributionId | None = None) -> None:
        self._do(
            "DELETE FROM sender_keys WHERE account = ? AND device = ? AND distribution_id = coalesce(?, distribution_id)",
            sender.account.raw,
            sender.device,
            distribution_id.raw if distribution_id is not None else None,
        )
