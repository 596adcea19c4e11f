"""The mailbox: what a home keeps for a device, and how it gets there. No sockets in here."""

from mepassa.server.mailbox.commits import GroupCommit
from mepassa.server.mailbox.core import Fate, Mailboxes
from mepassa.server.mailbox.outbox import Outbox
from mepassa.server.mailbox.session import Session
from mepassa.server.mailbox.store import Lane, Stored

__all__ = ["Fate", "GroupCommit", "Lane", "Mailboxes", "Outbox", "Session", "Stored"]
