"""Sessions with devices, encoded, and how often they were begun anew."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from mepassa.model.ids import Address, Timestamp

R = TypeVar("R")


class SessionStore(Protocol):
    def session(self, peer: Address) -> bytes | None:
        """The encoded session record (current and archived states)."""
        ...

    def read_session(self, peer: Address, read: Callable[[bytes], R]) -> R | None:
        """What `read` makes of it; what was put as already read is not read again. Raises what `read` raises."""
        ...

    def put_session(self, peer: Address, record: bytes, as_read: object = None) -> None:
        """`as_read`: what `read` would make of it. It must never change."""
        ...

    def delete_session(self, peer: Address) -> None: ...

    def sessions(self) -> tuple[Address, ...]: ...

    def add_reset(self, peer: Address, at_ms: Timestamp) -> None: ...

    def resets_since(self, peer: Address, since_ms: Timestamp) -> int: ...
