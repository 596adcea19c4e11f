"""SIGKILL of a node at random moments of a conversation, fifty times: nothing lost, nothing twice, statuses agree."""

import asyncio
import random
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from devtools.programs import Answer, HomeProgram, Json, NodeProgram, household
from mepassa.cli.demo.program import ProgramFailedError
from mepassa.cli.demo.stage import until

KILLS_EACH = 25
MESSAGES_A_LIFE = 20
"""What one side writes between two deaths at most: enough that something is on its way at any moment."""
CONVERGE_S = 240.0


@dataclass
class Writer:
    """One side: a person who types on and does not know of the deaths, and a hand that kills the node."""

    node: NodeProgram
    other: NodeProgram
    dice: random.Random
    sent: list[Json] = field(default_factory=list)
    deaths: dict[str, int] = field(default_factory=lambda: {"starting": 0, "running": 0})

    async def live_and_die(self) -> None:
        for number in range(KILLS_EACH):
            starting = self.dice.random() < 0.2
            if starting and number:
                await self._die_while_starting()
                continue
            await self.node.start(connected=False)
            writing = asyncio.create_task(self._write())
            await asyncio.sleep(self.dice.uniform(0.0, 2.0))
            await self.node.kill()
            self.deaths["running"] += 1
            await writing
        await self.node.start(connected=False)
        # What the last death left unanswered may stand committed all the same: it too is asked again.
        self._record(await self._ask())

    async def _die_while_starting(self) -> None:
        """Between the process's first breath and its ready line."""
        before = self.node.program.pid
        starting = asyncio.create_task(self.node.start(connected=False))
        while self.node.program.pid == before and not starting.done():
            await asyncio.sleep(0.001)
        await asyncio.sleep(self.dice.uniform(0.0, 4.0))
        await self.node.kill()
        self.deaths["starting"] += 1
        try:
            await starting
        except ProgramFailedError:
            pass

    async def _write(self) -> None:
        """As a program outside would: the same `client_id` again when no answer has come."""
        for _ in range(MESSAGES_A_LIFE):
            try:
                answer = await self._ask()
            except (aiohttp.ClientError, OSError, AssertionError, RuntimeError):
                return  # killed; the next life asks the same again
            self._record(answer)
            await asyncio.sleep(self.dice.uniform(0.0, 0.1))

    async def _ask(self) -> Answer:
        number = len(self.sent)
        body = {"client_id": f"{number:032x}", "text": f"{self.node.name} {number}"}
        return await self.node.ask("POST", f"/chats/{self.other.account_id}/messages", body)

    def _record(self, answer: Answer) -> None:
        assert answer.status == 200, answer
        self.sent.append(answer.body)

    async def all_delivered(self) -> bool:
        found = {message["id"]: message for message in await self.node.messages_with(self.other)}
        return all(found[message["id"]]["status"] in {"delivered", "read"} for message in self.sent)

    async def judge(self) -> None:
        """What the other side shows is what was sent: all of it, each once, in order."""
        shown = [
            message
            for message in await self.other.messages_with(self.node)
            if message["sender"] == self.node.account_id
        ]
        assert [message["content"].get("text") for message in shown] == [
            message["content"]["text"] for message in self.sent
        ]
        assert [message["id"] for message in shown] == [message["id"] for message in self.sent]
        assert {message["status"] for message in shown} == {"delivered"}
        own = [
            message
            for message in await self.node.messages_with(self.other)
            if message["sender"] == self.node.account_id
        ]
        assert [message["id"] for message in own] == [message["id"] for message in self.sent]
        assert all(message["route"] is not None for message in own)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_fifty_kills_in_a_conversation_lose_nothing_and_show_nothing_twice(tmp_path: Path, seed: int) -> None:
    async with household(tmp_path) as (home, ana, beto):
        writers = (
            Writer(ana, beto, random.Random(f"{seed}/ana")),
            Writer(beto, ana, random.Random(f"{seed}/beto")),
        )
        await asyncio.gather(ana.kill(), beto.kill())
        await asyncio.gather(*(writer.live_and_die() for writer in writers))
        for writer in writers:
            await until(f"{writer.node.name}'s deliveries", writer.all_delivered, within_s=CONVERGE_S)
            await until(f"{writer.node.name}'s empty outbox", writer.node.idle, within_s=CONVERGE_S)
        for writer in writers:
            await writer.judge()
        assert await _nothing_waits(home)
        _print(writers)


async def _nothing_waits(home: HomeProgram) -> bool:
    async def emptied() -> bool:
        return bool((await home.counters())["envelopes_waiting"] == 0)

    return bool(await until("an empty mailbox", emptied, within_s=CONVERGE_S))


def _print(writers: tuple[Writer, ...]) -> None:
    for writer in writers:
        print(f"{writer.node.name}: {len(writer.sent)} messages, killed {writer.deaths}")
