"""docs/guides/nat-lab.md: the lab does what its words say. Probed from outside of our own protocols: plain UDP and TCP."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from mepassa.testing import LineProcess, LineProcessError
from mepassa.testing.natlab import Cut, NatLab, NatLabError, NatType, Side

ECHO = """
import socket, sys, threading
def tell(port):
    s = socket.socket(type=socket.SOCK_DGRAM); s.bind((sys.argv[1], port))
    if port == 7001: print("{}", flush=True)
    while True:
        data, peer = s.recvfrom(2000)
        if data.startswith(b"call "): s.sendto(b"hello", (data.split()[1].decode(), int(data.split()[2])))
        else: s.sendto(f"{peer[0]} {peer[1]}".encode(), peer)
threading.Thread(target=tell, args=(7000,), daemon=True).start()
tell(7001)
"""
"""A server at two ports: says what address it sees, or sends a datagram to whom it is told."""

ASK = """
import socket, sys
server = sys.argv[1]
s = socket.socket(type=socket.SOCK_DGRAM); s.settimeout(0.4)
def ask(text, port, into=s):
    into.sendto(text.encode(), (server, port))
    try: return into.recv(2000).decode()
    except TimeoutError: return "silence"
first, second = ask("who", 7000), ask("who", 7001)
other = socket.socket(type=socket.SOCK_DGRAM)
third = "-"
if first != "silence":
    fresh = socket.socket(type=socket.SOCK_DGRAM); fresh.settimeout(0.4)
    mine = ask("who", 7000, fresh)
    other.sendto(f"call {mine}".encode(), (server, 7001))   # from a port that `fresh` has not spoken to
    try: third = fresh.recv(2000).decode()
    except TimeoutError: third = "silence"
print(first, second, third, sep="|")
"""


@pytest.fixture(scope="module")
def echo(lab: NatLab) -> Iterator[LineProcess]:
    with lab.spawn("srv", [sys.executable, "-I", "-c", ECHO, lab.SERVER]) as process:
        process.read_json()
        yield process


def ask(lab: NatLab, side: Side) -> list[str]:
    done = lab.run(f"cli{side}", [sys.executable, "-I", "-c", ASK, lab.SERVER])
    return done.stdout.strip().split("|")


@pytest.mark.parametrize(
    "kind, same_mapping, lets_in",
    [
        (NatType.OPEN, True, True),
        (NatType.FULLCONE, True, True),
        (NatType.ADDRCONE, True, True),  # the same address at another port
        (NatType.PORTCONE, True, False),
        (NatType.SYMMETRIC, False, False),
    ],
)
def test_a_nat_maps_and_filters_as_its_name_says(
    lab: NatLab, echo: LineProcess, kind: NatType, same_mapping: bool, lets_in: bool
) -> None:
    lab.set_nat("A", kind)
    first, second, third = ask(lab, "A")
    assert first.split()[0] == lab.public("A")
    assert (first == second) is same_mapping
    assert third == ("hello" if lets_in else "silence")


def test_where_udp_is_blocked_only_tcp_443_gets_out(lab: NatLab, echo: LineProcess) -> None:
    lab.set_nat("A", NatType.UDPBLOCKED)
    assert ask(lab, "A") == ["silence", "silence", "-"]
    with lab.spawn("srv", web_server(lab.SERVER, 443)) as on_443, lab.spawn("srv", web_server(lab.SERVER, 80)) as on_80:
        on_443.read_json()
        on_80.read_json()
        assert lab.http("cliA", "GET", f"http://{lab.SERVER}:443/nothing") == (404, "not here")
        with pytest.raises(LineProcessError):
            lab.http("cliA", "GET", f"http://{lab.SERVER}:80/", timeout_s=0.4)


def web_server(host: str, port: int) -> list[str]:
    program = (
        "import http.server, socketserver, sys\n"
        "class H(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(404); self.end_headers(); self.wfile.write(b'not here')\n"
        "class S(http.server.HTTPServer):\n"
        "    server_bind = socketserver.TCPServer.server_bind\n"  # HTTPServer's asks the DNS for its own name
        "server = S((sys.argv[1], int(sys.argv[2])), H)\n"
        "print('{}', flush=True); server.serve_forever()\n"
    )
    return [sys.executable, "-I", "-c", program, host, str(port)]


def test_a_cut_swallows_and_a_mend_gives_back(lab: NatLab, echo: LineProcess) -> None:
    lab.set_nat("A", NatType.PORTCONE)
    lab.cut("A", Cut.SERVER)
    assert ask(lab, "A")[0] == "silence"
    lab.cut("A", Cut.PEER)
    assert ask(lab, "A")[0] != "silence"
    lab.cut("A")
    assert ask(lab, "A")[0] == "silence"
    lab.mend("A")
    assert ask(lab, "A")[0] != "silence"


def user_namespaces_allowed() -> bool:
    command = ["unshare", "--user", "--map-root-user", "--net", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/run"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_an_unprivileged_lab_needs_no_root_or_says_why_not() -> None:
    if not user_namespaces_allowed():
        with pytest.raises(NatLabError, match="not allowed here"), NatLab.up(rootless=True):
            pass
        return
    with NatLab.up(NatType.SYMMETRIC, NatType.OPEN, rootless=True) as lab:
        lab.spawn("srv", [sys.executable, "-I", "-c", ECHO, lab.SERVER]).read_json()
        first, second, _ = ask(lab, "A")
        assert first.split()[0] == second.split()[0] == lab.WAN["A"]
        assert first != second
        assert ask(lab, "B")[0].split()[0] == lab.client("B")


def test_a_process_that_ends_early_is_told_with_its_last_words(lab: NatLab) -> None:
    with lab.spawn("srv", [sys.executable, "-I", "-c", "import sys; sys.exit('no relay today')"]) as process:
        with pytest.raises(LineProcessError, match="no relay today"):
            process.read_json()
        assert process.wait() == 1


def test_all_namespaces_are_gone_after_the_lab() -> None:
    with NatLab.up() as lab:
        name = lab.command("srv", [])[-1]
        sleeper = lab.spawn("srv", ["sleep", "600"])
    assert sleeper.returncode is not None
    with pytest.raises(NatLabError):
        lab.run("srv", ["true"])
    assert name.endswith("-srv")
