"""Session records as the database keeps them, and what happens to one that is damaged (docs/protocol/session.md)."""

from mepassa.crypto.errors import CorruptRecordError
from mepassa.model.ids import Address
from mepassa.ports.stores import Tx
from mepassa.protocol.alarms import Alarm, raise_alarm
from mepassa.protocol.session_record import SessionRecord


def load_session(tx: Tx, peer: Address) -> SessionRecord:
    """All sessions with that device; the empty record where there are none.

    One damaged record must not stop the others, so it raises nothing: a record that cannot be read is replaced by the
    empty one in this transaction, and the person is told once. What the lost sessions would have opened is asked for
    again (`protocol.healing`), and the next message of ours begins a new session.
    """
    kept = tx.session(peer)
    if kept is None:
        return SessionRecord.EMPTY
    try:
        return SessionRecord.from_bytes(kept)
    except CorruptRecordError:
        tx.put_session(peer, SessionRecord.EMPTY.to_bytes())
        raise_alarm(tx, Alarm.SESSION_DAMAGED, peer.account)
        return SessionRecord.EMPTY
