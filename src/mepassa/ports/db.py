"""A database: one function is one transaction."""

from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")
Tx_co = TypeVar("Tx_co", covariant=True)


class Db(Protocol[Tx_co]):
    async def run(self, work: "Callable[[Tx_co], T]") -> T:
        """Run `work` as one transaction: committed (synced to disk) when this returns, rolled back when it raises.

        `work` may run in another thread, and must not touch the event loop. Raises `DiskFullError` when the disk is full, with
        nothing changed.
        """
        ...


class BriefDb(Db[Tx_co], Protocol[Tx_co]):
    """A database that knows work which a message waits for."""

    async def run_brief(self, work: "Callable[[Tx_co], T]") -> T:
        """As `run`, for work of about a millisecond: it may be done in the loop, which spares two hand-offs between
        threads, as long as the disk answers quickly (docs/decisions/0094)."""
        ...
