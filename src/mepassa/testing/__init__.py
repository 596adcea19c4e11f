"""Virtual time, seeded chance and peers that crash at a chosen step; shipped, so that others can test with them too."""

from mepassa.testing.chance import SeededRng
from mepassa.testing.clock import START_MS, LoopClock, ManualClock, VirtualClock
from mepassa.testing.crash import Life, World
from mepassa.testing.virtual_loop import DeadlockError, RealWorldError, VirtualLoop

__all__ = [
    "START_MS",
    "DeadlockError",
    "Life",
    "LoopClock",
    "ManualClock",
    "RealWorldError",
    "SeededRng",
    "VirtualClock",
    "VirtualLoop",
    "World",
]
