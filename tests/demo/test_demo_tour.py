"""The main job: `mepassa demo --headless --json` (docs: API of the demo). Real processes, no help from inside."""

import json
import subprocess
import sys

import pytest

from mepassa.cli.demo.tour import STEPS


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(300)
def test_the_tour_takes_every_route_and_others_bear_witness() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mepassa", "demo", "--headless", "--json"],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    steps = [json.loads(line) for line in done.stdout.splitlines()]
    assert [step["step"] for step in steps] == list(STEPS), done.stdout + done.stderr
    assert all(step["ok"] for step in steps), done.stdout
    assert done.returncode == 0
    routes = {step["step"]: step["route"]["kind"] for step in steps if "route" in step}
    assert routes == {
        "request": "stored",
        "direct": "direct",
        "relayed": "relayed",
        "stored": "stored",
        "delivered": "stored",
        "server_down": "direct",
    }
    evidence = {step["step"]: step.get("evidence", {}) for step in steps}
    assert evidence["direct"]["server_deposits"] == 0
    assert evidence["relayed"]["server_relay_bytes"] > 0
    assert evidence["stored"]["server_envelopes_waiting"] >= 1
    assert evidence["delivered"]["server_envelopes_waiting"] == 0
