"""The open links, by number and by peer: what the page's pill and the routing machines see of them."""

from dataclasses import dataclass, field

from mepassa.model.ids import AccountId
from mepassa.model.route import Route, RouteKind
from mepassa.ports.transport import Link

NOTABLE_RTT_CHANGE = 0.2
"""A round trip that moved by more than this share is worth telling the page."""


@dataclass(slots=True)
class LivePath:
    """One open link. `told_rtt_s`: the round trip that the page was last told; `seen_rtt_s`: that we last looked at."""

    number: int
    link: Link
    told_rtt_s: float | None = None
    seen_rtt_s: float | None = None

    @property
    def kind(self) -> RouteKind:
        return self.link.facts.kind

    @property
    def route(self) -> Route:
        facts, srtt = self.link.facts, self.link.srtt_s
        return Route(
            kind=facts.kind,
            transport=facts.transport,
            via=facts.via,
            address_class=facts.address_class,
            found_by=facts.found_by,
            rtt_ms=None if srtt is None else round(srtt * 1000, 2),
        )

    def pong_came(self) -> bool:
        """True once for each new measurement: a sign of life, however little the round trip moved."""
        seen, self.seen_rtt_s = self.seen_rtt_s, self.link.srtt_s
        return self.seen_rtt_s is not None and self.seen_rtt_s != seen

    def rtt_moved(self) -> bool:
        """True once for each notable change; remembers what it answered."""
        now, told = self.link.srtt_s, self.told_rtt_s
        if now is None or (told is not None and abs(now - told) <= NOTABLE_RTT_CHANGE * told):
            return False
        self.told_rtt_s = now
        return True


@dataclass(slots=True)
class LivePaths:
    """All open links; numbers are never reused."""

    _paths: dict[int, LivePath] = field(default_factory=dict)
    _next: int = 1

    def add(self, link: Link) -> LivePath:
        path = LivePath(self._next, link, link.srtt_s)
        self._paths[path.number] = path
        self._next += 1
        return path

    def find(self, link: Link) -> LivePath | None:
        return next((path for path in self._paths.values() if path.link is link), None)

    def remove(self, link: Link) -> LivePath | None:
        found = self.find(link)
        return None if found is None else self._paths.pop(found.number)

    def get(self, number: int) -> LivePath | None:
        return self._paths.get(number)

    def all(self) -> tuple[LivePath, ...]:
        return tuple(self._paths.values())

    def best(self, account: AccountId) -> LivePath | None:
        """What the contact's pill shows: direct before relayed, the newest first."""
        mine = [path for path in self._paths.values() if path.link.peer.account == account]
        return max(mine, key=lambda path: (path.kind is RouteKind.DIRECT, path.number), default=None)
