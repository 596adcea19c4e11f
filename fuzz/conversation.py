"""Whole conversations in bad weather, one side of each pair official (tests/oracle/storm.py holds the law).

Needs the official library from npm, which is installed on first use.
"""

import time

from tests.oracle.official import NEWEST, OLDER, install, running
from tests.oracle.storm import Outcome, storms

CONVERSATIONS = 8
"""Few enough that the calm ones go through twenty SPQR epochs, many enough that all kinds meet in both weathers."""
MIN_EPOCHS = 10
"""Each way, or the post-quantum ratchet was hardly touched. Only asked of a run of full length."""
FULL_RUN = 50_000


def converse(seed: int, messages: int) -> int:
    """The exit code: a breach of the law raises, with the seed that repeats it printed before."""
    print(f"seed {seed}", flush=True)
    install()
    begun = time.monotonic()
    with running(NEWEST) as newest, running(OLDER) as older:
        outcome = storms({NEWEST: newest, OLDER: older}, seed, messages, CONVERSATIONS)
    print(report(outcome))
    print(f"{time.monotonic() - begun:.0f} seconds")
    return 1 if messages >= FULL_RUN and min(outcome.epochs) < MIN_EPOCHS else 0


def report(outcome: Outcome) -> str:
    lines = [f"{count:>10}  {what}" for what, count in sorted(outcome.counts.items())]
    ours, theirs = outcome.epochs
    lines.append(
        f"{ours:>10}  SPQR epochs with the key made by us, {theirs} by the other; deepest session {outcome.deepest}"
    )
    return "\n".join(lines)
