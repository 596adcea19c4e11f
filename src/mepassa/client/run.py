"""Which run of the database this is (`ports.mailbox.RunCounter`)."""

from mepassa.model.ids import RunId
from mepassa.ports.clock import Clock
from mepassa.ports.db import Db
from mepassa.ports.rng import Rng
from mepassa.ports.stores import Tx
from mepassa.protocol.account import begin_run, roll_forward
from mepassa.protocol.own_prekeys import stock_up


class Run:
    """One for each start of the node."""

    def __init__(self, db: Db[Tx], *, clock: Clock, rng: Rng) -> None:
        self._db, self._clock, self._rng = db, clock, rng
        self._run_id = RunId(rng.token(RunId.SIZE))

    @property
    def run_id(self) -> RunId:
        return self._run_id

    async def rise(self) -> int:
        return await self._db.run(begin_run)

    async def rolled_back(self, counter: int) -> int:
        def work(tx: Tx) -> int:
            raised = roll_forward(tx, counter)
            stock_up(tx, self._clock.now_ms(), self._rng)
            return raised

        return await self._db.run(work)
