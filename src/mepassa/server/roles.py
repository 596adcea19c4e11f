"""What the parts of one home process have in common, and what is said when all of them run."""

from dataclasses import dataclass
from typing import Protocol


class Role(Protocol):
    """One part of a home: started in order, stopped in reverse. `stop` is idempotent."""

    async def start(self) -> object:
        """Its facts (ports, addresses), in its own type. Raises `PortTakenError`."""
        ...

    async def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class TurnPorts:
    """`udp`: both answer Binding, TURN is on the first."""

    udp: tuple[int, int]
    tcp: int


@dataclass(frozen=True, slots=True)
class ReadyFacts:
    """The line that `mepassa serve --json` prints when everything runs. None: that role is not here."""

    url: str
    home_key: str
    """Hex."""
    invite: str | None = None
    """Only at the first start of an empty folder whose registration is by invite."""
    turn: TurnPorts | None = None
    bootstrap: str | None = None
    """Multiaddr with /p2p."""
    admin: str | None = None
    """URL of counters and invites."""

    def as_json(self) -> dict[str, object]:
        turn = None if self.turn is None else {"udp": list(self.turn.udp), "tcp": self.turn.tcp}
        return {
            "ready": True,
            "url": self.url,
            "home_key": self.home_key,
            "invite": self.invite,
            "turn": turn,
            "bootstrap": self.bootstrap,
            "admin": self.admin,
        }
