"""`./dev fuzz NAME [--seconds N] [--seed N]`: feeds `fuzz/NAME.py` (see `fuzz.engine`); exit 1 where something crashed.

`./dev fuzz conversation [--messages N]` is no parser's input but whole conversations, told in numbers of messages;
`./dev fuzz mutants` feeds broken code to the tests, with options of its own.
"""

import argparse
import importlib
import pkgutil
import sys
import time
from pathlib import Path
from random import Random, SystemRandom

import fuzz
from fuzz.engine import fuzz as run_fuzzer
from fuzz.engine import keep_crashes, read_corpus

NOT_TARGETS = {"__main__", "engine"}
CORPUS = Path(__file__).parent / "corpus"


def names() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(fuzz.__path__) if module.name not in NOT_TARGETS)


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["mutants"]:
        return int(importlib.import_module("fuzz.mutants").main(arguments[1:]))
    parser = argparse.ArgumentParser(
        prog="./dev fuzz", description="Random and mutated input for a parser, or whole conversations."
    )
    parser.add_argument("name", nargs="?", help=f"one of: {', '.join(names()) or 'none yet'}")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long (default 10)")
    parser.add_argument("--messages", type=int, default=50_000, help="how many (conversation only; default 50 000)")
    parser.add_argument("--seed", type=int, help="repeat a run")
    options = parser.parse_args(arguments)
    if options.name is None:
        print("\n".join(names()))
        return 0
    if options.name not in names():
        print(
            f"There is no target named {options.name}; there are: {', '.join(names()) or 'none yet'}.", file=sys.stderr
        )
        return 2
    module = importlib.import_module(f"fuzz.{options.name}")
    seed = SystemRandom().getrandbits(32) if options.seed is None else options.seed
    if hasattr(module, "converse"):
        return int(module.converse(seed, options.messages))
    folder = CORPUS / options.name
    until = time.monotonic() + options.seconds
    found = run_fuzzer(
        module.target, [*read_corpus(folder), *module.SEEDS], Random(seed), lambda: time.monotonic() < until
    )
    print(f"{found.runs} inputs, seed {seed}")
    for outcome, count in found.outcomes.most_common():
        print(f"{count:>10}  {outcome}")
    for path in keep_crashes(folder, found.crashes):
        print(f"kept {path}")
    return 1 if found.crashes else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
