"""What the core needs from the world, as small Protocols. Implementations: `storage`, `transports`, `testing`, `client`."""
