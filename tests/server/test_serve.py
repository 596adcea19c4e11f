"""docs/guides/hosting.md: a home as a process: what it says, what it holds, what it loads, how it stops."""

import asyncio
import json
import re
import socket
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from devtools.home_process import HomeProcess, home_process, start_fails
from mepassa.identity import HomeKeyPair
from mepassa.model.errors import FolderInUseError, InvalidInputError
from mepassa.model.secret import SecretBytes
from mepassa.ports.clock import SystemClock
from mepassa.server.config import ServerConfig
from mepassa.server.http import HttpServer, make_app
from mepassa.transports.mailbox import fetch_well_known
from mepassa.wire.wellknown import RegistrationPolicy

MEMORY_LIMIT_BYTES = 65 * 1024 * 1024
"""What a home without the bootstrap role may take, so that it fits beside others on a small machine."""
PEER = "/ip4/198.51.100.1/tcp/4001"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HomeProcess]:
    """One home for all tests that only look at it."""
    data = tmp_path_factory.mktemp("serve") / "home"
    roles = ["mailbox", "relay"]
    with home_process(data, roles=roles, admin_host="127.0.0.1", modules=True, bootstrap_peers=[PEER]) as running:
        yield running


def folder(home: HomeProcess) -> Path:
    return Path(json.loads(home.process.command[-1])["data"])


def test_a_home_says_where_it_is_and_stops_cleanly_on_sigterm(tmp_path: Path) -> None:
    with home_process(tmp_path, roles=["mailbox", "relay"], registration="invite") as home:
        ready = home.ready
        assert ready["ready"] is True
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", home.url)
        assert re.fullmatch(r"[0-9a-f]{64}", ready["home_key"])
        assert re.fullmatch(r"([A-Z2-7]{4}-){3}[A-Z2-7]{4}", ready["invite"])
        assert len(ready["turn"]["udp"]) == 2
        assert ready["turn"]["tcp"] > 0
        assert ready["admin"] is None
        assert home.stop() == 0
    with home_process(tmp_path, registration="invite") as again:
        assert again.ready["home_key"] == ready["home_key"]
        assert again.ready["invite"] is None, "the first invite is shown once"


def test_a_running_home_holds_nothing_that_could_read_a_message_and_fits_its_memory(home: HomeProcess) -> None:
    """ARCHITECTURE.md: a server that can't import the ratchet can't read a message."""
    loaded = {name.split(".")[1] for name in home.ready["modules"] if "." in name}
    assert loaded <= {"model", "ports", "wire", "identity", "server"}
    resident = psutil.Process(home.pid).memory_info().rss
    print(f"home with mailbox and relay: {resident / 2**20:.1f} MiB resident")
    assert resident < MEMORY_LIMIT_BYTES


def test_keys_and_database_are_readable_by_their_owner_only(home: HomeProcess) -> None:
    data = folder(home)
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    for name in ("home-key", "relay-secret", "home.db"):
        assert stat.S_IMODE((data / name).stat().st_mode) == 0o600, name


async def test_the_well_known_document_is_signed_by_the_home_key_and_tells_the_time(home: HomeProcess) -> None:
    fetched = await fetch_well_known(home.url, expected_key=home.address.key, clock=SystemClock())
    document = fetched.document
    assert document.home_key == home.address.key
    assert document.mailbox
    assert document.registration is RegistrationPolicy.OPEN
    assert list(document.turn_udp) == home.ready["turn"]["udp"]
    assert document.turn_tcp == home.ready["turn"]["tcp"]
    assert document.bootstrap == (PEER,)
    assert fetched.clock_offset_s is not None
    assert abs(fetched.clock_offset_s) < 60
    stored = (folder(home) / "home-key").read_text()
    assert HomeKeyPair(SecretBytes(bytes.fromhex(stored))).public == home.address.key


def test_a_second_home_on_the_same_folder_is_told_in_one_sentence(home: HomeProcess) -> None:
    assert start_fails(folder(home)) == (1, FolderInUseError.sentence)


def test_a_taken_port_is_told_in_one_sentence(home: HomeProcess, tmp_path: Path) -> None:
    sentence = f"Port {home.port} is taken by another program; choose another, or 0 for a free one."
    assert start_fails(tmp_path, listen_port=home.port) == (1, sentence)


async def test_the_invite_page_runs_nothing_but_itself_and_sends_nothing(home: HomeProcess) -> None:
    async with aiohttp.ClientSession() as client, client.get(home.url + "/i") as response:
        page, policy = await response.text(), response.headers["Content-Security-Policy"]
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert "Date" in response.headers
        assert response.headers["Server"] == "mepassa"
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "Abrir no MePassa" in page
    assert "Open in MePassa" in page
    assert not re.search(r"(?:src|href)=[\"'](?!#)", page), "nothing is loaded from anywhere"


async def test_the_admin_port_counts_and_makes_invites_for_its_host_only(home: HomeProcess) -> None:
    async with aiohttp.ClientSession() as client:
        admin = home.ready["admin"]
        async with client.get(admin + "/metrics") as response:
            figures = json.loads(await response.text())
        assert figures["deposits_stored"] == 0
        assert figures["envelopes_waiting"] == 0
        assert figures["relay"]["allocations_total"] == 0
        async with client.post(admin + "/invites") as response:
            assert re.fullmatch(r"([A-Z2-7]{4}-){3}[A-Z2-7]{4}", (await response.json())["invite"])
        async with client.get(admin + "/metrics", headers={"Host": "evil.example"}) as response:
            assert response.status == 403
        async with client.post(admin + "/invites", headers={"Origin": "https://evil.example"}) as response:
            assert response.status == 403
        async with client.get(home.url + "/metrics") as response:
            assert response.status == 404, "the public port counts for nobody"


@pytest.mark.slow
async def test_all_roles_run_in_one_process_and_are_listed(tmp_path: Path) -> None:
    with home_process(tmp_path, roles=["mailbox", "relay", "bootstrap"], bootstrap_peers=[PEER]) as home:
        own = home.ready["bootstrap"]
        assert re.fullmatch(r"/ip4/127\.0\.0\.1/tcp/\d+/p2p/\w+", own)
        fetched = await fetch_well_known(home.url, expected_key=home.address.key, clock=SystemClock())
        assert fetched.document.bootstrap == (own, PEER)
        print(f"all roles: {psutil.Process(home.pid).memory_info().rss / 2**20:.0f} MiB resident")
        assert home.stop() == 0


@pytest.mark.parametrize(
    "field, wrong",
    [("roles", ("mailbx",)), ("roles", ()), ("listen_host", "example.org"), ("admin_host", "example.org"),
     ("listen_port", 70_000), ("cert", Path("x")), ("relay_ports", (9, 1))],
)  # fmt: skip
def test_a_bad_configuration_names_its_field(tmp_path: Path, field: str, wrong: Any) -> None:
    with pytest.raises(InvalidInputError) as caught:
        replace(ServerConfig(tmp_path), **{field: wrong})
    assert caught.value.field == field


async def test_a_relay_without_mailboxes_has_no_sockets_of_a_home(tmp_path: Path) -> None:
    with home_process(tmp_path, roles=["relay"]) as home:
        async with aiohttp.ClientSession() as client, client.get(home.url + "/v1/mailbox") as response:
            assert response.status == 404
        fetched = await fetch_well_known(home.url, expected_key=home.address.key, clock=SystemClock())
        assert not fetched.document.mailbox


def test_what_does_not_speak_http_is_answered_and_nobodys_address_is_logged(tmp_path: Path) -> None:
    log = tmp_path / "stderr"
    with home_process(tmp_path / "home", stderr=log) as home:
        for garbage in (
            b"\x16\x03\x01 no http\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET /" + b"a" * 100_000,
            b"\x00" * 99,
        ):
            with socket.create_connection(("127.0.0.1", home.port), timeout=10) as raw:
                raw.sendall(garbage)
                raw.shutdown(socket.SHUT_WR)
                while raw.recv(65_536):
                    pass
        assert home.stop() == 0
    assert "127.0.0.1" not in log.read_text()


@pytest.mark.slow
@pytest.mark.needs("chromium", "chromium")
@pytest.mark.parametrize(
    "fragment, offered", [("AbC-_9", 'href="mepassa://add/AbC-_9"'), ("", "hidden"), ("x:y</a>", "hidden")]
)
def test_the_invite_page_offers_the_app_what_the_link_holds(
    home: HomeProcess, tmp_path: Path, fragment: str, offered: str
) -> None:
    """In a real browser, so under its real Content-Security-Policy."""
    browser = [
        "chromium",
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path}",
        "--dump-dom",
    ]
    done = subprocess.run([*browser, f"{home.url}/i#{fragment}"], capture_output=True, timeout=60, check=True)
    links = re.findall(r"<a [^>]*>", done.stdout.decode())
    assert len(links) == 2
    assert all(offered in link for link in links)


async def test_a_connection_that_only_drips_its_request_does_not_keep_a_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mepassa.server.http.REQUEST_DEADLINE_S", 0.2)
    server = HttpServer(make_app(None, lambda: b"signed"), "127.0.0.1", 0)
    port = await server.start()
    for said in (b"", b"GET / HTTP/1.1\r\nHost: x\r\nX-Drip: "):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(said)
        assert await reader.read() == b""
        writer.close()
    await server.stop()
