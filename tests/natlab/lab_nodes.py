"""A whole household in the lab: `mepassa serve` at the server, `mepassa run` at each client, spoken to by their doors.

The home's web address is a second address of the server's machine, so that both it and the relay can have port 443, the
only one that gets out where UDP is blocked.
"""

import json
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from mepassa.testing import LineProcess
from mepassa.testing.natlab import NatLab, NatType, Side

Json = dict[str, Any]
T = TypeVar("T")

HOME_ADDRESS = "203.0.113.20"
HTTP_PORT = 8080
WITHIN_S = 60.0
"""How long a condition may take before a test gives up: far above what it takes, so that no timing decides."""
MEPASSA = [sys.executable, "-W", "error", "-m", "mepassa"]


def until(what: str, condition: Callable[[], T | None], within_s: float = WITHIN_S) -> T:
    """The first true thing that `condition` gives. Fails naming what did not happen."""
    deadline = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen within {within_s:g} s"
        time.sleep(0.02)
    return found


@contextmanager
def home(lab: NatLab, folder: Path) -> Iterator[str]:
    """The home's URL as everybody in the lab reaches it; mailbox and relay, TURN on UDP and TCP 443."""
    lab.run("srv", ["ip", "addr", "add", f"{HOME_ADDRESS}/32", "dev", "lo"])
    lab.run("inet", ["ip", "route", "replace", HOME_ADDRESS, "via", lab.SERVER])
    rules = f"ip daddr {HOME_ADDRESS} tcp dport 443 redirect to :{HTTP_PORT}"
    chain = f"chain pre {{ type nat hook prerouting priority -100; {rules}; }}"
    lab.run("srv", ["nft", "-f", "-"], text=f"table ip second {{\n{chain}\n}}\n")
    command = [
        *MEPASSA, "serve", "--data", str(folder), "--listen", f"0.0.0.0:{HTTP_PORT}", "--registration", "open",
        "--public-address", lab.SERVER, "--turn-port", "443", "--roles", "mailbox", "--roles", "relay", "--json",
    ]  # fmt: skip
    with lab.spawn("srv", command) as process:
        process.read_json(WITHIN_S)
        yield f"http://{HOME_ADDRESS}:443"


class LabNode:
    """One person's node behind one of the lab's routers. `start` again after `stop`; the account stays."""

    def __init__(self, lab: NatLab, side: Side, folder: Path) -> None:
        self.lab, self.side, self.folder = lab, side, folder
        self.account_id = ""
        self._process: LineProcess | None = None
        self._api = ""

    @property
    def namespace(self) -> str:
        return f"cli{self.side}"

    def init(self, home_url: str) -> None:
        name = {"A": "Ana", "B": "Beto"}[self.side]
        self.lab.run(
            self.namespace,
            [*MEPASSA, "init", "--data", str(self.folder), "--home", home_url, "--name", name,
             "--no-passphrase", "--insecure-home"],
        )  # fmt: skip

    def start(self) -> None:
        """Until it is logged in."""
        command = [*MEPASSA, "run", "--data", str(self.folder), "--api", "127.0.0.1:0", "--log", "debug", "--json"]
        self._process = self.lab.spawn(self.namespace, command)
        ready = self._process.read_json(WITHIN_S)
        self._api, self.account_id = ready["api"], ready["account_id"]
        until("the log-in", lambda: self.get("/health")["home"]["connected"])

    def stop(self) -> None:
        if self._process is not None:
            process, self._process = self._process, None
            process.send_signal(signal.SIGTERM)
            code = process.wait(WITHIN_S)
            words = process.stderr_tail()
            process.stop()
            assert code == 0, words

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """By SIGSTOP: the process is there, its sockets are open, and nothing of it runs."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def words(self) -> str:
        """The end of its log."""
        return "" if self._process is None else self._process.stderr_tail(20_000)

    def get(self, path: str) -> Any:
        return self._call("GET", path, None)

    def post(self, path: str, body: object) -> Any:
        return self._call("POST", path, body)

    def put(self, path: str, body: object) -> Any:
        return self._call("PUT", path, body)

    def _call(self, method: str, path: str, body: object) -> Any:
        token = (self.folder / "api-token").read_text().strip()
        status, answer = self.lab.http(self.namespace, method, f"{self._api}/api/v1{path}", token=token, body=body)
        assert status in {200, 204}, f"{method} {path}: {status} {answer}"
        return answer

    def doctor(self) -> dict[str, Json]:
        """`mepassa doctor --json`, typed by the person: its checks by name."""
        command = [*MEPASSA, "doctor", "--data", str(self.folder), "--json"]
        done = self.lab.run(self.namespace, command, check=False)
        return {check["name"]: check for check in json.loads(done.stdout)["checks"]}

    def idle(self) -> bool:
        return bool(self.get("/health")["waiting"] == 0)

    def path_to(self, other: "LabNode") -> str | None:
        path = self.get(f"/chats/{other.account_id}")["path"]
        return None if path is None else str(path["kind"])

    def say(self, other: "LabNode", text: str) -> Json:
        body = {"client_id": secrets.token_hex(16), "text": text}
        return dict(self.post(f"/chats/{other.account_id}/messages", body))

    def delivered(self, message: Json) -> Json:
        """The sender's own record, once the recipient's receipt has come."""

        def reached() -> Json | None:
            found = dict(self.get(f"/messages/{message['id']}"))
            return found if found["status"] in {"delivered", "read"} else None

        return until("the receipt", reached)

    def shown(self, other: "LabNode", text: str) -> list[Json]:
        """All messages from `other` with this text, as the screen would show them."""
        messages = self.get(f"/chats/{other.account_id}/messages?limit=1000")
        return [m for m in messages if m["sender"] == other.account_id and m["content"]["text"] == text]


def at_once(work: Callable[[LabNode], None], *nodes: LabNode) -> None:
    """Programs spend most of their start on one core; raises what any of them raises, after all have ended."""
    with ThreadPoolExecutor() as threads:
        done = [threads.submit(work, node) for node in nodes]
    for one in done:
        one.result()


@contextmanager
def household(lab: NatLab, folder: Path) -> Iterator[tuple[LabNode, LabNode]]:
    """Ana and Beto have accounts at a home in common; neither node runs."""
    with home(lab, folder / "home") as url:
        nodes = LabNode(lab, "A", folder / "ana"), LabNode(lab, "B", folder / "beto")
        at_once(lambda node: node.init(url), *nodes)
        yield nodes


@contextmanager
def running(nodes: tuple[LabNode, LabNode], a: NatType, b: NatType) -> Iterator[tuple[LabNode, LabNode]]:
    """Both nodes, started behind these routers, contacts of each other, nothing on its way."""
    ana, beto = nodes
    ana.lab.set_nat("A", a)
    ana.lab.set_nat("B", b)
    try:
        at_once(LabNode.start, ana, beto)
        if not ana.get("/chats"):
            befriend(ana, beto)
        yield ana, beto
    finally:
        at_once(LabNode.stop, ana, beto)


def befriend(ana: LabNode, beto: LabNode) -> None:
    """By a QR code, which accepts at once."""
    invite = beto.post("/invites", {"kind": "qr"})
    ana.post("/contacts", {"link": invite["link"]})

    def accepted() -> bool:
        states = [chat["state"] for node in (ana, beto) for chat in node.get("/chats")]
        return states == ["accepted", "accepted"] and ana.idle() and beto.idle()

    until("the contact", accepted)
