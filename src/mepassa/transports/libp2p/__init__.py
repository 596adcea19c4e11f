"""Direct paths and presence over libp2p. Importing this loads libp2p (90 MB): only whoever starts a node does."""

from mepassa.p2p.guest import TrioGuest
from mepassa.p2p.host import DialFailure, ListenError
from mepassa.p2p.presence import FoundPresence
from mepassa.transports.libp2p.presence import PUBLISH_EVERY_S, DhtUnreachableError, PresenceClient
from mepassa.transports.libp2p.transport import DialFailedError, Libp2pConfig, Libp2pTransport, ListenFacts

__all__ = [
    "PUBLISH_EVERY_S",
    "DhtUnreachableError",
    "DialFailedError",
    "DialFailure",
    "FoundPresence",
    "Libp2pConfig",
    "Libp2pTransport",
    "ListenError",
    "ListenFacts",
    "PresenceClient",
    "TrioGuest",
]
