"""The live paths to one device, and which of them is trusted."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from mepassa.model.ids import EnvelopeId
from mepassa.model.route import RouteKind
from mepassa.routing.times import SILENT_PATH_CLOSE_S

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
    def __init__(self) -> None:
        self._paths: dict[int, LivePath] = {}

    def __iter__(self) -> Iterator[LivePath]:
        return iter(list(self._paths.values()))

    def get(self, path: int) -> LivePath | None:
        return self._paths.get(path)

    def add(self, path: LivePath) -> None:
        self._paths[path.path] = path

    def remove(self, path: int) -> LivePath | None:
        return self._paths.pop(path, None)

    def best(self, allowed: Callable[[RouteKind], bool]) -> LivePath | None:
        """Direct before relayed, then the shorter round trip, then the newer."""
        usable = [path for path in self._paths.values() if path.is_usable and allowed(path.kind)]
        return min(usable, key=_preference, default=None)

    @property
    def any_suspect(self) -> bool:
        return any(path.suspect_since is not None for path in self._paths.values())


def _preference(path: LivePath) -> tuple[bool, float, float]:
    return path.kind is not RouteKind.DIRECT, NEVER if path.srtt_s is None else path.srtt_s, -path.opened
