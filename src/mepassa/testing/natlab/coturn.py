"""Debian's coturn as the relay of a test: an implementation that is not ours."""

import base64
import hashlib
import hmac
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

SBIN = "/usr/bin:/usr/local/bin:/usr/local/sbin:/usr/sbin:/sbin"


@dataclass(frozen=True, slots=True)
class Coturn:
    """One turnserver, not a daemon, all it writes in `folder`. STUN answers on `port` and `port` + 1.

    `extra` are further flags. `lab.spawn("srv", coturn.command())` starts it; `lab.wait_for_port` tells when it listens.
    """

    folder: Path
    host: str
    port: int
    secret: str = "lab secret"  # noqa: S105 - it opens a test's relay
    relay_ports: tuple[int, int] = (49_152, 49_999)
    extra: tuple[str, ...] = ()
    realm: str = "mepassa"
    env: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def command(self) -> list[str]:
        """Raises `FileNotFoundError` where coturn is not installed."""
        program = shutil.which("turnserver") or shutil.which("turnserver", path=SBIN)
        if program is None:
            raise FileNotFoundError("turnserver (apt-get install coturn)")
        return [
            program,
            "-n",
            f"--listening-ip={self.host}",
            f"--relay-ip={self.host}",
            f"--listening-port={self.port}",
            f"--aux-server={self.host}:{self.port + 1}",
            f"--min-port={self.relay_ports[0]}",
            f"--max-port={self.relay_ports[1]}",
            "--use-auth-secret",
            f"--static-auth-secret={self.secret}",
            f"--realm={self.realm}",
            "--fingerprint",
            "--stale-nonce=600",
            "--no-multicast-peers",
            "--no-tcp-relay",
            "--no-tls",
            "--no-dtls",
            "--no-rfc5780",
            "--no-software-attribute",
            "--no-cli",
            f"--userdb={self.folder / 'users.db'}",
            f"--pidfile={self.folder / 'turnserver.pid'}",
            f"--log-file={self.folder / 'turnserver.log'}",
            "--simple-log",
            *self.extra,
        ]

    def credentials(self, lifetime_s: int = 3_600) -> tuple[str, str]:
        """User name and password in the REST form that coturn and our own relay share."""
        username = f"{int(time.time()) + lifetime_s}:lab"
        mac = hmac.new(self.secret.encode(), username.encode(), hashlib.sha1).digest()
        return username, base64.b64encode(mac).decode()

    @property
    def turn_uris(self) -> tuple[str, str]:
        """TURN over UDP, then over TCP."""
        return (f"turn:{self.host}:{self.port}?transport=udp", f"turn:{self.host}:{self.port}?transport=tcp")

    @property
    def stun_uris(self) -> tuple[str, str]:
        """Two UDP ports, so that a client can tell what kind of NAT it sits behind."""
        return (f"stun:{self.host}:{self.port}", f"stun:{self.host}:{self.port + 1}")
