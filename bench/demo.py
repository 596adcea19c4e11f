"""How long the demo's tour takes, step by step, in a terminal; by its own JSON lines."""

import json
import subprocess
import sys
from collections.abc import Iterator

from bench.figure import Figure

TOUR_S = 40.0
"""What the whole tour may take once everything is installed."""
TIMEOUT_S = 280


def run() -> Iterator[Figure]:
    command = [sys.executable, "-m", "mepassa", "demo", "--headless", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
    for line in done.stdout.splitlines():
        step = json.loads(line)
        seconds = step["ms"] / 1000
        if step["step"] == "done":
            yield Figure(figure="tour", value=seconds, unit="s", rival="goal", rival_value=TOUR_S)
        else:
            yield Figure(figure=f"step {step['step']}", value=seconds, unit="s")
