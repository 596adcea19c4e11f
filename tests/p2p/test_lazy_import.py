"""libp2p takes 90 MB: only where the role or the transport needs it is it loaded (ARCHITECTURE, "Import law")."""

import subprocess
import sys

LIGHT = "mepassa.transports.link, mepassa.transports.loopback, mepassa.wire.presence, mepassa.server.main"


def test_links_and_a_home_without_the_role_load_neither_libp2p_nor_trio() -> None:
    probe = f"import sys, {LIGHT}; print([name for name in ('libp2p', 'trio', 'multiaddr') if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
