"""The work that one incoming envelope may cause before anything in it is proven (docs/protocol/session.md, "Budgets")."""

from mepassa.crypto.errors import WorkBudgetError

OPENING_DERIVATIONS = 25_000
"""Message keys that may be derived, in each of the two ratchets, in the session that opens the envelope. A gap of 24 999
lost messages moves both that far; it costs less than half a second."""

STRANGER_DERIVATIONS = 200
"""The same for somebody whom nobody here has accepted: ten times the texts that a stranger may leave. Opening comes
before any proof of who it is, so it has to be cheap."""

ARCHIVED_DERIVATIONS = 2_000
"""The same for all archived sessions that are tried in vain, together: a forged message must not cost 40 times as much
as an honest one."""


class WorkBudget:
    """Counts down. `double_ratchet`, `spqr` and `sender_key` are the derivations still allowed; `spent` counts all."""

    __slots__ = ("double_ratchet", "sender_key", "spent", "spqr")

    def __init__(self, derivations: int) -> None:
        self.double_ratchet = self.spqr = self.sender_key = derivations
        self.spent = 0

    def spend_double_ratchet(self, derivations: int) -> None:
        """Raises `WorkBudgetError` before the work is done."""
        if derivations > self.double_ratchet:
            raise WorkBudgetError
        self.double_ratchet -= derivations
        self.spent += derivations

    def spend_spqr(self, derivations: int) -> None:
        """Raises `WorkBudgetError` before the work is done."""
        if derivations > self.spqr:
            raise WorkBudgetError
        self.spqr -= derivations
        self.spent += derivations

    def spend_sender_key(self, derivations: int) -> None:
        """Raises `WorkBudgetError` before the work is done. Only a proven signature asks for it, of a member."""
        if derivations > self.sender_key:
            raise WorkBudgetError
        self.sender_key -= derivations
        self.spent += derivations
