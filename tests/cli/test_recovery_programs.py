"""docs/protocol/identity.md, "Recovery" and "Root key at rest", with real programs: 24 words bring an account back."""

import asyncio
import itertools
import os
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from devtools.programs import WITHIN_S, HomeProgram, Json, NodeProgram, befriend, mepassa
from mepassa.cli.demo.stage import until
from mepassa.identity import decode_recovery_phrase

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

PT = {"LC_ALL": "pt_BR.UTF-8"}


@dataclass
class World:
    home: HomeProgram
    ana: NodeProgram
    beto: NodeProgram
    words: str
    """Ana's, as `init` showed them."""


async def init(node: NodeProgram, home: HomeProgram, *more: str) -> str:
    """What it printed."""
    done = await mepassa(
        "init", "--data", str(node.data), "--home", home.url, "--name", node.name, "--no-passphrase", *more
    )
    assert done.code == 0, done
    return done.out


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder: Path = tmp_path_factory.mktemp("recovery")
    home = HomeProgram(folder / "home")
    ana, beto = NodeProgram("Ana", folder / "ana"), NodeProgram("Beto", folder / "beto")
    await home.start()
    try:
        words = (await init(ana, home)).splitlines()[-1]
        await init(beto, home, "--key-on-paper")
        await asyncio.gather(ana.start(), beto.start())
        await befriend(ana, beto)
        yield World(home, ana, beto, words)
    finally:
        await asyncio.gather(ana.stop(), beto.stop())
        await home.program.stop()


def memory_of(pid: int) -> list[bytes]:
    """Every readable and writable piece of a process's memory: heap, stacks, whatever is its own."""
    pieces = []
    with Path(f"/proc/{pid}/maps").open() as maps, Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in maps:
            found = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if found is None or "[v" in line:  # the kernel's own pages
                continue
            start, end = (int(part, 16) for part in found.groups())
            memory.seek(start)
            try:
                pieces.append(memory.read(end - start))
            except OSError:
                continue
    return pieces


async def test_a_node_that_runs_has_not_got_its_accounts_key_in_memory(world: World) -> None:
    seed = decode_recovery_phrase(world.words).seed.expose()
    token = bytes.fromhex(world.ana.token)
    assert (world.ana.data / "root-key").read_bytes().endswith(seed)
    assert not (world.beto.data / "root-key").exists()
    pieces = memory_of(world.ana.program.pid)
    assert any(token in piece for piece in pieces), "what it does need, it has: the search works"
    assert not any(seed in piece for piece in pieces)
    said = {check["name"]: check["ok"] for check in (await world.ana.post("/doctor"))["checks"]}
    assert said["root_key"] is False
    said = {check["name"]: check["ok"] for check in (await world.beto.post("/doctor"))["checks"]}
    assert said["root_key_on_paper"] is True


async def test_wrong_words_and_a_wrong_server_are_said_and_leave_nothing(world: World, tmp_path: Path) -> None:
    words, file, folder = world.words.split(), tmp_path / "words", tmp_path / "nobody"
    unknown = "zoo " * 23 + "vote"
    for text, environment, said in (
        (" ".join(words[:23]), {}, "A recovery phrase has 24 words; this one has 23."),
        (" ".join([*words[:4], "wawe", *words[5:]]), PT, "A palavra 5 não está em nenhuma das listas"),
        (unknown, {}, "The server does not know the account of these 24 words"),
    ):
        file.write_text(text)
        done = await mepassa(
            "init", "--recover", "--words-file", str(file), "--home", world.home.url, "--name", "Ana",
            "--data", str(folder), "--no-passphrase", environment=environment,
        )  # fmt: skip
        assert done.code == 1, done
        assert said in done.err
        assert "wawe" not in done.err
        assert not folder.exists()
    nobody_to_ask = await mepassa(
        "init", "--recover", "--home", world.home.url, "--name", "Ana", "--data", str(folder), "--no-passphrase"
    )
    assert nobody_to_ask.code == 2


async def test_the_words_are_not_shown_while_they_are_typed(world: World, tmp_path: Path) -> None:
    """At a terminal. One word is wrong, and what is said about it shows that they have been read."""
    typed = " ".join([*world.words.split()[:4], "wawe", *world.words.split()[5:]])
    at_a_terminal = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", at_a_terminal, sys.executable, "-m", "mepassa", "init", "--recover",
        "--home", world.home.url, "--name", "Ana", "--data", str(tmp_path / "nobody"), "--no-passphrase",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env={**os.environ, "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(WITHIN_S):
            asked = await process.stdout.readuntil(b": ")
            process.stdin.write(typed.encode() + b"\n")
            said = await process.stdout.read()
            assert await process.wait() == 1
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert b"not shown" in asked
    assert b"Word 5 of the recovery phrase is in no word list" in said
    pairs = [" ".join(pair) for pair in itertools.pairwise(typed.split())]
    assert not [pair for pair in pairs if pair.encode() in asked + said]


async def test_24_words_bring_the_account_to_a_new_device_and_the_old_one_is_told(world: World, tmp_path: Path) -> None:
    old, beto = world.ana, world.beto
    number = (await beto.get(f"/chats/{old.account_id}/safety_number"))["safety_number"]
    await beto.put(f"/chats/{old.account_id}/verification", {"verified": True, "safety_number": number})
    (tmp_path / "words").write_text(world.words)
    again = NodeProgram("Ana", tmp_path / "again")
    shown = await init(again, world.home, "--recover", "--words-file", str(tmp_path / "words"))
    assert old.account_id in shown
    assert "Devices that were removed: 1." in shown
    assert "Contacts and messages do not come with the words" in shown
    assert world.words not in shown
    try:
        await again.start()
        assert again.account_id == old.account_id
        assert await again.get("/chats") == []
        assert (await again.get("/me"))["device_id"] == 2

        async def told() -> bool:
            return [problem["code"] for problem in (await old.get("/health"))["problems"]] == ["DeviceRemovedError"]

        await until("the old device's notice", told, within_s=90)
        refused = await old.ask(
            "POST", f"/chats/{beto.account_id}/messages", {"client_id": "ab" * 16, "text": "do aparelho perdido"}
        )
        assert (refused.status, refused.code) == (409, "DeviceRemovedError")
        status = await mepassa("status", "--data", str(old.data), environment=PT)
        assert "Este aparelho saiu da conta." in status.out

        sent = await beto.say(old, "é você?")

        async def asked() -> Json | None:
            chat = await again.chat_with(beto)
            return chat if chat is not None and chat["unread"] == 1 else None

        request = await until("Beto's request", asked, within_s=120)
        assert request["state"] == "request"
        assert (await beto.get(f"/chats/{old.account_id}"))["state"] == "requested"
        await again.post(f"/chats/{beto.account_id}/accept", {"direct": True})
        await beto.settled(sent, "delivered")
        await again.settled(await again.say(beto, "sou eu"), "delivered")
        chat = await beto.get(f"/chats/{old.account_id}")
        assert (chat["state"], chat["verification"]) == ("accepted", "verified")
        assert (await again.get(f"/chats/{beto.account_id}/safety_number"))["safety_number"] == number
        assert (await beto.texts_from(again))[-1] == "sou eu"
        assert "do aparelho perdido" not in await beto.texts_from(again)
    finally:
        await again.stop()
