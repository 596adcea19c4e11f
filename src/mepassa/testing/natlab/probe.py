"""Can this machine run the lab? Asked once a session; the answer is a reason, for a skip."""

import functools
import shutil
import subprocess

from mepassa.testing.natlab.lab import SBIN, NatLab, NatLabError
from mepassa.testing.natlab.nat_types import NatType
from mepassa.testing.process import LineProcessError

TOOLS = {"ip": "iproute2", "nft": "nftables", "conntrack": "conntrack", "sysctl": "procps"}
"""Program -> Debian package."""


@functools.cache
def probe_natlab() -> str | None:
    """None when a lab comes up; else one sentence that says what is missing."""
    missing = sorted(package for tool, package in TOOLS.items() if not _found(tool))
    if missing:
        return f"the NAT lab needs: apt-get install {' '.join(missing)}"
    try:
        with NatLab.up(NatType.SYMMETRIC, NatType.ADDRCONE) as lab:
            lab.run("cliA", ["ip", "route", "get", lab.SERVER])
    except (NatLabError, LineProcessError, OSError, subprocess.SubprocessError) as error:
        return f"the NAT lab does not come up here (root or user namespaces are needed): {error}"
    return None


def _found(tool: str) -> bool:
    return bool(shutil.which(tool) or shutil.which(tool, path=SBIN))
