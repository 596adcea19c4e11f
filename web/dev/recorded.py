"""A recorded node: serves API.md and the built page from a scenario, with the node's own headers.

    python -m web.dev.recorded [--port 8787] [--scenario daily]

Not a node: nothing is encrypted and nobody is at the other end. It exists so that the page can be built and tested in
every state. Under `/dev/` a test steers it: `scenario`, `event`, `fail`, `drop`, `requests`.
"""

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path as FilePath
from typing import Any, TypeVar

import msgspec
from aiohttp import WSMsgType, web

from mepassa.client.api import types as api
from mepassa.model.route import Policy, Route, RouteKind
from mepassa.model.status import ChatState, MessageStatus, Verification
from web.dev.scenarios import DIRECT, SCENARIOS, STORED, Life, made_id

DIST = FilePath(__file__).parents[2] / "src" / "mepassa" / "client" / "web_dist"
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
SAFETY_NUMBER = "052381194476310592837465019283746550192837460192837465019283"
OWN_CODE = "mepassa://verify/CAISIgogQW5hIHNlZXMgdGhpcyBjb2RlIG9uIGhlciBvd24gc2NyZWVu"
THEIR_CODE = "mepassa://verify/CAISIgogQmlhIHNlZXMgdGhpcyBjb2RlIG9uIGhlciBvd24gc2NyZWVu"
QR_MODULES = 29
T = TypeVar("T")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def told(error: str, message: str, status: int, field: str | None = None) -> web.Response:
    return answer(api.ErrorAnswer(api.ErrorBody(error, message, field)), status)


def answer(value: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")


def qr_svg(text: str) -> str:
    """Looks like a QR code; is none (the node uses segno)."""
    bits = int(made_id(text), 16)
    rows = []
    for y in range(QR_MODULES):
        for x in range(QR_MODULES):
            corner = (min(x, QR_MODULES - 1 - x) < 7 and y < 7) or (x < 7 and QR_MODULES - 1 - y < 7)
            ring = max(abs(min(x, QR_MODULES - 1 - x) - 3), abs(min(y, QR_MODULES - 1 - y) - 3))
            dark = ring in {0, 1, 3} if corner else bits >> (x * 7 + y * 13) % 128 & 1
            if dark:
                rows.append(f"M{x + 4} {y + 4.5}h1")
    size = QR_MODULES + 8
    path = "".join(rows)
    return f'<svg viewBox="0 0 {size} {size}" class="segno"><path class="qrline" stroke="#000" d="{path}"/></svg>'


class Recorded:
    """One scenario, its listeners, and what a test asked to go wrong."""

    def __init__(self, scenario: str) -> None:
        self.life: Life = SCENARIOS[scenario](now_ms())
        self.seq = 0
        self.history: list[bytes] = []
        self.listeners: set[web.WebSocketResponse] = set()
        self.by_client_id: dict[str, api.Message] = {}
        self.failures: list[tuple[str, str, int]] = []
        self.requests: list[str] = []
        self.is_away = False
        self.tasks: set[asyncio.Task[None]] = set()

    # --- events ---

    async def emit(self, **event: object) -> None:
        self.seq += 1
        data = msgspec.json.encode({"seq": self.seq, **event})
        self.history.append(data)
        for listener in list(self.listeners):
            await listener.send_str(data.decode())

    async def put_chat(self, chat: api.Chat, **changes: object) -> api.Chat:
        changed = msgspec.structs.replace(chat, **changes)
        self.life.chats[chat.id] = changed
        self.life.messages.setdefault(chat.id, [])
        await self.emit(type="chat", chat=changed)
        return changed

    async def put_status(
        self, message: api.Message, status: MessageStatus, route: Route | api.Route | None
    ) -> api.Message:
        messages = self.life.messages[message.chat_id]
        at = next(at for at, one in enumerate(messages) if one.id == message.id)
        messages[at] = msgspec.structs.replace(messages[at], status=status, route=route)
        await self.emit(type="status", chat_id=message.chat_id, message_id=message.id, status=status, route=route)
        return messages[at]

    def spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def travel(self, message: api.Message) -> None:
        """What would happen to a message, by the chat's path and policy."""
        chat = self.life.chats[message.chat_id]
        await asyncio.sleep(0.05)
        if chat.path:
            route = api.Route(
                RouteKind(chat.path.kind),
                DIRECT.transport,
                None,
                DIRECT.address_class,
                DIRECT.found_by,
                chat.path.rtt_ms,
            )
            await self.put_status(message, MessageStatus.SENT, route)
            await asyncio.sleep(0.05)
            await self.put_status(message, MessageStatus.DELIVERED, route)
        elif chat.policy is not Policy.DIRECT_ONLY:
            await self.put_status(message, MessageStatus.STORED, STORED)

    # --- the API ---

    def chat_of(self, request: web.Request) -> api.Chat:
        chat = self.life.chats.get(request.match_info["id"])
        if chat is None:
            raise web.HTTPNotFound(body=told("NotFoundError", "There is no such thing here.", 404).body)
        return chat

    async def me(self, _request: web.Request) -> web.Response:
        return answer(self.life.me)

    async def health(self, _request: web.Request) -> web.Response:
        return answer(api.Health(not self.life.problems, self.life.me.home, self.life.problems))

    async def chats(self, _request: web.Request) -> web.Response:
        return answer(list(self.life.chats.values()))

    async def chat(self, request: web.Request) -> web.Response:
        return answer(self.chat_of(request))

    async def messages(self, request: web.Request) -> web.Response:
        messages = self.life.messages[self.chat_of(request).id]
        limit = int(request.query.get("limit", api.DEFAULT_PAGE))
        end = next((at for at, one in enumerate(messages) if one.id == request.query.get("before")), len(messages))
        return answer(messages[max(0, end - limit) : end])

    async def safety_number(self, request: web.Request) -> web.Response:
        self.chat_of(request)
        return answer(api.SafetyNumber(SAFETY_NUMBER))

    async def safety_code(self, request: web.Request) -> web.Response:
        self.chat_of(request)
        return answer(api.SafetyCode(OWN_CODE, qr_svg(OWN_CODE)))

    async def compare_code(self, request: web.Request) -> web.Response:
        code = (await body(request, api.CompareCode)).code.strip()
        chat = self.chat_of(request)
        if code == THEIR_CODE:
            await self.put_chat(chat, verification=Verification.VERIFIED, verified_at_ms=now_ms())
            return answer(api.Comparison("match"))
        if code == OWN_CODE:
            return answer(api.Comparison("own_code"))
        return answer(api.Comparison("no_match" if code.startswith("mepassa://verify/") else "no_code"))

    async def verification(self, request: web.Request) -> web.Response:
        asked = await body(request, api.SetVerification)
        chat = self.chat_of(request)
        if not asked.verified:
            return answer(await self.put_chat(chat, verification=Verification.NONE))
        if asked.safety_number != SAFETY_NUMBER:
            return told("ConflictError", "That is not this contact's safety number; compare it again.", 409)
        return answer(await self.put_chat(chat, verification=Verification.VERIFIED, verified_at_ms=now_ms()))

    async def invite(self, request: web.Request) -> web.Response:
        asked = await body(request, api.CreateInvite)
        invite_id = made_id("invite", len(self.requests))
        life_ms = 30 * 86_400_000 if asked.kind == "link" else 600_000
        card = "gqRob21lu2h0dHBzOi8vY2FzYS5leGVtcGxvLm9yZ6RuYW1lo0FuYQ" + made_id("card", invite_id)
        link = f"https://casa.exemplo.org/i#{card}"
        return answer(api.Invite(invite_id, link, f"mepassa://add/{card}", qr_svg(link), now_ms() + life_ms))

    async def revoke(self, _request: web.Request) -> web.Response:
        return web.Response(status=204)

    async def add(self, request: web.Request) -> web.Response:
        asked = await body(request, api.AddContact)
        if not asked.link or "velho" in asked.link:
            return told("TokenRefusedError", "The server did not accept the token for this account.", 403, "link")
        policy = Policy.AUTO if asked.direct else Policy.HIDE_MY_IP
        chat_id = made_id("added", asked.link)
        new = api.Chat(chat_id, "Beto", made_id("Beto", asked.link), ChatState.REQUESTED, 0, None, policy)
        return answer(await self.put_chat(self.life.chats.get(chat_id, new)))

    async def send(self, request: web.Request) -> web.Response:
        chat = self.chat_of(request)
        asked = await body(request, api.SendMessage)
        limit = api.MAX_TEXT_BYTES if chat.state is ChatState.ACCEPTED else 2_048
        if not 0 < len(asked.text.encode()) <= limit:
            return told("TextTooLongError", f"The text must be 1 to {limit} bytes of UTF-8.", 400, "text")
        if known := self.by_client_id.get(asked.client_id):
            return answer(known)
        seq = sum(one.sender == self.life.me.account_id for one in self.life.messages[chat.id]) + 1
        message_id = made_id(chat.id, asked.client_id)
        message = api.Message(
            message_id,
            chat.id,
            self.life.me.account_id,
            now_ms(),
            seq,
            api.TextContent(asked.text),
            MessageStatus.QUEUED,
            None,
        )
        self.by_client_id[asked.client_id] = message
        self.life.messages[chat.id].append(message)
        await self.emit(type="message", message=message)
        self.spawn(self.travel(message))
        return answer(message)

    async def send_by_server(self, request: web.Request) -> web.Response:
        for messages in self.life.messages.values():
            for message in messages:
                if message.id == request.match_info["id"]:
                    return answer(await self.put_status(message, MessageStatus.STORED, STORED))
        return told("NotFoundError", "There is no such thing here.", 404)

    async def accept(self, request: web.Request) -> web.Response:
        asked = await body(request, api.AcceptRequest)
        policy = Policy.AUTO if asked.direct else Policy.HIDE_MY_IP
        return answer(await self.put_chat(self.chat_of(request), state=ChatState.ACCEPTED, policy=policy, unread=0))

    async def block(self, request: web.Request) -> web.Response:
        return answer(await self.put_chat(self.chat_of(request), state=ChatState.BLOCKED, path=None, unread=0))

    async def read(self, request: web.Request) -> web.Response:
        await body(request, api.MarkRead)
        return answer(await self.put_chat(self.chat_of(request), unread=0))

    async def policy(self, request: web.Request) -> web.Response:
        asked = await body(request, api.SetPolicy)
        return answer(await self.put_chat(self.chat_of(request), policy=asked.route))

    async def events(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(heartbeat=20)
        await socket.prepare(request)
        after = request.query.get("after")
        if after is not None and int(after) > self.seq:
            await socket.send_str('{"type":"reset"}')
        elif after is not None:
            for data in self.history[int(after) :]:
                await socket.send_str(data.decode())
        self.listeners.add(socket)
        try:
            async for frame in socket:
                if frame.type is WSMsgType.ERROR:
                    break
        finally:
            self.listeners.discard(socket)
        return socket


async def body(request: web.Request, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except msgspec.ValidationError as error:
        raise web.HTTPBadRequest(
            body=told("InvalidInputError", str(error), 400).body, content_type="application/json"
        ) from error


class Stage:
    """Holds the scenario that plays now, and the doors by which a test steers it."""

    def __init__(self, now: Recorded, frame_ancestors: str = "'none'") -> None:
        self.now = now
        self.headers = {**HEADERS, "Content-Security-Policy": f"default-src 'self'; frame-ancestors {frame_ancestors}"}

    async def scenario(self, request: web.Request) -> web.Response:
        old = self.now
        self.now = Recorded((await request.json())["name"])
        for listener in list(old.listeners):
            await listener.close()
        return answer({})

    async def event(self, request: web.Request) -> web.Response:
        """Plays one event; a chat, message or path in it is kept as the node would keep it."""
        event = await request.json()
        now = self.now
        if "message" in event:
            message = msgspec.convert(event["message"], api.Message)
            now.life.messages[message.chat_id].append(message)
        if "chat" in event:
            chat = msgspec.convert(event["chat"], api.Chat)
            now.life.chats[chat.id] = chat
            now.life.messages.setdefault(chat.id, [])
        if event["type"] == "path":
            chat = now.life.chats[event["chat_id"]]
            now.life.chats[chat.id] = msgspec.structs.replace(
                chat, path=msgspec.convert(event["path"], api.Path | None)
            )
        await now.emit(**event)
        return answer({})

    async def fail(self, request: web.Request) -> web.Response:
        """The next requests of this method end with that error: {"method", "code", "status", "times"}."""
        asked = await request.json()
        self.now.failures += [(asked["method"], asked["code"], asked["status"])] * asked.get("times", 1)
        return answer({})

    async def drop(self, request: web.Request) -> web.Response:
        """Closes the sockets; with {"away": true} the node answers nobody until {"away": false}."""
        self.now.is_away = (await request.json()).get("away", False)
        for listener in list(self.now.listeners):
            await listener.close()
        return answer({})

    async def requests(self, _request: web.Request) -> web.Response:
        return answer(self.now.requests)

    @web.middleware
    async def gate(self, request: web.Request, handler: Any) -> web.StreamResponse:
        now = self.now
        if request.path.startswith("/api/v1/"):
            now.requests.append(f"{request.method} {request.path_qs}")
            if now.is_away:
                if request.transport:
                    request.transport.abort()
                raise web.HTTPServiceUnavailable
            if now.life.is_closed:
                return told("UnauthorizedError", "Log in first.", 401)
            for at, (method, code, status) in enumerate(now.failures):
                if method == request.method:
                    del now.failures[at]
                    return told(code, "As the test asked.", status)
            if now.life.delay_s and request.path != "/api/v1/events":
                await asyncio.sleep(now.life.delay_s)
        response: web.StreamResponse = await handler(request)
        if not response.prepared:
            response.headers.update(self.headers)
        return response


def make_app(stage: Stage) -> web.Application:
    app = web.Application(middlewares=[stage.gate])

    def door(name: str) -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await getattr(stage.now, name)(request)  # type: ignore[no-any-return]  # found by name

        return handle

    root = "/api/v1"
    for method, path, name in (
        ("GET", "/me", "me"),
        ("GET", "/health", "health"),
        ("GET", "/chats", "chats"),
        ("GET", "/chats/{id}", "chat"),
        ("GET", "/chats/{id}/messages", "messages"),
        ("GET", "/chats/{id}/safety_number", "safety_number"),
        ("GET", "/chats/{id}/safety_code", "safety_code"),
        ("POST", "/chats/{id}/safety_code", "compare_code"),
        ("PUT", "/chats/{id}/verification", "verification"),
        ("POST", "/invites", "invite"),
        ("DELETE", "/invites/{id}", "revoke"),
        ("POST", "/contacts", "add"),
        ("POST", "/chats/{id}/messages", "send"),
        ("POST", "/messages/{id}/send_by_server", "send_by_server"),
        ("POST", "/chats/{id}/accept", "accept"),
        ("POST", "/chats/{id}/block", "block"),
        ("POST", "/chats/{id}/read", "read"),
        ("PUT", "/chats/{id}/policy", "policy"),
        ("GET", "/events", "events"),
    ):
        app.router.add_route(method, root + path, door(name))
    app.router.add_get("/dev/requests", stage.requests)
    for name in ("scenario", "event", "fail", "drop"):
        app.router.add_post(f"/dev/{name}", getattr(stage, name))

    async def page(_request: web.Request) -> web.FileResponse:
        return web.FileResponse(DIST / "index.html")

    app.router.add_get("/", page)
    app.router.add_static("/", DIST)
    return app


async def serve(port: int, app: web.Application) -> None:
    runner = web.AppRunner(app, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    assert runner.addresses
    print(json.dumps({"ready": True, "url": f"http://127.0.0.1:{runner.addresses[0][1]}"}), flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--port", type=int, default=8787)
    parser.add_argument("--scenario", choices=SCENARIOS, default="daily")
    asked = parser.parse_args()
    try:
        asyncio.run(serve(asked.port, make_app(Stage(Recorded(asked.scenario)))))
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
