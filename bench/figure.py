"""What a measurement gives back, and what it was measured on."""

import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

import msgspec


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One measured number. `ratio` = value / rival_value, where a rival ran in the same run."""

    figure: str
    value: float
    unit: str
    rival: str | None = None
    rival_value: float | None = None
    ratio: float | None = None

    def __post_init__(self) -> None:
        if self.ratio is None and self.rival_value:
            msgspec.structs.force_setattr(self, "ratio", self.value / self.rival_value)


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """The machine, as far as figures depend on it. `disk_sync_ms` is measured, not read from a label."""

    cores: int
    python: str
    machine: str
    disk_sync_ms: float

    @classmethod
    def here(cls) -> "Environment":
        return cls(
            cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
            python=platform.python_version(),
            machine=f"{platform.system()} {platform.machine()}",
            disk_sync_ms=round(disk_sync_ms(), 3),
        )

    def line(self) -> str:
        return f"{self.cores} cores, Python {self.python}, {self.machine}, one disk sync {self.disk_sync_ms} ms"


def disk_sync_ms(folder: Path | None = None, samples: int = 20) -> float:
    """The median time of appending 4 KiB to a file and syncing it, milliseconds; in the temporary folder by default."""
    times_ms = []
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        for _ in range(samples):
            started = time.perf_counter()
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
            times_ms.append((time.perf_counter() - started) * 1000)
    return statistics.median(times_ms)
