"""Shipped, so that others can test with it too; the tests of this repository are in `tests/`, its own tools in `devtools/`.

`clock` `virtual_loop` virtual time · `chance` seeded dice · `crash` peers that lose their power at a chosen step ·
`network` `frames` homes in memory · `people` accounts · `process` real programs that speak in lines · `natlab` a small
internet of routers in network namespaces.
"""

from mepassa.testing.chance import SeededRng
from mepassa.testing.clock import START_MS, LoopClock, ManualClock, VirtualClock
from mepassa.testing.crash import Life, World
from mepassa.testing.process import LineProcess, LineProcessError
from mepassa.testing.virtual_loop import DeadlockError, RealWorldError, VirtualLoop

__all__ = [
    "START_MS",
    "DeadlockError",
    "Life",
    "LineProcess",
    "LineProcessError",
    "LoopClock",
    "ManualClock",
    "RealWorldError",
    "SeededRng",
    "VirtualClock",
    "VirtualLoop",
    "World",
]
