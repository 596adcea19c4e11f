"""A small fuzzer: random bytes and mutated seeds, no coverage feedback.

A target is a module of this folder:

    SEEDS: list[bytes]                    # well-formed inputs to mutate
    def target(data: bytes) -> str: ...   # names the outcome: "value" or the documented error's name

Anything that `target` raises is a crash. Crashes join `fuzz/corpus/NAME/` and are tried first the next time.
"""

import hashlib
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from mepassa.model.errors import MepassaError

Target = Callable[[bytes], str]

MAX_RANDOM_BYTES = 512
"""Random input longer than this rarely gets further than the same input cut here."""
INTERESTING = (
    b"\x00",
    b"\x01",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"\x00\x00\x00\x00",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
)
"""Values at which length fields break."""


@dataclass
class Findings:
    """How often each outcome came, and one example of each distinct crash, by the place where it happened."""

    outcomes: Counter[str] = field(default_factory=Counter)
    crashes: dict[str, bytes] = field(default_factory=dict)

    @property
    def runs(self) -> int:
        return self.outcomes.total()


def read_by(*readers: Callable[[bytes], object], errors: type[MepassaError] | tuple[type[MepassaError], ...]) -> Target:
    """A target: every reader is given the same bytes. "value" if one of them takes these, else a refusal by its name."""

    def target(data: bytes) -> str:
        outcomes = []
        for read in readers:
            try:
                read(data)
            except errors as error:
                outcomes.append(error.code)
            else:
                outcomes.append("value")
        return "value" if "value" in outcomes else min(outcomes)

    return target


def mutate(data: bytes, rng: Random) -> bytes:
    """One to four small changes: flip, replace, insert, delete, repeat, cut, extend."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(changed) + 1)
        size = rng.randint(1, 8)
        match rng.randrange(7):
            case 0 if at < len(changed):
                changed[at] ^= 1 << rng.randrange(8)
            case 1:
                value = rng.choice(INTERESTING)
                changed[at : at + len(value)] = value
            case 2:
                changed[at:at] = rng.randbytes(size)
            case 3:
                del changed[at : at + size]
            case 4:
                changed[at:at] = changed[at : at + size]
            case 5:
                del changed[at:]
            case _:
                changed += rng.randbytes(size)
    return bytes(changed)


def inputs(seeds: Sequence[bytes], rng: Random) -> Iterator[bytes]:
    """The seeds themselves once, then without end: mutated seeds, and now and then something wholly random."""
    yield from seeds
    while True:
        if not seeds or rng.random() < 0.1:
            yield rng.randbytes(rng.randrange(MAX_RANDOM_BYTES))
        else:
            yield mutate(rng.choice(seeds), rng)


def fuzz(target: Target, seeds: Sequence[bytes], rng: Random, go_on: Callable[[], bool]) -> Findings:
    """Feed `target` while `go_on()`; the caller decides about time."""
    found = Findings()
    for data in inputs(seeds, rng):
        if not go_on():
            break
        try:
            outcome = target(data)
        except Exception as error:  # noqa: BLE001 - any error that the target does not name is what we look for
            last = traceback.extract_tb(error.__traceback__)[-1]
            outcome = f"CRASH {type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
            found.crashes.setdefault(outcome, data)
        found.outcomes[outcome] += 1
    return found


def read_corpus(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.glob("*.bin"))]


def keep_crashes(folder: Path, crashes: dict[str, bytes]) -> list[Path]:
    """Store each crash under the hash of its bytes; returns the files."""
    paths = []
    for data in crashes.values():
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{hashlib.sha256(data).hexdigest()[:16]}.bin"
        path.write_bytes(data)
        paths.append(path)
    return paths
