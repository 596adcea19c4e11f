"""API.md §1: what the programs say, with which exit code, and what they leave behind. Real processes, no terminal."""

import asyncio
import json
import os
import shutil
import signal
import socket
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from devtools.programs import Done, HomeProgram, NodeProgram, mepassa, shifted_clock
from mepassa.cli.demo.program import ProgramFailedError
from mepassa.cli.demo.stage import until

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

NOBODY_LISTENS = "http://127.0.0.1:9"
PT = {"LC_ALL": "pt_BR.UTF-8"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[HomeProgram]:
    """Always the same one, up whenever a test begins."""
    found = HomeProgram(tmp_path_factory.mktemp("programs") / "home")
    await found.start()
    yield found
    await found.program.stop()


def one_sentence(done: Done, code: int = 1) -> str:
    """What a person reads when something failed: one line, no traceback, nothing on stdout."""
    assert done.code == code, done
    assert not done.out, done
    (line,) = done.err.strip().splitlines()
    assert line.startswith("mepassa: ")
    assert line.endswith(".")
    return line.removeprefix("mepassa: ")


def init_of(folder: Path, url: str, *more: str) -> tuple[str, ...]:
    return ("init", "--data", str(folder), "--home", url, "--name", "Ana", "--no-passphrase", *more)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def a_node(folder: Path, home: HomeProgram, *more: str) -> NodeProgram:
    node = NodeProgram("Ana", folder)
    await node.init(home.url, *more)
    return node


# --- serve ---------------------------------------------------------------------------------------------------------------


async def test_serve_tells_one_line_when_ready_and_ends_cleanly_on_sigterm(tmp_path: Path) -> None:
    home = HomeProgram(tmp_path / "home", roles=())
    ready = await home.start(registration="invite")
    try:
        assert set(ready) == {"ready", "url", "home_key", "invite", "turn", "bootstrap", "admin"}
        assert ready["ready"] is True
        assert ready["url"].startswith("http://127.0.0.1:")
        assert len(bytes.fromhex(ready["home_key"])) == 32
        assert len(set(ready["turn"]["udp"])) == 2
        assert isinstance(ready["turn"]["tcp"], int)
        assert ready["bootstrap"].startswith("/ip4/127.0.0.1/tcp/")
        assert "/p2p/" in ready["bootstrap"]
        assert ready["invite"]

        port = ready["url"].rpartition(":")[2]
        second = await mepassa("serve", "--data", str(home.data), "--listen", "127.0.0.1:0")
        assert "another folder" in one_sentence(second)
        taken = await mepassa("serve", "--data", str(tmp_path / "other"), "--listen", f"127.0.0.1:{port}")
        assert f"Port {port} is taken" in one_sentence(taken)
        pt = await mepassa("serve", "--data", str(tmp_path / "other"), "--listen", f"127.0.0.1:{port}", environment=PT)
        assert "Outro programa usa esta porta" in one_sentence(pt)

        uninvited = await mepassa(*init_of(tmp_path / "ana", ready["url"]))
        assert "invite" in one_sentence(uninvited)
        assert not (tmp_path / "ana").exists()
        invited = await mepassa(*init_of(tmp_path / "ana", ready["url"], "--invite", ready["invite"]))
        assert invited.code == 0, invited
    finally:
        await home.program.stop()
    assert home.program.exit_code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("fly",),
        ("serve", "--listen", "127.0.0.1:0"),
        ("serve", "--data", "DIR", "--listen", "nonsense"),
        ("serve", "--data", "DIR", "--listen", "127.0.0.1:0", "--relay-ports", "many"),
        ("serve", "--data", "DIR", "--listen", "127.0.0.1:0", "--registration", "sometimes"),
        ("init", "--name", "Ana"),
        ("run", "--data", "DIR", "--api", "0.0.0.0:0"),
        ("run", "--data", "DIR", "--api", "here"),
        ("send", "--data", "DIR", "Ana"),
    ],
)
async def test_wrong_usage_ends_with_2_and_touches_nothing(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    folder = tmp_path / "folder"
    done = await mepassa(*(str(folder) if word == "DIR" else word for word in arguments))
    assert done.code == 2, done
    assert "Traceback" not in done.out + done.err
    assert done.out + done.err
    assert not folder.exists()


async def test_a_file_where_a_folder_should_be_is_said_in_one_sentence(tmp_path: Path, home: HomeProgram) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    for command in (
        ("serve", "--listen", "127.0.0.1:0"),
        ("init", "--home", home.url, "--name", "Ana", "--no-passphrase"),
        ("run",),
        ("status",),
    ):
        one_sentence(await mepassa(*command, "--data", str(file)))
    assert file.read_text() == "mine"


# --- init ----------------------------------------------------------------------------------------------------------------


async def test_init_shows_24_words_once_and_keeps_secrets_for_its_owner(tmp_path: Path, home: HomeProgram) -> None:
    folder = tmp_path / "ana"
    for language, environment in (("en", {}), ("pt", PT)):
        place = folder / language
        done = await mepassa(*init_of(place, home.url), environment=environment)
        assert (done.code, done.err) == (0, ""), done
        first, told, words = done.out.strip().splitlines()
        assert ("Pronto, Ana" if language == "pt" else "Done, Ana") in first
        assert "24" in told
        assert len(words.split()) == 24
        assert mode(place) == 0o700
        for name in ("database-key", "node.db", "api-token"):
            assert mode(place / name) == 0o600, name
        kept = b"".join(path.read_bytes() for path in place.rglob("*") if path.is_file())
        for word in words.split()[:3]:
            assert f"{word} ".encode() not in kept
        again = one_sentence(await mepassa(*init_of(place, home.url)))
        assert "account already" in again
        assert (place / "node.db").exists()


async def test_an_init_that_fails_says_what_to_do_and_leaves_no_trace(tmp_path: Path, home: HomeProgram) -> None:
    folder, late = tmp_path / "ana", shifted_clock(tmp_path / "clock", 3600)
    for url, more, environment, said in (
        (NOBODY_LISTENS, (), {}, "home server cannot be reached"),
        (NOBODY_LISTENS, (), PT, "O servidor não responde"),
        (home.url, (), late, "clock is about 60 minutes ahead"),
        ("http://192.0.2.1", (), {}, "Plain http"),
        ("home.example", (), {}, "https://HOST"),
        (f"{home.url}/x", (), {}, "https://HOST"),
        (home.url, ("--name", " Ana "), {}, None),
        (home.url, ("--name", "x" * 65), {}, "1 to 64 letters"),
        (home.url, ("--passphrase-file", str(tmp_path / "none")), {}, "cannot be read"),
    ):
        arguments = ["init", "--data", str(folder), "--home", url, "--no-passphrase", *more]
        if "--name" not in more:
            arguments += ["--name", "Ana"]
        done = await mepassa(*arguments, environment=environment)
        if said is None:  # spaces around a name are nobody's wish
            assert done.code == 0
            shutil.rmtree(folder)
            continue
        assert said in one_sentence(done), done
        assert not folder.exists()


async def test_an_init_that_was_killed_can_be_done_again(tmp_path: Path, home: HomeProgram) -> None:
    folder = tmp_path / "ana"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mepassa", *init_of(folder, home.url), stdout=asyncio.subprocess.DEVNULL
    )
    while not (folder / "database-key").exists() and process.returncode is None:
        await asyncio.sleep(0.001)
    process.kill()
    await process.wait()
    if not (folder / "node.db").exists():  # killed in time
        none = await mepassa("run", "--data", str(folder))
        assert "no account in this folder" in one_sentence(none)
        done = await mepassa(*init_of(folder, home.url))
        assert done.code == 0, done
    assert {path.name for path in folder.iterdir()} == {
        "node.db", "database-key", "root-key", "api-token", "lock",
    }  # fmt: skip


# --- run -----------------------------------------------------------------------------------------------------------------


async def test_run_has_one_ready_line_one_process_a_folder_and_a_token_that_stays(
    tmp_path: Path, home: HomeProgram
) -> None:
    none = await mepassa("run", "--data", str(tmp_path / "empty"))
    assert "mepassa init" in one_sentence(none)
    for command in (("status",), ("send", "Beto", "oi"), ("doctor",), ("listen",), ("invite",), ("open",)):
        done = await mepassa(*command, "--data", str(tmp_path / "empty"))
        assert "mepassa run" in one_sentence(done)
    node = await a_node(tmp_path / "ana", home)
    await node.start()
    try:
        assert set(node.program.ready) == {"ready", "api", "token_file", "account_id"}
        assert node.program.ready["ready"] is True
        assert node.program.ready["token_file"] == str(node.data / "api-token")
        assert mode(node.data / "api-token") == 0o600
        token = node.token
        assert "another folder" in one_sentence(await mepassa("run", "--data", str(node.data)))
        pt = await mepassa("run", "--data", str(node.data), environment=PT)
        assert "outra pasta" in one_sentence(pt)
        assert await node.connected()  # the second one has disturbed nothing
        code = (await mepassa("open", "--print", "--data", str(node.data))).out.strip()
        assert code.startswith(f"{node.url}/open?code=")
        assert token not in code
    finally:
        await node.stop()
    assert node.program.exit_code == 0
    assert not (node.data / "api-address").exists()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = await mepassa("run", "--data", str(node.data), "--api", f"127.0.0.1:{port}")
        assert f"Port {port} is taken" in one_sentence(done)
    await node.start()
    assert node.token == token
    os.kill(node.program.pid, signal.SIGINT)
    await node.stop()
    assert node.program.exit_code == 0


async def test_a_passphrase_opens_the_database_and_nothing_else_does(tmp_path: Path, home: HomeProgram) -> None:
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text("correct horse\n")
    wrong.write_text("battery staple\n")
    folder = tmp_path / "ana"
    made = await mepassa(
        "init", "--data", str(folder), "--home", home.url, "--name", "Ana", "--passphrase-file", str(right)
    )
    assert made.code == 0, made
    before = (folder / "node.db").read_bytes()
    missing = await mepassa("run", "--data", str(folder))
    assert "--passphrase-file" in one_sentence(missing)
    bad = await mepassa("run", "--data", str(folder), "--passphrase-file", str(wrong))
    assert "does not open this database" in one_sentence(bad)
    bad_pt = await mepassa("run", "--data", str(folder), "--passphrase-file", str(wrong), environment=PT)
    assert "A senha não abre" in one_sentence(bad_pt)
    assert (folder / "node.db").read_bytes() == before
    node = NodeProgram("Ana", folder)
    await node.start("--passphrase-file", str(right))
    try:
        folder.chmod(0o755)
        checks = json.loads((await mepassa("doctor", "--json", "--data", str(folder))).out)["checks"]
        assert ["chmod 700" in check["advice"] for check in checks if check["name"] == "folder"] == [True]
        assert {"name": "database_key", "ok": True, "sentence": "The database is locked.", "advice": None} in checks
    finally:
        await node.stop()


async def test_a_node_goes_on_without_its_home_says_so_and_logs_in_when_it_is_back(tmp_path: Path) -> None:
    home = HomeProgram(tmp_path / "home")
    await home.start()
    node = await a_node(tmp_path / "ana", home)
    await home.program.stop()
    try:
        await node.start(connected=False)

        async def told() -> bool:
            return bool((await node.get("/health"))["problems"])

        await until("the trouble with the home", told, within_s=60)
        assert (await node.get("/me"))["home"]["error"]["code"] == "HomeUnreachableError"
        data = ("--data", str(node.data))
        words, palavras = await mepassa("status", *data), await mepassa("status", *data, environment=PT)
        assert "server not reachable" in words.out
        assert "The home server cannot be reached; check the network" in words.out
        assert "sem contato com o servidor" in palavras.out
        assert "O servidor não responde" in palavras.out
        assert words.code == palavras.code == 0
        examined = await mepassa("doctor", *data)
        assert examined.code == 1
        assert "The home server cannot be reached" in examined.out
        assert "O servidor não responde, ou não deixa" in (await mepassa("doctor", *data, environment=PT)).out
        link = f"{home.url}/i#" + "A" * 40
        assert "not of the expected form" in one_sentence(await mepassa("add", link, *data))
        invited = json.loads((await mepassa("invite", "--json", *data)).out)  # made here, told to the home later
        other = await a_node_at_another_home(tmp_path, node, invited["link"])
        assert "home server cannot be reached" in other
        await home.start()
        await until("the log-in", node.connected, within_s=90)
        assert (await node.get("/health"))["problems"] == []
    finally:
        await asyncio.gather(node.stop(), home.program.stop())


async def a_node_at_another_home(folder: Path, _node: NodeProgram, link: str) -> str:
    """What `add` says to somebody whose own home is up, of a link whose home is not."""
    elsewhere = HomeProgram(folder / "elsewhere", roles=("mailbox",))
    await elsewhere.start()
    other = NodeProgram("Beto", folder / "beto")
    try:
        await other.init(elsewhere.url)
        await other.start()
        return one_sentence(await mepassa("add", link, "--data", str(other.data)))
    finally:
        await asyncio.gather(other.stop(), elsewhere.program.stop())


async def test_a_clock_off_by_an_hour_is_said_and_nobody_is_added_with_it(tmp_path: Path, home: HomeProgram) -> None:
    node = await a_node(tmp_path / "ana", home)
    for offset_s, said in ((3600, "60 minutes ahead"), (-3600, "60 minutes behind")):
        late = NodeProgram("Ana", node.data, shifted_clock(tmp_path / f"clock{offset_s}", offset_s))
        await late.start()
        try:
            data = ("--data", str(node.data))
            health = await late.get("/health")
            assert [problem["code"] for problem in health["problems"]] == ["ClockWrongError"]
            assert said in (await mepassa("status", *data)).out
            examined = await mepassa("doctor", *data)
            assert examined.code == 1
            assert said in examined.out
            link = (await late.post("/invites", {"kind": "link"}))["link"]
            assert said in one_sentence(await mepassa("add", link, *data))
            answer = await late.ask("POST", "/contacts", {"link": link})
            assert (answer.status, answer.code) == (400, "ClockWrongError")
        finally:
            await late.stop()


async def test_a_start_that_fails_says_so_to_whoever_started_it(tmp_path: Path) -> None:
    node = NodeProgram("Ana", tmp_path / "nobody")
    with pytest.raises(ProgramFailedError, match="mepassa init"):
        await node.start()


# --- talking -------------------------------------------------------------------------------------------------------------


async def check_who_they_are(a: tuple[str, ...], b: tuple[str, ...]) -> None:
    """`verify`: digits to compare by eye, codes to compare by machine; exit 1 where they do not match."""
    shown, theirs = await mepassa("verify", "Beto", *a), json.loads((await mepassa("verify", "Ana", "--json", *b)).out)
    assert shown.code == 0
    lines = shown.out.splitlines()
    assert "".join(lines[:3]).replace(" ", "") == theirs["safety_number"]
    assert lines[-1].startswith("Not verified yet.")
    assert theirs["chat"]["verification"] == "none"
    own_code = lines[3].rpartition(" ")[2]
    for code, said, exit_code in (
        (own_code, "This is this device's own code.", 1),
        (theirs["code"], "They match: nobody is in between. Beto is verified.", 0),
    ):
        done = await mepassa("verify", "Beto", "--code", code, *a)
        assert (done.out.strip().startswith(said), done.code) == (True, exit_code), done
    assert "✓ verified" in (await mepassa("status", *a)).out
    assert "Ainda não verificado." in (await mepassa("verify", "Beto", "--unmark", *a, environment=PT)).out
    assert (await mepassa("verify", "Beto", "--mark", "--unmark", *a)).code == 2


async def test_two_people_meet_and_talk_by_command_line_alone(tmp_path: Path, home: HomeProgram) -> None:
    ana, beto = NodeProgram("Ana", tmp_path / "ana"), NodeProgram("Beto", tmp_path / "beto")
    a, b = ("--data", str(ana.data)), ("--data", str(beto.data))
    as_typed = home.url.replace("http", "HTTP") + "/"  # what his cards say of it must open all the same
    await asyncio.gather(ana.init(home.url), beto.init(as_typed))
    await asyncio.gather(ana.start(), beto.start())
    listening = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mepassa", "listen", "--json", "--after", "0", *b, stdout=asyncio.subprocess.PIPE
    )
    try:
        link = (await mepassa("invite", *b)).out.splitlines()[0]
        added = await mepassa("add", link, *a)
        assert (added.code, added.out.strip()) == (0, "Beto was added. Send the first message: it goes as a request.")
        first = json.loads((await mepassa("send", "beto", "Oi, Beto!", "--json", *a)).out)
        assert first["status"] in {"stored", "delivered"}
        assert first["route"]["kind"] == "stored"

        async def asked() -> bool:
            return "Ana (request, 1)" in (await mepassa("status", *b)).out

        await until("the request", asked, within_s=60)
        accepted = await mepassa("accept", "Ana", *b, environment=PT)
        assert accepted.out.strip() == "Agora você e Ana podem conversar."
        await ana.settled(first, "delivered")
        sent = await mepassa("send", "Beto", "direto?", *a, environment=PT)
        assert sent.out.strip() in {
            "enviada · direto, de aparelho a aparelho",
            "entregue · direto, de aparelho a aparelho",
        }
        nobody = await mepassa("send", "Carlos", "oi", *a)
        assert one_sentence(nobody) == "No contact is called “Carlos”."
        assert one_sentence(await mepassa("send", "Carlos", "oi", *a, environment=PT)).startswith("Nenhum contato")
        await check_who_they_are(a, b)
        long = await mepassa("send", "Beto", "x" * 16_385, *a)
        assert "1 to 16384 bytes" in one_sentence(long)

        chatted = await mepassa("chat", "Beto", *a, stdin=b"do teclado\n\n" + b"x" * 16_385 + b"\nfim\n")
        assert chatted.code == 0, chatted
        assert "Beto" not in chatted.err
        assert "1 to 16384 bytes" in chatted.err

        async def shown() -> bool:
            return (await beto.texts_from(ana))[-2:] == ["do teclado", "fim"]

        await until("what was typed", shown, within_s=60)
        status = json.loads((await mepassa("status", "--json", *a)).out)
        assert set(status) == {"me", "health", "chats"}
        examined = json.loads((await mepassa("doctor", "--json", *a)).out)
        assert set(examined) == {"ok", "checks"}
        assert [check["ok"] for check in examined["checks"] if check["name"] == "folder"] == [True]
        shown_code = json.loads((await mepassa("invite", "--qr", "--json", *a)).out)
        assert set(shown_code) == {"id", "link", "scheme_link", "qr_svg", "expires_at_ms"}

        await beto.stop()  # `listen` ends with its node
        out, _ = await asyncio.wait_for(listening.communicate(), 60)
        events = [json.loads(line) for line in out.splitlines()]
        heard = [event["message"]["content"]["text"] for event in events if event["type"] == "message"]
        assert heard == ["Oi, Beto!", "direto?", "do teclado", "fim"]
        assert listening.returncode == 0
    finally:
        if listening.returncode is None:
            listening.kill()
            await listening.wait()
        await asyncio.gather(ana.stop(), beto.stop())
