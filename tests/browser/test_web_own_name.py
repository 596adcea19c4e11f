"""docs/guides/local-api.md, "Getting in": what a browser tells the other programs of this machine, in a real browser."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import pytest
from aiohttp import web
from playwright.sync_api import Page

from mepassa.client.api.gate import Gate
from tests.client.test_api_gate import serving

T = TypeVar("T")
OpenUrl = Callable[..., Page]

pytestmark = pytest.mark.slow


class Elsewhere:
    """A node's door, and a stranger's server at another port of 127.0.0.1, on a loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._open = AsyncExitStack()
        self.seen: list[str] = []
        self.url, self.gate, self.strangers_port = self._run(self._start())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _start(self) -> tuple[str, Gate, int]:
        url, gate, _ = await self._open.enter_async_context(serving())

        async def spy(request: web.Request) -> web.Response:
            self.seen.append(request.headers.get("Cookie", ""))
            return web.Response(text="<!doctype html><title>x</title>", content_type="text/html")

        app = web.Application()
        app.router.add_get("/{path:.*}", spy)
        runner = web.AppRunner(app)
        await runner.setup()
        self._open.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return url, gate, int(runner.addresses[0][1])

    def code(self) -> str:
        async def new() -> str:
            return self.gate.new_code()

        return self._run(new())

    def close(self) -> None:
        self._run(self._open.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    made = Elsewhere()
    yield made
    made.close()


@pytest.mark.parametrize("own_name", [True, False])
def test_another_program_on_this_machine_is_not_told_the_cookie(
    elsewhere: Elsewhere, open_url: OpenUrl, own_name: bool
) -> None:
    """At 127.0.0.1 it would be: that is what the name is for."""
    suffix = "&host=own" if own_name else ""
    page = open_url(f"{elsewhere.url}/open?code={elsewhere.code()}{suffix}")
    assert (page.url == f"http://{elsewhere.gate.own_host}/") is own_name
    assert page.evaluate("fetch('/api/v1/notes/5').then(answer => answer.status)") == 200
    for path in ("/", "/api/v1/notes/5"):
        page.goto(f"http://127.0.0.1:{elsewhere.strangers_port}{path}")
    told = [elsewhere.gate.cookie_value in cookies for cookies in elsewhere.seen]
    assert told
    assert any(told) is not own_name
