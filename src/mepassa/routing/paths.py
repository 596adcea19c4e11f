"""The live paths to one device: how they open and close, and which of them is trusted."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from mepassa.model.ids import EnvelopeId
from mepassa.model.route import RouteKind
from mepassa.routing.actions import Action, ClosePath
from mepassa.routing.knowledge import Knowledge
from mepassa.routing.times import IDLE_S, LINGER_S, SILENT_PATH_CLOSE_S

NEVER = float("inf")


@dataclass(slots=True)
class LivePath:
    path: int
    kind: RouteKind
    srtt_s: float | None
    opened: float
    used: float
    """The last time that anything went or came by it."""
    proven: bool = False
    """It has carried an acknowledgement or a ping back."""
    suspect_since: float | None = None
    """It owes an acknowledgement: not used until it gives a sign of life."""
    linger_until: float = NEVER
    closing: bool = False
    in_flight: set[EnvelopeId] = field(default_factory=set)

    def gave_sign_of_life(self, now: float) -> None:
        self.proven, self.suspect_since, self.used = True, None, now

    def measured(self, srtt_s: float) -> None:
        """A ping came back: a sign of life, but no use of it."""
        self.srtt_s, self.proven, self.suspect_since = srtt_s, True, None

    def doubt(self, now: float) -> None:
        self.suspect_since = now if self.suspect_since is None else self.suspect_since

    @property
    def is_usable(self) -> bool:
        return self.suspect_since is None and not self.closing

    def close_at(self, *, idle_s: float, replaced: bool) -> float:
        """When it is to be closed as things stand: `idle_s` infinite where idle paths are kept, `replaced` while a
        direct path is there to be used instead."""
        silent = NEVER if self.suspect_since is None else self.suspect_since + SILENT_PATH_CLOSE_S
        lingered = self.linger_until if replaced and not self.in_flight else NEVER
        idle = NEVER if self.in_flight else self.used + idle_s
        return NEVER if self.closing else min(silent, lingered, idle)


class PathTable:
    """All open paths, the closing ones too. What is to be done goes to `act`."""

    def __init__(self, know: Knowledge, act: Callable[[Action], None]) -> None:
        self._know, self._act = know, act
        self._paths: dict[int, LivePath] = {}
        self.trusted: LivePath | None = None
        """The best path as of the last look: asked for each envelope, so it is found once a pass."""

    def __iter__(self) -> Iterator[LivePath]:
        return iter(list(self._paths.values()))

    def get(self, path: int) -> LivePath | None:
        return self._paths.get(path)

    # --- opening and closing -----------------------------------------------------------------------------------------

    def open(self, number: int, kind: RouteKind, srtt_s: float | None, now: float) -> LivePath | None:
        """None where it adds no path: its number is known, it is no path, or it may not be used and is closed again."""
        if kind is RouteKind.STORED or number in self._paths:
            return None
        path = LivePath(number, kind, srtt_s, opened=now, used=now, linger_until=now + LINGER_S)
        self._paths[number] = path
        self._know.heard()
        if not self._know.accepts(kind):
            self._close(path)
            return None
        return path

    def remove(self, number: int) -> LivePath | None:
        """It is closed, by whomever."""
        return self._paths.pop(number, None)

    def linger(self, now: float) -> None:
        """A direct path is there: the relayed ones stay a little, for what is still on its way."""
        for path in self._paths.values():
            path.linger_until = now + LINGER_S

    def close_forbidden(self) -> None:
        for path in self:
            if not self._know.accepts(path.kind):
                self._close(path)

    def close_due(self, now: float) -> None:
        for path in self:
            if self._close_at(path) <= now:
                self._close(path)

    def _close(self, path: LivePath) -> None:
        if not path.closing:
            path.closing = True
            self._act(ClosePath(path.path))

    def _close_at(self, path: LivePath) -> float:
        best = self.best
        replaced = best is not None and best.kind is RouteKind.DIRECT and path.kind is RouteKind.RELAYED
        doubtful = best is not None and bool(best.in_flight)  # it has yet to show that it carries
        idle_s = NEVER if self._know.rules.keep_paths else IDLE_S
        return path.close_at(idle_s=idle_s, replaced=replaced and not doubtful)

    def timeouts(self) -> list[float]:
        return [self._close_at(path) for path in self]

    # --- which one ---------------------------------------------------------------------------------------------------

    @property
    def best(self) -> LivePath | None:
        """Of those that may be used now: direct before relayed, then the shorter round trip, then the newer."""
        usable = [path for path in self._paths.values() if path.is_usable and self._know.accepts(path.kind)]
        return min(usable, key=_preference, default=None)

    def trust_the_best(self) -> None:
        self.trusted = self.best

    @property
    def any_suspect(self) -> bool:
        return any(path.suspect_since is not None for path in self._paths.values())


def _preference(path: LivePath) -> tuple[bool, float, float]:
    return path.kind is not RouteKind.DIRECT, NEVER if path.srtt_s is None else path.srtt_s, -path.opened
