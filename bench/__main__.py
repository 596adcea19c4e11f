"""`./dev bench NAME [--json]`: runs `bench/NAME.py`, whose `run()` yields `Figure`s.

Without --json a table for people, with the machine below it; with it one JSON object a figure on standard output and
the machine on standard error. Figures are compared as ratios within one run: machines differ, and so do days.
"""

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterable

import msgspec
from rich.console import Console
from rich.table import Table

import bench
from bench.figure import Environment, Figure

NOT_BENCHES = {"__main__", "crypto_people", "figure", "libsignal_node"}


def names() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(bench.__path__) if module.name not in NOT_BENCHES)


def load(name: str) -> Callable[[], Iterable[Figure]]:
    run: Callable[[], Iterable[Figure]] = importlib.import_module(f"bench.{name}").run
    return run


def show(figures: Iterable[Figure]) -> None:
    table = Table("figure", "value", "unit", "rival", "rival's", "ratio")
    for found in figures:
        rival = "" if found.rival_value is None else f"{found.rival_value:,.4g}"
        ratio = "" if found.ratio is None else f"{found.ratio:.2f}"
        table.add_row(found.figure, f"{found.value:,.4g}", found.unit, found.rival or "", rival, ratio)
    Console().print(table)
    print(Environment.here().line())


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./dev bench", description="Measure.")
    parser.add_argument("name", nargs="?", help=f"one of: {', '.join(names()) or 'none yet'}")
    parser.add_argument("--json", action="store_true", help="one JSON object a figure")
    options = parser.parse_args(arguments)
    if options.name is None:
        print("\n".join(names()))
        return 0
    if options.name not in names():
        print(
            f"There is no bench named {options.name}; there are: {', '.join(names()) or 'none yet'}.", file=sys.stderr
        )
        return 2
    if not options.json:
        show(load(options.name)())
        return 0
    print(Environment.here().line(), file=sys.stderr)
    for found in load(options.name)():
        print(msgspec.json.encode(found).decode(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
