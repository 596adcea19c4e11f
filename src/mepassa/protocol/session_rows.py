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
    try:
        return tx.read_session(peer, SessionRecord.from_bytes) or SessionRecord.EMPTY
    except CorruptRecordError:
        keep_session(tx, peer, SessionRecord.EMPTY)
        raise_alarm(tx, Alarm.SESSION_DAMAGED, peer.account)
        return SessionRecord.EMPTY


def keep_session(tx: Tx, peer: Address, record: SessionRecord) -> None:
    tx.put_session(peer, record.to_bytes(), record)
