"""`mepassa demo`: start everything, show the tour in the terminal and in the page, then leave it to play with."""

import asyncio
import contextlib
import json
import signal
import sys
import tempfile
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from mepassa.cli.demo.page import serving
from mepassa.cli.demo.show import Show
from mepassa.cli.demo.stage import Stage
from mepassa.cli.demo.tour import StepResult
from mepassa.cli.logs import LogLevel
from mepassa.cli.speech import pick, say


def demo(
    *,
    port: Annotated[int, Parameter(help="Where the demo's page listens (0: a free port).")] = 0,
    headless: Annotated[bool, Parameter(negative="", help="Only the tour, in the terminal; then stop.")] = False,
    folder: Annotated[
        Path | None, Parameter(help="Keep data and logs there (default: a folder that goes away).")
    ] = None,
    log: Annotated[LogLevel, Parameter(help="How much the programs' logs in that folder say.")] = "warning",
    as_json: Annotated[bool, Parameter(name="--json", negative="", help="One JSON line a step.")] = False,
) -> int:
    """A real home server and two real nodes on this machine: see a message take each of the three routes."""
    return asyncio.run(_demo(port, folder, log, headless=headless, as_json=as_json))


async def _demo(port: int, folder: Path | None, log: LogLevel, *, headless: bool, as_json: bool) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C raises KeyboardInterrupt instead
            loop.add_signal_handler(number, stopping.set)
    with _place(folder) as place:
        stage = Stage(place, log_level=log)
        show = Show(stage, on_step=_say_json if as_json else _say_step)
        async with contextlib.AsyncExitStack() as cleanup:
            cleanup.push_async_callback(stage.close)
            if not headless:
                stage.frame_ancestor = await cleanup.enter_async_context(serving(show, port))
                _invite_to_page(stage.frame_ancestor, as_json=as_json)
            return await _play(show, stopping, stay=not headless)


@contextlib.contextmanager
def _place(folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="mepassa-demo-", ignore_cleanup_errors=True) as made:
        yield Path(made)


async def _play(show: Show, stopping: asyncio.Event, *, stay: bool) -> int:
    """The tour, or as much of it as there is time for; then wait to be told to stop."""
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(show.run())
        stopped = tasks.create_task(stopping.wait())
        touring = tasks.create_task(show.tour())
        await asyncio.wait({touring, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if stay and not stopped.done():
            say(pick("Agora é com você: use os interruptores da página. Ctrl-C termina.",
                     "Your turn: use the switches on the page. Ctrl-C ends it."))  # fmt: skip
            await stopped
        for task in (watching, stopped, touring):
            task.cancel()
    return 0 if not touring.cancelled() and touring.result() else 1


def _invite_to_page(address: str, *, as_json: bool) -> None:
    if as_json:
        say(json.dumps({"ready": True, "page": address}))
        return
    say(pick(f"A página da demonstração: {address}", f"The demo's page: {address}"))
    if sys.stdout.isatty():
        webbrowser.open(address)


def _say_json(result: StepResult) -> None:
    say(json.dumps(result.as_json()))


def _say_step(result: StepResult) -> None:
    portuguese, english = SENTENCES[result.step]
    mark = "✓" if result.ok else "✗"
    route = f" [{result.route['kind']}, {result.route['transport']}]" if result.route else ""
    say(f"{mark} {pick(portuguese, english)}{route} · {result.ms:.0f} ms")
    if not result.ok and "error" in result.evidence:
        say(f"    {result.evidence['error']}")


SENTENCES = {
    "start": ("Uma casa e dois aparelhos estão de pé.", "A home and two devices are up."),
    "contact": ("Ana abriu o convite de Beto.", "Ana opened Beto's invite."),
    "request": ("A primeira mensagem chegou como pedido.", "The first message came as a request."),
    "accept": ("Beto aceitou: agora são contatos.", "Beto accepted: they are contacts now."),
    "direct": ("Direto: nenhum servidor viu.", "Direct: no server saw it."),
    "cut": ("O caminho direto foi cortado no meio de uma mensagem.", "The direct path was cut in mid-message."),
    "relayed": ("A mesma mensagem chegou pela ponte cega, uma vez.", "The same message came by the blind relay, once."),
    "recipient_stopped": ("O aparelho de Beto desligou.", "Beto's device is off."),
    "stored": ("A mensagem espera, cifrada, na casa de Beto.", "The message waits, sealed, at Beto's home."),
    "recipient_back": ("Beto voltou.", "Beto is back."),
    "delivered": ("A mensagem chegou e a casa a apagou.", "The message arrived and the home deleted it."),
    "server_down": ("A casa caiu; a conversa direta continua.", "The home is down; direct talk goes on."),
    "restored": ("A casa voltou; nada ficou para trás.", "The home is back; nothing was left behind."),
    "done": ("Fim do passeio.", "The tour is over."),
}
