"""API.md §2, WS /events: what has been trimmed cannot be resumed."""

from pathlib import Path

import aiohttp
from aiohttp import web

from mepassa.client.api.events import EventFeed
from mepassa.client.changes import Changes
from mepassa.client.home import HomeState
from mepassa.client.paths.live import LivePaths
from mepassa.model.ids import Timestamp
from mepassa.model.keys import HomeKey
from mepassa.model.secret import SecretBytes
from mepassa.ports.mailbox import HomeAddress
from mepassa.ports.stores import EventKind, Tx
from mepassa.storage import open_database


def _twelve_of_which_five_are_kept(tx: Tx) -> None:
    for _ in range(12):
        tx.append_event(EventKind.HOME)
    long_ago = Timestamp(0)
    tx.trim(seen_before=long_ago, sent_before=long_ago, resets_before=long_ago, events_kept=5)


async def test_a_reader_that_stayed_away_too_long_is_told_to_read_everything_anew(tmp_path: Path) -> None:
    db = await open_database(tmp_path / "node.db", SecretBytes(bytes(32)), create=True)
    await db.run(_twelve_of_which_five_are_kept)
    home = HomeState(HomeAddress("https://home.example", HomeKey(bytes(32))))
    app = web.Application()
    app.router.add_get("/events", EventFeed(db, Changes(), home, LivePaths()).handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/events"
    try:
        async with aiohttp.ClientSession() as http:
            for after, kept in ((0, False), (6, False), (7, True), (11, True), (13, False)):
                async with http.ws_connect(f"{url}?after={after}") as socket:
                    event = await socket.receive_json(timeout=30)
                    if kept:
                        assert event["seq"] == after + 1
                    else:
                        assert event == {"type": "reset"}
                        assert (await socket.receive(timeout=30)).type is aiohttp.WSMsgType.CLOSE
    finally:
        await runner.cleanup()
        await db.close()
