"""The lab: six network namespaces, their wires and rules, and the processes inside them.

    cliA -- natA -- inet -- natB -- cliB
                     |
                    srv

Root, or an unprivileged user namespace where the kernel allows one (`rootless`). docs/guides/nat-lab.md
"""

import contextlib
import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Literal

from mepassa.testing.natlab.nat_types import NatType, ruleset
from mepassa.testing.process import LineProcess, LineProcessError

Side = Literal["A", "B"]
NAMESPACES = ("inet", "natA", "natB", "cliA", "cliB", "srv")
SBIN = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"

_NAME = re.compile(r"mp([0-9]+)x[0-9]+-[A-Za-z]+\Z")
_labs = itertools.count()


class NatLabError(Exception):
    """A command of the lab failed; holds it and what it said."""


class Cut(StrEnum):
    """What a cut takes away from one client. The packets vanish: nobody is told."""

    EVERYTHING = "everything"
    PEER = "peer"
    """The other client, directly; both still reach the server."""
    SERVER = "server"


class NatLab:
    """Use `NatLab.up`. Namespaces: cliA, natA, inet, natB, cliB, srv.

    `SERVER` is the server's address. A client's own is `client(side)`: 10.x behind a NAT, 198.51.100.x when open;
    what others see of it is `public(side)`.
    """

    SERVER: ClassVar[str] = "203.0.113.10"
    WAN: ClassVar[dict[str, str]] = {"A": "203.0.113.2", "B": "203.0.113.6"}
    WAN_GATEWAY: ClassVar[dict[str, str]] = {"A": "203.0.113.1", "B": "203.0.113.5"}
    LAN: ClassVar[dict[str, str]] = {"A": "10.1.0.", "B": "10.2.0."}
    OPEN_LAN: ClassVar[dict[str, tuple[str, str, str]]] = {
        "A": ("198.51.100.0/28", "198.51.100.1", "198.51.100.2"),
        "B": ("198.51.100.16/28", "198.51.100.17", "198.51.100.18"),
    }

    def __init__(self, enter: Sequence[str]) -> None:
        self._enter = list(enter)
        self._prefix = f"mp{os.getpid()}x{next(_labs)}"
        self._nat: dict[str, NatType] = {}
        self._processes: list[LineProcess] = []
        self._helpers: dict[str, LineProcess] = {}

    @classmethod
    @contextlib.contextmanager
    def up(
        cls, a: NatType = NatType.PORTCONE, b: NatType = NatType.PORTCONE, *, rootless: bool | None = None
    ) -> Iterator["NatLab"]:
        """A lab for the time of the `with`; all its processes are ended with it. `rootless`: None = unless root.

        Takes about a quarter of a second. Raises `NatLabError` where the kernel refuses.
        """
        with _entrance(not _is_root() if rootless is None else rootless) as enter:
            lab = cls(enter)
            try:
                lab._build(a, b)
                yield lab
            finally:
                lab._down()

    # the network

    def client(self, side: Side) -> str:
        """The client's own address."""
        return self.OPEN_LAN[side][2] if self._nat[side] is NatType.OPEN else self.LAN[side] + "2"

    def public(self, side: Side) -> str:
        """The address under which the internet sees the client."""
        return self.client(side) if self._nat[side] is NatType.OPEN else self.WAN[side]

    def set_nat(self, side: Side, kind: NatType) -> None:
        """Change one client's NAT; its mappings are forgotten. An open client gets another address: start its
        processes afterwards.
        """
        was, self._nat[side] = self._nat.get(side), kind
        nat, client = f"nat{side}", f"cli{side}"
        if was is None or NatType.OPEN in {was, kind}:
            self._address_client(side)
        self.run(nat, ["nft", "-f", "-"], text="flush ruleset\n" + ruleset(kind, self.client(side)))
        for name in (nat, client):
            self.run(name, ["conntrack", "-F"], check=False)

    def cut(self, side: Side, what: Cut = Cut.EVERYTHING) -> None:
        """Drop all that passes between this client's network and `what`, from now on, until `mend`."""
        mine, peer = f"t{side}", "tB" if side == "A" else "tA"
        others = {Cut.EVERYTHING: f'{{ "{peer}", "tS" }}', Cut.PEER: f'"{peer}"', Cut.SERVER: '"tS"'}[what]
        rules = f'iifname "{mine}" oifname {others} drop; oifname "{mine}" iifname {others} drop;'
        self.run("inet", ["nft", "-f", "-"], text=_cut_table(side, rules))

    def mend(self, side: Side) -> None:
        """Undo `cut`."""
        self.run("inet", ["nft", "-f", "-"], text=_cut_table(side, ""))

    # processes

    def command(self, namespace: str, command: Sequence[str]) -> list[str]:
        """The command line that runs `command` inside `namespace`."""
        if namespace not in NAMESPACES:
            raise ValueError(f"no namespace {namespace}; there are {', '.join(NAMESPACES)}")
        return [*self._enter, "ip", "netns", "exec", f"{self._prefix}-{namespace}", *command]

    def run(
        self, namespace: str, command: Sequence[str], *, text: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run to its end (at most 30 s). Raises `NatLabError` when it fails and `check` is set."""
        return _run(self.command(namespace, command), text=text, check=check)

    def spawn(
        self,
        namespace: str,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> LineProcess:
        """Start a process; it is stopped with the lab, if not before. `env` replaces the environment."""
        process = LineProcess(self.command(namespace, command), env=env, cwd=None if cwd is None else str(cwd))
        self._processes.append(process)
        return process

    def wait_for_port(self, namespace: str, host: str, port: int, timeout_s: float = 20.0) -> None:
        """Until a TCP server there answers to one inside `namespace`. Raises `NatLabError`."""
        program = (
            "import socket, sys, time\n"
            "end = time.monotonic() + float(sys.argv[3])\n"
            "while time.monotonic() < end:\n"
            "    with socket.socket() as s:\n"
            "        if s.connect_ex((sys.argv[1], int(sys.argv[2]))) == 0: sys.exit()\n"
            "    time.sleep(0.02)\n"
            "sys.exit('nobody listens there')\n"
        )
        self.run(namespace, [sys.executable, "-I", "-c", program, host, str(port), str(timeout_s)])

    def http(
        self,
        namespace: str,
        method: str,
        url: str,
        *,
        body: object = None,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 10.0,
    ) -> tuple[int, Any]:
        """One request from inside a namespace (a node's local API listens on 127.0.0.1 there): status and decoded JSON.

        `token` becomes `Authorization: Bearer`. Raises `LineProcessError` when there is no answer.
        """
        helper = self._helpers.get(namespace)
        if helper is None or helper.returncode is not None:
            program = Path(__file__).with_name("http_helper.py")
            helper = self._helpers[namespace] = self.spawn(namespace, [sys.executable, "-I", str(program)])
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        helper.write_json({"method": method, "url": url, "body": body, "headers": sent, "timeout_s": timeout_s})
        answer = helper.read_json(timeout_s + 5)
        if "error" in answer:
            raise LineProcessError(f"{method} {url}: {answer['error']}")
        return answer["status"], answer["body"]

    # building and taking down

    def _build(self, a: NatType, b: NatType) -> None:
        self._sweep()
        prefix = self._prefix
        lines = [f"netns add {prefix}-{name}" for name in NAMESPACES]
        _run([*self._enter, "ip", "-batch", "-"], text="\n".join(lines) + "\n")
        for name in NAMESPACES:
            self._ip(name, ["link set lo up"])
        self._wire(("inet", "tS", "203.0.113.9/30"), ("srv", "eth0", f"{self.SERVER}/30"))
        self._ip("srv", ["route add default via 203.0.113.9"])
        for side in ("A", "B"):
            gateway = self.WAN_GATEWAY[side]
            self._wire(("inet", f"t{side}", f"{gateway}/30"), (f"nat{side}", "wan", f"{self.WAN[side]}/30"))
            self._ip(f"nat{side}", [f"route add default via {gateway}"])
            self._wire((f"nat{side}", "lan", None), (f"cli{side}", "eth0", None))
        for name in ("inet", "natA", "natB"):
            self._sysctl(name, "net.ipv4.ip_forward=1")
        for name in ("natA", "natB"):
            self._sysctl(name, "net.netfilter.nf_conntrack_udp_timeout=30")
            self._sysctl(name, "net.netfilter.nf_conntrack_udp_timeout_stream=120")
        self._sysctl("srv", "net.ipv4.ip_unprivileged_port_start=0")  # a relay on port 443 needs no root
        self.set_nat("A", a)
        self.set_nat("B", b)

    def _wire(self, left: tuple[str, str, str | None], right: tuple[str, str, str | None]) -> None:
        """A virtual cable; each end: namespace, interface, address."""
        self._ip(left[0], [f"link add {left[1]} type veth peer name {right[1]} netns {self._prefix}-{right[0]}"])
        for name, interface, address in (left, right):
            addressed = [f"addr add {address} dev {interface}"] if address else []
            self._ip(name, [*addressed, f"link set {interface} up"])

    def _address_client(self, side: str) -> None:
        """The internet has a route to the client's network only when it is open: private sources never leave."""
        network, gateway, client = self.OPEN_LAN[side]
        is_open = self._nat[side] is NatType.OPEN
        length = 28 if is_open else 24
        if not is_open:
            gateway, client = self.LAN[side] + "1", self.LAN[side] + "2"
        self._ip(f"nat{side}", ["addr flush dev lan scope global", f"addr add {gateway}/{length} dev lan"])
        self._ip(
            f"cli{side}",
            [
                "addr flush dev eth0 scope global",
                f"addr add {client}/{length} dev eth0",
                f"route replace default via {gateway}",
            ],
        )
        via = f"{network} via {self.WAN[side]}"
        if is_open:
            self._ip("inet", [f"route replace {via}"])
        else:
            _run([*self._enter, "ip", "-n", f"{self._prefix}-inet", "route", "del", *via.split()], check=False)

    def _ip(self, namespace: str, lines: Sequence[str]) -> None:
        batch = "\n".join(lines) + "\n"
        _run([*self._enter, "ip", "-n", f"{self._prefix}-{namespace}", "-batch", "-"], text=batch)

    def _sysctl(self, namespace: str, setting: str) -> None:
        self.run(namespace, ["sysctl", "-qw", setting])

    def _down(self) -> None:
        for process in reversed(self._processes):
            process.stop()
        _remove(self._enter, [f"{self._prefix}-{name}" for name in NAMESPACES])

    def _sweep(self) -> None:
        """Namespaces of labs whose process is gone (it was killed, so that nobody took them down)."""
        listing = _run([*self._enter, "ip", "netns", "list"], check=False).stdout
        names = [line.split()[0] for line in listing.splitlines() if line.strip()]
        dead = [name for name in names if (m := _NAME.match(name)) and not Path(f"/proc/{m[1]}").exists()]
        _remove(self._enter, dead)


def _cut_table(side: str, rules: str) -> str:
    name = f"cut{side}"
    chain = f"chain forward {{\ntype filter hook forward priority -300; policy accept;\n{rules}\n}}"
    return f"table ip {name}\ndelete table ip {name}\ntable ip {name} {{\n{chain}\n}}\n"


def _remove(enter: Sequence[str], namespaces: Sequence[str]) -> None:
    for name in namespaces:
        pids = _run([*enter, "ip", "netns", "pids", name], check=False).stdout.split()
        for pid in pids:
            _run([*enter, "kill", "-KILL", pid], check=False)
        _run([*enter, "ip", "netns", "del", name], check=False)


def _run(command: Sequence[str], *, text: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PATH": os.environ.get("PATH", "") + os.pathsep + SBIN}
    done = subprocess.run(list(command), input=text, env=env, capture_output=True, text=True, timeout=30, check=False)
    if check and done.returncode != 0:
        raise NatLabError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}\n{text or ''}")
    return done


def _is_root() -> bool:
    return sys.platform == "linux" and os.geteuid() == 0


@contextlib.contextmanager
def _entrance(rootless: bool) -> Iterator[list[str]]:
    """What to put before every command: nothing for root, else the way into a user namespace that a child holds."""
    if not rootless:
        yield []
        return
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        raise NatLabError("unshare and nsenter are needed (apt-get install util-linux)")
    script = "mount -t tmpfs tmpfs /run && mkdir -p /run/netns && echo $$ && exec cat"
    unshare = ["unshare", "--user", "--map-root-user", "--net", "--mount"]
    with LineProcess([*unshare, "sh", "-c", script]) as holder:
        try:
            pid = int(holder.read_line(5))
        except (LineProcessError, ValueError) as error:
            raise NatLabError(f"an unprivileged user namespace is not allowed here: {error}") from error
        yield ["nsenter", "--target", str(pid), "--user", "--net", "--mount", "--preserve-credentials"]
