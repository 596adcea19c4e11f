"""The rival of our encryption: the official library, in a loop inside Node, on the same core and in the same run."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

import msgspec

from bench.figure import Figure
from tests.oracle.official import FOLDER, NEWEST, NpmFailed, install, node_folder

NAME = "libsignal_node"
FIGURES = frozenset(
    {
        "pairs",
        "ping_pong",
        "setup",
        "sender_key",
        "multi_recipient_1000",
        "jump_2000",
        "jump_25000",
        "record_bytes",
        "record_load_and_save",
    }
)
"""What `libsignal_node.mjs` can measure, in our units."""


def beside(figures: Iterable[Figure]) -> Iterator[Figure]:
    """The same figures, each with the rival's value where it has one. Without npm there is none, and that is said.

    A figure that comes several times in a row is measured as often, ours and theirs by turns, and the best of each counts.
    """
    with contextlib.ExitStack() as stack:
        try:
            install()
            rival = stack.enter_context(_started())
        except NpmFailed as error:
            print(f"no rival: {error}", file=sys.stderr)
            rival = None
        stack.enter_context(one_core())
        for name, takes in groupby(figures, key=lambda figure: figure.figure):
            rivals_name = name.removesuffix("_interpreted")
            if rival is None or rivals_name not in FIGURES:
                yield max(takes, key=lambda figure: figure.value)
                continue
            taken = [(figure, _measured(rival, rivals_name)) for figure in takes]
            value, rivals = max(figure.value for figure, _ in taken), max(theirs for _, theirs in taken)
            figure = taken[0][0]
            yield msgspec.structs.replace(figure, value=value, rival=NAME, rival_value=rivals, ratio=value / rivals)


@contextlib.contextmanager
def one_core() -> Iterator[None]:
    """For us and, since children inherit it, for Node. Nothing where the system knows no affinity."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def _started() -> Iterator["subprocess.Popen[str]"]:
    package = FOLDER / "node_modules" / NEWEST / "dist" / "index.js"
    program = Path(__file__).with_suffix(".mjs")
    with (
        one_core(),
        subprocess.Popen(
            [str(node_folder() / "node"), str(program), package.as_uri()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        ) as process,
    ):
        yield process
        assert process.stdin is not None
        process.stdin.close()


def _measured(rival: "subprocess.Popen[str]", figure: str) -> float:
    assert rival.stdin is not None
    assert rival.stdout is not None
    rival.stdin.write(f"{figure}\n")
    rival.stdin.flush()
    return float(rival.stdout.readline())
