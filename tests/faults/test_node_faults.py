"""What a node does when its world breaks: real processes, real signals, one home and two people.

Whatever happens, what was sent arrives, and is shown once.
"""

import asyncio
import json
import secrets
import shutil
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from devtools.programs import WITHIN_S, HomeProgram, Json, NodeProgram, held_at, household, mepassa, sealed_into
from mepassa.cli.demo.stage import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]

PAGE_BYTES = 4096


@dataclass
class World:
    home: HomeProgram
    ana: NodeProgram
    beto: NodeProgram

    async def whole(self) -> None:
        """Everybody up, every path allowed, nothing on its way: how each test finds the world, whatever the last did."""
        if not self.home.program.running:
            await self.home.start()
        for node in (self.ana, self.beto):
            if not node.program.running:
                await node.start()
            await node.put("/paths", {"direct": True, "relay": True})
        for node in (self.ana, self.beto):
            await until(f"{node.name}'s log-in", node.connected, within_s=WITHIN_S)
            await until(f"{node.name}'s empty outbox", node.idle, within_s=WITHIN_S)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one_world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with household(tmp_path_factory.mktemp("faults")) as (home, ana, beto):
        yield World(home, ana, beto)


@pytest_asyncio.fixture(loop_scope="module")
async def world(one_world: World) -> World:
    await one_world.whole()
    return one_world


async def once_each(reader: NodeProgram, writer: NodeProgram, sent: list[Json]) -> None:
    """Each of these is there, once, in the order of writing."""
    wanted = [message["id"] for message in sent]

    async def all_there() -> bool:
        found = {message["id"] for message in await reader.messages_with(writer)}
        return found >= set(wanted)

    await until(f"all of {writer.name}'s messages at {reader.name}'s", all_there, within_s=WITHIN_S)
    shown = [message for message in await reader.messages_with(writer) if message["sender"] == writer.account_id]
    assert [message["id"] for message in shown if message["id"] in set(wanted)] == wanted
    texts = [message["content"].get("text") for message in shown]
    for message in sent:
        assert texts.count(message["content"]["text"]) == 1


async def path_by(ana: NodeProgram, beto: NodeProgram, transport: str, *, direct: bool) -> None:
    """A live path of that kind, the last message on it acknowledged. The other kind is switched off or tried anew."""
    kind = "direct" if direct else "relayed"
    for attempt in range(20):
        for node in (ana, beto):
            await node.put("/paths", {"direct": direct, "relay": not direct})
        sent = await ana.settled(await ana.say(beto, f"caminho {secrets.token_hex(4)}"), "delivered")
        carried = (sent["route"]["transport"], sent["route"]["kind"])
        if carried == (transport, kind) and await ana.path_to(beto) == kind:  # on a busy machine it may be lost again
            print(f"{transport} after {attempt} other paths")
            return
        for node in (ana, beto):  # that path is closed, another is tried
            await node.put("/paths", {"direct": False, "relay": False})
    pytest.fail(f"no path by {transport}")


# --- a path that goes silent ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("transport", "direct"), [("libp2p", True), ("quic", False)])
async def test_a_path_that_goes_silent_gives_way_to_the_next_route_and_the_message_is_shown_once(
    world: World, transport: str, direct: bool
) -> None:
    ana, beto = world.ana, world.beto
    await path_by(ana, beto, transport, direct=direct)
    kind = "direct" if direct else "relayed"
    deposits = (await world.home.counters())["deposits_stored"]
    beto.freeze()
    try:
        began = time.monotonic()
        async with ana.events() as socket:
            sent = await ana.say(beto, f"ainda aí? {transport}")
            heard: list[Json] = []
            while not heard or heard[-1].get("status") != "stored":
                event = json.loads((await socket.receive(timeout=WITHIN_S)).data)
                if event["type"] in {"message", "status"} and sent["id"] in json.dumps(event):
                    heard.append(event)
        print(f"{transport} silent: stored after {time.monotonic() - began:.2f} s")
        assert [event["type"] for event in heard] == ["message", "status"]  # queued until then: nothing acknowledged it
        assert heard[-1]["route"]["kind"] == "stored"
        (envelope,) = sealed_into(ana.data, sent["id"])  # sealed once: what waits is what the silent path was given
        assert envelope in held_at(world.home.data)
        assert (await world.home.counters())["deposits_stored"] > deposits
    finally:
        beto.thaw()
    arrived = await ana.settled(sent, "delivered", "read")
    assert arrived["route"]["kind"] in {"stored", kind}  # whichever copy Beto, awake again, took first
    await once_each(beto, ana, [sent])
    answer = await beto.say(ana, f"aqui! {transport}")
    await beto.settled(answer, "delivered", "read")
    await once_each(ana, beto, [answer])


# --- the home is gone ----------------------------------------------------------------------------------------------------


async def test_without_the_home_direct_goes_on_the_rest_waits_and_all_arrives(world: World) -> None:
    ana, beto = world.ana, world.beto
    await ana.settled(await ana.say(beto, "um caminho, por favor"), "delivered")
    await until("a direct path", lambda: _is_direct(ana, beto), within_s=WITHIN_S)
    await world.home.program.stop()
    direct = [await ana.say(beto, f"sem casa {n}") for n in range(5)]
    answers = [await beto.say(ana, f"também sem casa {n}") for n in range(5)]
    for node, messages in ((ana, direct), (beto, answers)):
        for message in messages:
            assert (await node.settled(message, "delivered"))["route"]["kind"] == "direct"
    await beto.kill()
    waiting = [await ana.say(beto, f"espera {n}") for n in range(5)]

    async def waits() -> bool:
        health = await ana.get("/health")
        return health["waiting"] >= len(waiting) and not health["home"]["connected"]

    await until("a full outbox", waits, within_s=WITHIN_S)
    assert {(await ana.get(f"/messages/{message['id']}"))["status"] for message in waiting} == {"queued"}
    assert "home server cannot be reached" in (await mepassa("status", "--data", str(ana.data))).out
    await world.home.start()
    await beto.start()
    for message in waiting:
        await ana.settled(message, "delivered")
    await once_each(beto, ana, direct + waiting)
    await once_each(ana, beto, answers)


async def _is_direct(ana: NodeProgram, beto: NodeProgram) -> bool:
    return await ana.path_to(beto) == await beto.path_to(ana) == "direct"


async def test_a_home_killed_while_both_send_through_it_loses_nothing(world: World) -> None:
    ana, beto = world.ana, world.beto
    for node in (ana, beto):
        await node.put("/paths", {"direct": False, "relay": False})
    sent: dict[str, list[Json]] = {"Ana": [], "Beto": []}

    async def write(writer: NodeProgram, reader: NodeProgram, stop: asyncio.Event) -> None:
        while not stop.is_set():
            text = f"{writer.name} pela casa {len(sent[writer.name])}"
            sent[writer.name].append(await writer.say(reader, text))
            await asyncio.sleep(0.02)

    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(write(ana, beto, stop))
        tasks.create_task(write(beto, ana, stop))
        for round_number in range(3):
            goal = (await world.home.counters())["deposits_stored"] + 10

            async def stored(goal: int = goal) -> bool:
                counters = await world.home.counters()
                return bool(counters["deposits_stored"] + counters["deposits_delivered"] >= goal)

            await until(f"deposits of round {round_number}", stored, within_s=WITHIN_S)
            await world.home.program.kill()
            await world.home.start()
        stop.set()
    print({name: len(messages) for name, messages in sent.items()}, "messages over three deaths of the home")
    for writer, reader in ((ana, beto), (beto, ana)):
        for message in sent[writer.name]:
            assert (await writer.settled(message, "delivered"))["route"]["kind"] == "stored"
        await once_each(reader, writer, sent[writer.name])


# --- the disk is full ----------------------------------------------------------------------------------------------------


async def test_a_full_disk_refuses_in_words_keeps_the_data_and_goes_on_when_there_is_room(world: World) -> None:
    ana, beto = world.ana, world.beto
    kept = [await ana.settled(await ana.say(beto, "antes do disco cheio"), "delivered")]
    await ana.stop()
    pages = (ana.data / "node.db").stat().st_size // PAGE_BYTES
    ana.program.environment["MEPASSA_MAX_PAGE_COUNT"] = str(pages + 12)
    await ana.start()
    del ana.program.environment["MEPASSA_MAX_PAGE_COUNT"]
    for language, sentence in (
        ("C.UTF-8", "mepassa: The disk is full; nothing was lost. Free some space and try again."),
        ("pt_BR.UTF-8", "mepassa: O disco está cheio; nada foi perdido. Libere espaço e tente de novo."),
    ):
        for n in range(30):  # what has left the outbox makes a little room again, so it may take a few
            kept += await _fill(ana, beto)
            text = f"{n} {language} " + "y" * 16_000
            done = await mepassa("send", "Beto", text, "--json", "--data", str(ana.data),
                                 environment={"LC_ALL": language})  # fmt: skip
            if done.code:
                break
            kept.append(json.loads(done.out))
        else:
            pytest.fail("the disk never filled up")
        assert (done.code, done.err.strip()) == (1, sentence)
    incoming = [await beto.say(ana, f"cabe? {n} " + "z" * 8000) for n in range(8)]
    await beto.settled(incoming[-1], "sent", "stored", "delivered")
    await world.home.program.stop()  # paths and log-ins come and go meanwhile
    await world.home.start()
    await until("Ana's log-in, or why not", lambda: _in_or_full(ana), within_s=WITHIN_S)
    assert ana.program.running
    ids = [message["id"] for message in await ana.messages_with(beto)]
    assert {message["id"] for message in kept} <= set(ids)
    await ana.stop()
    assert ana.program.exit_code == 0
    assert "Traceback" not in ana.log()
    assert "disk_full" in ana.log() or "DiskFullError" in ana.log()  # not all that came in could be kept

    await ana.start()  # there is room again
    for message in kept:
        await ana.settled(message, "delivered", "read")
    for message in incoming:
        await beto.settled(message, "delivered")
    await once_each(beto, ana, kept)
    await once_each(ana, beto, incoming)


async def _fill(ana: NodeProgram, beto: NodeProgram) -> list[Json]:
    """Send until the disk is full; what was taken."""
    taken: list[Json] = []
    while True:
        body = {"client_id": secrets.token_hex(16), "text": "x" * 8000 + secrets.token_hex(8)}
        answer = await ana.ask("POST", f"/chats/{beto.account_id}/messages", body)
        if answer.status != 200:
            assert (answer.status, answer.code) == (507, "DiskFullError")
            return taken
        taken.append(answer.body)


async def _in_or_full(node: NodeProgram) -> bool:
    home = (await node.get("/me"))["home"]
    return home["connected"] or (home["error"] or {}).get("code") == "DiskFullError"


# --- an old copy ---------------------------------------------------------------------------------------------------------


async def test_a_database_restored_from_a_copy_heals_says_so_and_shows_everything_once(
    world: World, tmp_path: Path
) -> None:
    ana, beto = world.ana, world.beto
    await ana.settled(await ana.say(beto, "antes da cópia"), "delivered")
    await beto.stop()
    copy = tmp_path / "copy"
    shutil.copytree(beto.data, copy)
    await beto.start()
    for n in range(6):  # the ratchets go on; the copy knows nothing of it
        await ana.settled(await ana.say(beto, f"depois da cópia {n}"), "delivered")
        await beto.settled(await beto.say(ana, f"resposta depois da cópia {n}"), "delivered")
    last = [message["id"] for message in await ana.messages_with(beto)]
    await beto.stop()
    while_away = [await ana.say(beto, f"enquanto restaurava {n}") for n in range(3)]
    shutil.rmtree(beto.data)
    shutil.copytree(copy, beto.data)
    await beto.start()
    async with beto.events(0) as socket:
        while True:
            event = json.loads((await socket.receive(timeout=WITHIN_S)).data)
            if event["type"] == "alarm":
                break
    assert event["note"] == "state_rolled_back"
    assert event["chat_id"] is None
    assert (await world.home.counters())["rolled_back"] >= 1
    answers = [await beto.say(ana, f"de volta da cópia {n}") for n in range(3)]
    after = [await ana.say(beto, f"conversa refeita {n}") for n in range(3)]
    for node, messages in ((ana, while_away + after), (beto, answers)):
        for message in messages:
            await node.settled(message, "delivered", "read")
    await once_each(beto, ana, while_away + after)
    await once_each(ana, beto, answers)
    for node, other in ((ana, beto), (beto, ana)):
        kinds = {message["content"]["kind"] for message in await node.messages_with(other)}
        assert kinds == {"text"}  # nothing is left that could not be opened
    assert {message["id"] for message in await ana.messages_with(beto)} >= set(last)
