"""libp2p takes 90 MB: only where the role or the transport needs it is it loaded (ARCHITECTURE, "Import law")."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module",
    [
        "mepassa.transports.link",
        "mepassa.transports.loopback",
        "mepassa.wire.link",
        "mepassa.wire.presence",
        "mepassa.server.main",
    ],
)
def test_importing_this_loads_neither_libp2p_nor_trio(module: str) -> None:
    probe = f"import sys, {module}; print([name for name in ('libp2p', 'trio', 'multiaddr') if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
