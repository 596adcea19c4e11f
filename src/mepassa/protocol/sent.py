"""What has left and may be asked for again (docs/protocol/delivery.md, "Healing").

While an envelope waits in the outbox, its row there says all of it; only what goes without the word that it was opened is
remembered apart.
"""

from dataclasses import replace

from mepassa.model.ids import Address, EnvelopeId
from mepassa.ports.stores import OutboxRow, SentRow, Tx


def drop(tx: Tx, row: OutboxRow) -> None:
    """It leaves the outbox: taken, replaced or expired. Its envelope may be there, or get there, and not open."""
    _keep(tx, row)
    tx.delete_outbox(row.id)


def unseal(tx: Tx, row: OutboxRow) -> None:
    """The session behind its envelope is over: it is sealed anew. The envelope may be there all the same."""
    _keep(tx, row)
    tx.update_outbox(unsealed(row))


def unsealed(row: OutboxRow) -> OutboxRow:
    return replace(row, envelope=None, ratchet_key=None, sealed_ms=None)


def recall(tx: Tx, asker: Address, envelope_id: EnvelopeId) -> SentRow | None:
    """What that very device was sent as this envelope, also one whose acknowledgement has not come yet."""
    sent = tx.sent(envelope_id)
    if sent is not None:
        return sent if sent.to == asker else None
    rows = (row for row in tx.outbox(asker.account) if row.to == asker)
    return next(
        (_sent(row) for row in rows if row.envelope is not None and row.envelope.id == envelope_id),
        None,
    )


def _keep(tx: Tx, row: OutboxRow) -> None:
    sent = _sent(row)
    if sent is not None and tx.sent(sent.id) is None:
        tx.put_sent(sent)


def _sent(row: OutboxRow) -> SentRow | None:
    """None for what is not sealed, and what is never made again (a request to send again)."""
    envelope, ratchet_key, sealed_ms = row.envelope, row.ratchet_key, row.sealed_ms
    if envelope is None or ratchet_key is None or sealed_ms is None:
        return None
    return SentRow(envelope.id, row.to, row.message_id, row.content, ratchet_key, row.resends, sealed_ms)
