"""`mepassa chat WHO`: a conversation in the terminal."""

import asyncio
import secrets
import sys
from typing import Any

from mepassa.cli.local_api import ApiError, LocalApi
from mepassa.cli.place import DataFolder
from mepassa.cli.speech import pick, say, say_error
from mepassa.cli.talk import Who, describe_status, find_chat, line_of, talk
from mepassa.model.errors import MepassaError


def chat(who: Who, *, data: DataFolder = None) -> None:
    """Talk to one contact: type a line, press Enter; Ctrl-D leaves."""

    async def work(api: LocalApi) -> None:
        found = await find_chat(api, who)
        for message in await api.get(f"/chats/{found['id']}/messages", limit=20):
            say(line_of(found, message))
        try:
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(_watch(api, found))
                await _type(api, found)
                watching.cancel()
        except* MepassaError as failed:
            raise failed.exceptions[0] from None

    say(pick("Ctrl-D para sair.", "Ctrl-D to leave."))
    talk(data, work)


async def _watch(api: LocalApi, found: dict[str, Any]) -> None:
    async for event in api.events():
        message = event.get("message") or {}
        if message.get("chat_id") != found["id"]:
            continue
        if event["type"] == "message" and message["sender"] == found["account_id"]:
            say(line_of(found, message))
            await api.post(f"/chats/{found['id']}/read", {"up_to": message["id"]})
        elif event["type"] == "status":
            say(f"   {describe_status(message)}")


async def _type(api: LocalApi, found: dict[str, Any]) -> None:
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        if text := line.rstrip("\n"):
            body = {"client_id": secrets.token_hex(16), "text": text}
            try:
                await api.post(f"/chats/{found['id']}/messages", body)
            except ApiError as error:
                say_error(error)
