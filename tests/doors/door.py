"""A door: a function through which foreign bytes or text come in, and what is fed to it (CONTRIBUTING.md, "Tests").

    door(decode_card, seeds=[encode_card(CARD)], errors=(MalformedError,))

`tests/doors/test_doors.py` feeds each with its seeds, with mutations of them and with random bytes; what comes of each is
counted. The only outcomes are a value or a documented error, and both have to come. `tests/house/test_parsers_are_fuzzed.py`
looks for functions without a door.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from fuzz.engine import Findings, fuzz


class Outcome(str):
    """What a feed returns to name its outcome, where there is more to tell than "value"."""

    __slots__ = ()


Feed = Callable[[bytes], object]
"""One input. Any result but an `Outcome` is "value"."""
Fed = tuple[Feed, Sequence[bytes]]


@dataclass(frozen=True, slots=True)
class Door:
    """`names`: dotted, below `mepassa`. `make` gets a folder of its own; `errors`: what the docstring names."""

    names: tuple[str, ...]
    make: Callable[[Path], Fed]
    errors: tuple[type[Exception], ...]
    inputs: int

    @property
    def name(self) -> str:
        return self.names[0]

    def feed(self, rng: Random, folder: Path) -> Findings:
        """Every seed once, then mutations and random bytes."""
        read, seeds = self.make(folder)

        def target(data: bytes) -> str:
            try:
                result = read(data)
            except self.errors as error:
                return type(error).__name__
            return result if isinstance(result, Outcome) else "value"

        left = iter(range(self.inputs + len(seeds)))
        return fuzz(target, seeds, rng, lambda: next(left, None) is not None)


def door(
    *fed: Callable[..., object] | str,
    seeds: Sequence[bytes] = (),
    errors: tuple[type[Exception], ...],
    feed: Feed | None = None,
    make: Callable[[Path], Fed] | None = None,
    inputs: int = 300,
) -> Door:
    """`fed`: the functions that one input goes through, the first gives the name; it is called with the bytes alone
    unless `feed` says how, or `make` prepares both feed and seeds. Fewer `inputs` where one takes a millisecond."""
    read = feed or fed[0]

    def alike(_folder: Path) -> Fed:
        assert callable(read)
        return read, seeds

    names = tuple(name if isinstance(name, str) else name_of(name) for name in fed)
    return Door(names, make or alike, errors, inputs)


def name_of(function: Callable[..., object]) -> str:
    """As the scan of the sources names it."""
    bound = getattr(function, "__func__", function)
    owner = getattr(bound, "__objclass__", bound)  # a method in machine code has no module, its class has
    return f"{owner.__module__}.{bound.__qualname__}"


def text(data: bytes) -> str:
    """Any text, lone surrogates too."""
    return data.decode("utf-8", "surrogateescape")


def what_came(found: Findings) -> Counter[str]:
    """Values, and each error by its name. Raises with the input of every error that no docstring names."""
    assert not found.crashes, {place: data.hex() for place, data in found.crashes.items()}
    return found.outcomes
