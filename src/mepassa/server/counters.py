"""What a home counts, for its host and as evidence in the demo: numbers only, nothing about anyone."""

from dataclasses import asdict, dataclass


@dataclass(slots=True)
class Counters:
    """Since the start. Fields that fall as well as rise say so."""

    deposits_stored: int = 0
    """Deposits answered "stored": synced to disk."""
    deposits_delivered: int = 0
    """Deposits answered "delivered": acknowledged by the device before they were ever written."""
    deposits_refused: int = 0
    envelopes_delivered: int = 0
    """Envelopes handed to a device's socket, repeated ones too."""
    envelopes_acknowledged: int = 0
    envelopes_expired: int = 0
    commits: int = 0
    """Transactions of the mailbox: each is one sync, whatever it holds."""
    log_ins: int = 0
    log_ins_refused: int = 0
    rolled_back: int = 0
    """Log-ins told that their database is an old copy."""
    devices_online: int = 0
    """Rises and falls."""
    signals_forwarded: int = 0
    signals_no_device: int = 0
    signals_unknown: int = 0
    registrations: int = 0
    prekeys_fetched: int = 0
    """Bundles handed out."""
    sockets_refused: int = 0

    def snapshot(self) -> dict[str, int]:
        return asdict(self)
