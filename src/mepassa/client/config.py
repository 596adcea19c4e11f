"""What a node can be told: one frozen dataclass, read once in `main`."""

from dataclasses import dataclass, field
from pathlib import Path

from mepassa.model.secret import HandedOver


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """One node: one person's device, one folder, one process."""

    data: Path
    """The node's folder: database, key, token, lock."""
    api_host: str = "127.0.0.1"
    """Where the local API listens; loopback only."""
    api_port: int = 0
    """0 picks a free port."""
    passphrase: HandedOver = field(default_factory=HandedOver)
    """Opens the database where its key is wrapped by one; taken once, at the start."""
    allow_loopback_paths: bool = False
    """Demo and tests: 127.0.0.1 may be advertised and dialled."""
    frame_ancestor: str | None = None
    """The one origin that may frame the page (the demo's)."""
    bootstrap: tuple[str, ...] = ()
    """Multiaddrs of DHT nodes besides those that the home lists."""
    max_page_count: int | None = None
    """Tests only: the database may grow to this many pages, then behaves as on a full disk."""
