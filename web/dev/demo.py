"""A recorded demo: two recorded nodes side by side and the demo process's own API, for building the demo page.

    python -m web.dev.demo [--port 8788]

What one side sends shows at the other by the route that the switches allow; the tour plays by itself. Nothing is real.
"""

import argparse
import asyncio
import contextlib
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import WSMsgType, web

from mepassa.client.api import types as api
from mepassa.model.status import MessageStatus
from web.dev.recorded import DIST, HEADERS, Recorded, Stage, make_app, now_ms
from web.dev.scenarios import DIRECT, RELAYED, STORED, Life, made_id

NAMES = {"a": "Ana", "b": "Beto"}
OTHER = {"a": "b", "b": "a"}


def life_of(who: str) -> Life:
    home = api.Home("http://127.0.0.1:8080", True)
    life = Life(now_ms(), me=api.Me(made_id(NAMES[who]), 1, NAMES[who], home))
    life.chat(NAMES[OTHER[who]], path=api.Path("direct", 1.9))
    return life


class Linked(Recorded):
    """A recorded node whose messages reach the other one."""

    def __init__(self, who: str, stage: "DemoStage") -> None:
        super().__init__("first")
        self.life = life_of(who)
        self.who, self.stage = who, stage

    async def travel(self, message: api.Message) -> None:
        await self.stage.carry(self.who, message)

    @property
    def only_chat(self) -> api.Chat:
        return next(iter(self.life.chats.values()))

    async def take(self, message: api.Message, route: api.Route) -> None:
        """A message of the other side arrives."""
        mine = msgspec.structs.replace(
            message,
            chat_id=self.only_chat.id,
            status=MessageStatus.DELIVERED,
            route=route,
            sender=self.only_chat.account_id,
        )
        self.life.messages[mine.chat_id].append(mine)
        await self.emit(type="message", message=mine)
        await self.put_chat(self.only_chat, unread=self.only_chat.unread + 1)


class DemoStage:
    """Switches, tour and counters, as the demo process would tell them."""

    def __init__(self) -> None:
        self.listeners: set[web.WebSocketResponse] = set()
        self.urls: dict[str, str] = {}
        self.pages: dict[str, Stage] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.begin()

    def begin(self) -> None:
        self.starts = {"a": 1, "b": 1}
        self.switches = {"direct": True, "relay": True, "recipient": True, "server": True}
        self.relay_bytes = 0
        self.waiting: list[tuple[str, api.Message]] = []
        self.steps: list[dict[str, Any]] = []
        self.running = False
        self.step_now: str | None = None
        self.nodes = {who: Linked(who, self) for who in NAMES}
        for who, page in self.pages.items():
            page.now = self.nodes[who]

    async def reset(self, _request: web.Request) -> web.Response:
        for task in self.tasks:
            task.cancel()
        self.begin()
        return web.json_response({})

    # --- what is told ---

    def path(self) -> api.Path | None:
        if not self.switches["recipient"]:
            return None
        if self.switches["direct"]:
            return api.Path("direct", 1.9)
        if self.switches["relay"] and self.switches["server"]:
            return api.Path("relayed", 3.4)
        return None

    def state(self) -> dict[str, Any]:
        people = [
            {
                "who": who,
                "name": NAMES[who],
                "account_id": made_id(NAMES[who]),
                "online": who == "a" or self.switches["recipient"],
                "start": self.starts[who],
            }
            for who in NAMES
        ]
        return {
            "people": people,
            "switches": self.switches,
            "path": self.path(),
            "server": {
                "online": self.switches["server"],
                "relay_bytes": self.relay_bytes,
                "mailbox_envelopes": len(self.waiting),
            },
            "tour": {"running": self.running, "now": self.step_now, "steps": self.steps},
        }

    async def tell(self, frame: dict[str, Any] | None = None) -> None:
        data = msgspec.json.encode(frame or {"type": "state", "state": self.state()}).decode()
        for listener in list(self.listeners):
            await listener.send_str(data)

    # --- what happens ---

    async def carry(self, who: str, message: api.Message) -> None:
        sender, receiver = self.nodes[who], self.nodes[OTHER[who]]
        path = self.path()
        travel = {"type": "travel", "from": who, "to": OTHER[who], "rtt_ms": path.rtt_ms if path else None}
        await asyncio.sleep(0.02)
        if path is None:
            if not self.switches["server"]:
                return
            self.waiting.append((who, message))
            await self.tell({**travel, "kind": "stored", "leg": "in"})
            await sender.put_status(message, MessageStatus.STORED, STORED)
            await self.tell()
            return
        base = DIRECT if path.kind == "direct" else RELAYED
        route = msgspec.structs.replace(base, rtt_ms=path.rtt_ms)
        self.relay_bytes += 412 if path.kind == "relayed" else 0
        await self.tell({**travel, "kind": path.kind, "leg": "whole"})
        await receiver.take(message, route)
        await sender.put_status(message, MessageStatus.DELIVERED, route)
        await self.tell()

    async def flip(self, what: str, *, on: bool) -> None:
        await asyncio.sleep(0.2)
        self.switches[what] = on
        if what == "recipient":
            self.nodes["b"].is_away = not on
            self.starts["b"] += on
        for who, node in self.nodes.items():
            await node.emit(type="path", chat_id=node.only_chat.id, path=self.path())
            node.life.chats[node.only_chat.id] = msgspec.structs.replace(node.only_chat, path=self.path())
            if what == "server":
                home = msgspec.structs.replace(node.life.me.home, connected=on)
                node.life.me = msgspec.structs.replace(node.life.me, home=home)
                await node.emit(type="home", home=home)
            if what == "recipient" and who == "b" and not on:
                for listener in list(node.listeners):
                    await listener.close()
        if self.path() or (self.switches["recipient"] and self.switches["server"]):
            await self.hand_out()
        await self.tell()

    async def hand_out(self) -> None:
        waiting, self.waiting = self.waiting, []
        for who, message in waiting:
            frame = {"type": "travel", "from": who, "to": OTHER[who], "kind": "stored", "leg": "out", "rtt_ms": None}
            await self.tell(frame)
            await self.nodes[OTHER[who]].take(message, STORED)
            await self.nodes[who].put_status(message, MessageStatus.DELIVERED, STORED)

    async def say(self, who: str, text: str) -> None:
        node = self.nodes[who]
        messages = node.life.messages[node.only_chat.id]
        seq = sum(one.sender == node.life.me.account_id for one in messages) + 1
        message_id = made_id(who, text, now_ms())
        content = api.TextContent(text)
        chat_id, me = node.only_chat.id, node.life.me.account_id
        message = api.Message(message_id, chat_id, me, now_ms(), seq, content, MessageStatus.QUEUED, None)
        messages.append(message)
        await node.emit(type="message", message=message)
        await self.carry(who, message)

    async def tour(self) -> None:
        relayed = {"kind": "relayed", "transport": "quic", "via": "127.0.0.1:3478", "rtt_ms": 3.4}
        stored = {"kind": "stored", "transport": "mailbox", "via": "127.0.0.1:8080", "rtt_ms": None}
        direct = {"kind": "direct", "transport": "libp2p", "via": None, "rtt_ms": 1.9}
        script: list[tuple[str, Callable[[], Awaitable[None]] | None, dict[str, Any]]] = [
            ("start", None, {"evidence": {"server_pid": 4242, "roles": "mailbox,directory,relay,bootstrap"}}),
            ("contact", None, {}),
            ("request", None, {"evidence": {"request_lane": 1}}),
            ("accept", None, {}),
            (
                "direct",
                lambda: self.say("a", "Oi, Beto! Chegou na hora?"),
                {"route": direct, "evidence": {"server_deposits": 0}},
            ),
            ("cut", lambda: self.flip("direct", on=False), {}),
            (
                "relayed",
                lambda: self.say("a", "Cortei o caminho direto"),
                {"route": relayed, "evidence": {"relay_bytes": 412}},
            ),
            ("recipient_stopped", lambda: self.flip("recipient", on=False), {}),
            ("stored", lambda: self.say("a", "Leia quando voltar"), {"route": stored, "evidence": {"mailbox_rows": 1}}),
            ("recipient_back", lambda: self.flip("recipient", on=True), {}),
            ("delivered", lambda: self.flip("direct", on=True), {"route": stored, "evidence": {"mailbox_rows": 0}}),
            ("server_down", lambda: self.flip("server", on=False), {"route": direct}),
            ("restored", lambda: self.flip("server", on=True), {}),
            ("done", None, {}),
        ]
        self.running, self.steps = True, []
        for name, act, told in script:
            self.step_now = name
            await self.tell()
            await asyncio.sleep(0.6)
            if act:
                await act()
            self.steps.append({"step": name, "ok": True, "ms": 640, **told})
        self.running, self.step_now = False, None
        await self.tell()

    # --- the demo process's API ---

    async def get_state(self, _request: web.Request) -> web.Response:
        return web.json_response(body=msgspec.json.encode(self.state()))

    async def switch(self, request: web.Request) -> web.Response:
        asked = await request.json()
        await self.flip(asked["what"], on=asked["on"])
        return web.json_response(body=msgspec.json.encode(self.state()))

    async def start_tour(self, _request: web.Request) -> web.Response:
        task = asyncio.get_running_loop().create_task(self.tour())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return web.json_response(body=msgspec.json.encode(self.state()), status=202)

    async def open(self, request: web.Request) -> web.Response:
        return web.json_response({"url": self.urls[(await request.json())["who"]]})

    async def events(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(heartbeat=20)
        await socket.prepare(request)
        await socket.send_str(msgspec.json.encode({"type": "state", "state": self.state()}).decode())
        self.listeners.add(socket)
        try:
            async for frame in socket:
                if frame.type is WSMsgType.ERROR:
                    break
        finally:
            self.listeners.discard(socket)
        return socket


async def listen(app: web.Application, port: int, stack: contextlib.AsyncExitStack) -> str:
    runner = web.AppRunner(app, shutdown_timeout=0.5)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}"


async def serve(port: int) -> None:
    stage = DemoStage()

    @web.middleware
    async def gate(request: web.Request, handler: Any) -> web.StreamResponse:
        response: web.StreamResponse = await handler(request)
        if not response.prepared:
            csp = "default-src 'self'; frame-src http://127.0.0.1:*; frame-ancestors 'none'"
            response.headers.update({**HEADERS, "Content-Security-Policy": csp})
        return response

    async def page(_request: web.Request) -> web.FileResponse:
        return web.FileResponse(DIST / "demo.html")

    app = web.Application(middlewares=[gate])
    app.router.add_get("/", page)
    app.router.add_get("/api/demo/state", stage.get_state)
    app.router.add_get("/api/demo/events", stage.events)
    app.router.add_post("/api/demo/switch", stage.switch)
    app.router.add_post("/api/demo/tour", stage.start_tour)
    app.router.add_post("/api/demo/open", stage.open)
    app.router.add_post("/dev/reset", stage.reset)
    app.router.add_static("/", DIST)
    async with contextlib.AsyncExitStack() as stack:
        url = await listen(app, port, stack)
        for who, node in stage.nodes.items():
            stage.pages[who] = Stage(node, frame_ancestors=url)
            stage.urls[who] = await listen(make_app(stage.pages[who]), 0, stack)
        print(json.dumps({"ready": True, "url": url}), flush=True)
        await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--port", type=int, default=8788)
    try:
        asyncio.run(serve(parser.parse_args().port))
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
