"""What has left and may be asked for again (docs/protocol/delivery.md, "Healing").

While an envelope waits in the outbox, its row there says all of it; only what leaves without the word that it was opened is
remembered apart.
"""

from dataclasses import replace

from mepassa.model.ids import Address, EnvelopeId
from mepassa.ports.stores import OutboxRow, SentRow, Tx


def keep(tx: Tx, row: OutboxRow) -> None:
    """Before this row or its envelope goes. Nothing for what is never made again (a request to send again)."""
    envelope, ratchet_key, sealed_ms = row.envelope, row.ratchet_key, row.sealed_ms
    if envelope is not None and ratchet_key is not None and sealed_ms is not None and tx.sent(envelope.id) is None:
        tx.put_sent(SentRow(envelope.id, row.to, row.message_id, row.content, ratchet_key, row.resends, sealed_ms))


def unseal(tx: Tx, row: OutboxRow) -> None:
    """The session behind its envelope is over: it is sealed anew. The envelope may be there all the same."""
    keep(tx, row)
    tx.update_outbox(replace(row, envelope=None, ratchet_key=None))


def find(tx: Tx, asker: Address, envelope_id: EnvelopeId) -> SentRow | None:
    """What that very device was sent as this envelope, also one whose acknowledgement has not come yet."""
    for row in tx.outbox(asker.account):
        if row.envelope is not None and row.envelope.id == envelope_id:
            keep(tx, row)
    sent = tx.sent(envelope_id)
    return sent if sent is not None and sent.to == asker else None
