"""The bootstrap role. Importing this loads libp2p (90 MB): `server.main` does so only where the role is wanted."""

from mepassa.server.bootstrap.role import BootstrapConfig, BootstrapFacts, BootstrapRole

__all__ = ["BootstrapConfig", "BootstrapFacts", "BootstrapRole"]
