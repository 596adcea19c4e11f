"""WS /events?after=SEQ: the event log as it grows, each with the state, as of then or later, of the thing that it names."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus

import msgspec
from aiohttp import WSMsgType, web

from mepassa.client.api import types
from mepassa.client.api.problems import problem
from mepassa.client.api.render import render_chat, render_home, render_message, render_path, render_route
from mepassa.client.changes import Changes
from mepassa.client.home import HomeState
from mepassa.client.paths.live import LivePaths
from mepassa.ports.db import Db
from mepassa.ports.stores import EventKind, EventRow, MessageRow, Tx

BATCH = 200
"""Events read and rendered in one transaction."""
PING_EVERY_S = 20.0
"""A page whose laptop sleeps leaves no word; a WebSocket without an answer to two pings is closed."""

GONE = "gone"
"""The note of a message event whose row has left the screen (`protocol.healing`)."""

_ENCODER = msgspec.json.Encoder()

Rendered = dict[int, types.LoggedEvent | None]
"""By sequence number."""


class EventFeed:
    """Serves any number of readers, each at its own pace: nothing is queued for a slow one, it just reads later."""

    def __init__(self, db: Db[Tx], changes: Changes, home: HomeState, live: LivePaths) -> None:
        self._db, self._changes, self._home, self._live = db, changes, home, live

    async def handle(self, request: web.Request) -> web.StreamResponse:
        after = request.query.get("after")
        if after is not None and not (after.isascii() and after.isdigit() and len(after) <= 18):
            return problem(HTTPStatus.BAD_REQUEST, "InvalidInputError", "after is a sequence number.", field="after")
        socket = web.WebSocketResponse(heartbeat=PING_EVERY_S, max_msg_size=1024)
        await socket.prepare(request)
        sending = asyncio.create_task(self._send(socket, None if after is None else int(after)))
        try:
            async for message in socket:
                if message.type is WSMsgType.ERROR:
                    break
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        return socket

    async def _send(self, socket: web.WebSocketResponse, after: int | None) -> None:
        oldest, newest = await self._db.run(lambda tx: tx.event_span())
        seq = newest if after is None else after
        if not oldest - 1 <= seq <= newest:
            await socket.send_str(_ENCODER.encode(types.ResetEvent()).decode())
            await socket.close()
            return
        while not socket.closed:
            ticket = self._changes.ticket()
            found = self._at_hand(seq) or await self._db.run(self._reader(seq))
            for event in found.values():
                if event is not None:
                    await socket.send_str(_ENCODER.encode(event).decode())
            seq = max(found, default=seq)
            if len(found) < BATCH and seq >= self._changes.newest_seq:
                await ticket.wait()

    def _at_hand(self, seq: int) -> Rendered:
        """What follows and can be told without the database: a message's ticks, as long as nothing else comes between."""
        found: Rendered = {}
        for logged in self._changes.after(seq):
            if logged.event.kind not in {EventKind.MESSAGE, EventKind.STATUS} or logged.message is None:
                break
            found[logged.event.seq] = self._render(logged.event, logged.message)
        return found

    def _reader(self, seq: int) -> Callable[[Tx], Rendered]:
        return lambda tx: {row.seq: self._read(tx, row) for row in tx.events_after(seq, BATCH)}

    def _read(self, tx: Tx, row: EventRow) -> types.LoggedEvent | None:
        if row.kind is EventKind.CHAT and row.chat is not None and (contact := tx.contact(row.chat)) is not None:
            path = self._live.best(contact.account)
            return types.ChatEvent(row.seq, render_chat(contact, tx.unread(contact.account), path))
        return self._render(row, tx.message(row.message_id) if row.message_id is not None else None)

    def _render(self, row: EventRow, message: MessageRow | None) -> types.LoggedEvent | None:
        """None for what has gone meanwhile (a message deleted after its event)."""
        match row.kind:
            case EventKind.MESSAGE if message is not None:
                return types.MessageEvent(row.seq, render_message(message))
            case EventKind.MESSAGE if row.note == GONE and row.chat is not None and row.message_id is not None:
                return types.GoneEvent(row.seq, row.chat.hex(), row.message_id.hex())
            case EventKind.STATUS if message is not None:
                route = render_route(message.route)
                return types.StatusEvent(row.seq, message.chat.hex(), message.id.hex(), message.status, route)
            case EventKind.PATH if row.chat is not None:
                return types.PathEvent(row.seq, row.chat.hex(), render_path(self._live.best(row.chat)))
            case EventKind.HOME:
                return types.HomeEvent(row.seq, render_home(self._home))
            case EventKind.ALARM:
                return types.AlarmEvent(row.seq, None if row.chat is None else row.chat.hex(), row.note or "")
            case _:
                return None
