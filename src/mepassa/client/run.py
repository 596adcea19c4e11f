"""Which run of the database this is (`ports.mailbox.RunCounter`)."""

from mepassa.model.errors import RemoteError
from mepassa.model.ids import RunId
from mepassa.ports.clock import Clock
from mepassa.ports.db import Db
from mepassa.ports.rng import Rng
from mepassa.ports.stores import Tx
from mepassa.protocol.account import begin_run, roll_forward, run_counter
from mepassa.protocol.own_prekeys import stock_up

AGAIN_AFTER_S = 3600.0
"""One roll-back an hour within one run. The first puts this run above all that the home has seen, so an honest home says it
again only when a second copy of the account runs too; each costs every session and 200 prekeys."""


class RolledBackAgainError(RemoteError):
    sentence = "The server says again that this is an older copy. Another copy of this account may be running: stop one of the two."


class Run:
    """One for each start of the node."""

    def __init__(self, db: Db[Tx], *, clock: Clock, rng: Rng) -> None:
        self._db, self._clock, self._rng = db, clock, rng
        self._run_id = RunId(rng.token(RunId.SIZE))
        self._rolled_back_at: float | None = None

    @property
    def run_id(self) -> RunId:
        return self._run_id

    async def rise(self) -> int:
        return await self._db.run(begin_run)

    async def rolled_back(self, counter: int) -> int:
        """Raises `RolledBackAgainError` within an hour of the last time, and for a counter that we are above already."""
        now = self._clock.monotonic()
        if self._rolled_back_at is not None and now < self._rolled_back_at + AGAIN_AFTER_S:
            raise RolledBackAgainError

        def work(tx: Tx) -> int:
            if counter < run_counter(tx):
                raise RolledBackAgainError
            raised = roll_forward(tx, counter)
            stock_up(tx, self._clock.now_ms(), self._rng)
            return raised

        raised = await self._db.run(work)
        self._rolled_back_at = now
        return raised
