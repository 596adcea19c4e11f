"""When a relayed path is next tried to be bettered: soon after it opened, then ever more rarely."""

from dataclasses import dataclass

from mepassa.routing.paths import NEVER
from mepassa.routing.times import RECHECK_S, UPGRADE_AFTER_S, UPGRADE_CAP_S


@dataclass(slots=True)
class Upgrade:
    at: float | None = None
    """None: nothing is planned."""
    is_asked: bool = False
    """Direct paths have just been allowed again: tried even where it is hardly worth it."""
    _not_before: float = -NEVER
    _failures: int = 0

    def plan(self, now: float) -> None:
        """A relayed path is in use."""
        if self.at is None:
            self.at = max(now + UPGRADE_AFTER_S, self._not_before)

    def ask(self, now: float) -> None:
        self.at, self.is_asked = now, True

    def is_due(self, now: float) -> bool:
        return self.at is not None and self.at <= now

    def begin(self) -> bool:
        """Its turn has come; returns whether it was asked for."""
        asked, self.at, self.is_asked = self.is_asked, None, False
        return asked

    def failed(self, now: float) -> None:
        delay_s = min(UPGRADE_CAP_S, RECHECK_S / 2 * 2.0 ** min(self._failures, 10))
        self._failures += 1
        self.at = self._not_before = now + delay_s

    def succeeded(self) -> None:
        """A direct path is there."""
        self.at, self.is_asked, self._failures = None, False, 0

    def forget_failures(self) -> None:
        self._failures, self._not_before = 0, -NEVER
