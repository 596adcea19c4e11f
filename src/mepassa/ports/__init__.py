"""What the core needs from the world, as small Protocols.

Implemented in `storage`, `transports`, `client` and, for tests, `testing`.
"""
