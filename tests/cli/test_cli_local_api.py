"""The command line tells its token to its own node, and to nobody who sits at the node's old port."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from mepassa.cli.local_api import LocalApi, NodeNotRunningError
from mepassa.client.api.gate import Gate
from mepassa.client.api.pages import add_pages
from mepassa.model.secret import SecretBytes
from mepassa.testing.chance import SeededRng
from mepassa.testing.clock import ManualClock

TOKEN = SecretBytes(bytes(range(32)))


@asynccontextmanager
async def listening(app: web.Application) -> AsyncIterator[int]:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


@asynccontextmanager
async def node() -> AsyncIterator[tuple[str, web.Application]]:
    gate = Gate(TOKEN, ManualClock(), SeededRng(1))
    app = web.Application(middlewares=[gate.middleware])
    add_pages(app, gate)
    async with listening(app) as port:
        gate.port = port
        yield f"http://127.0.0.1:{port}", app


async def test_our_own_node_proves_itself_without_being_told_the_token() -> None:
    async with node() as (url, _app), LocalApi(url, TOKEN.expose().hex()):
        pass


@pytest.mark.parametrize("forwards", [False, True])
async def test_whoever_took_the_port_of_a_node_that_died_is_not_told_the_token(forwards: bool) -> None:
    """Not even one that passes the question on to the real node, which now runs at another port."""
    heard: list[str] = []

    async with node() as (real, _app):

        async def answer(request: web.Request) -> web.Response:
            heard.append(repr(dict(request.headers)) + str(request.rel_url))
            if not forwards:
                return web.Response(text="0" * 64)
            async with aiohttp.ClientSession() as http, http.get(real + str(request.rel_url)) as passed_on:
                return web.Response(text=await passed_on.text())

        thief = web.Application()
        thief.router.add_get("/{anything:.*}", answer)
        async with listening(thief) as port:
            with pytest.raises(NodeNotRunningError):
                async with LocalApi(f"http://127.0.0.1:{port}", TOKEN.expose().hex()):
                    pass
    assert len(heard) == 1
    assert TOKEN.expose().hex() not in heard[0]


@pytest.mark.parametrize("nonce", ["", "0" * 63, "0" * 65, "G" * 64, "0" * 64 + "&nonce=1"])
async def test_a_proof_is_given_for_exactly_one_form_of_question(nonce: str) -> None:
    async with node() as (url, _app), aiohttp.ClientSession() as http:
        async with http.get(f"{url}/proof?nonce={nonce}") as answer:
            assert answer.status == (200 if nonce.startswith("0" * 64 + "&") else 400)
        async with http.get(f"{url}/proof?nonce={'0' * 64}", headers={"Host": "evil.example"}) as answer:
            assert answer.status == 403
