"""What the core needs from the world, as small Protocols.

Implemented in `storage`, `transports`, `client` and, for tests, `testing`. Where the standard library is all it takes,
the real thing stands here: `clock`, `rng`, for every program's folder `folder_lock` and `private_file`, for its database
`job_thread`.
"""
