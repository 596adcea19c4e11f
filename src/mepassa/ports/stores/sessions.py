"""Sessions with devices, encoded, and how often they were begun anew."""

from typing import Protocol

from mepassa.model.ids import Address, Timestamp


class SessionStore(Protocol):
    def session(self, peer: Address) -> bytes | None:
        """The encoded session record (current and archived states)."""
        ...

    def put_session(self, peer: Address, record: bytes) -> None: ...

    def delete_session(self, peer: Address) -> None: ...

    def sessions(self) -> tuple[Address, ...]: ...

    def add_reset(self, peer: Address, at_ms: Timestamp) -> None: ...

    def resets_since(self, peer: Address, since_ms: Timestamp) -> int: ...
