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

from mepassa.cli.demo.page import serving
from mepassa.cli.demo.show import Show
from mepassa.cli.demo.stage import Stage
from mepassa.cli.demo.tour import StepResult
from mepassa.cli.help import flag, option
from mepassa.cli.logs import LogLevel
from mepassa.cli.speech import pick, say


def demo(
    *,
    port: Annotated[
        int,
        option(
            "Onde a página da demonstração escuta (0: uma porta livre).",
            "Where the demo's page listens (0: a free port).",
        ),
    ] = 0,
    headless: Annotated[
        bool,
        flag("Só a visita, no terminal; depois para.", "Only the tour, in the terminal; then stop."),
    ] = False,
    folder: Annotated[
        Path | None,
        option(
            "Guarda dados e registros ali (sem isto: uma pasta que some no fim).",
            "Keep data and logs there (default: a folder that goes away).",
        ),
    ] = None,
    log: Annotated[
        LogLevel,
        option(
            "Quanto dizem os registros dos programas nessa pasta.", "How much the programs' logs in that folder say."
        ),
    ] = "warning",
    as_json: Annotated[bool, flag("Uma linha de JSON por passo.", "One JSON line a step.", name="--json")] = False,
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
            say(pick("Agora é com você: mexa nos botões da página. Ctrl-C termina.",
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
    "start": ("Um servidor e dois aparelhos estão ligados.", "A server and two devices are up."),
    "contact": ("Ana usou o link de Beto.", "Ana used Beto's link."),
    "request": ("A primeira mensagem chegou como pedido.", "The first message came as a request."),
    "accept": ("Beto aceitou: agora são contatos.", "Beto accepted: they are contacts now."),
    "direct": ("Direto: nenhum servidor viu.", "Direct: no server saw it."),
    "cut": ("O caminho direto foi cortado no meio de uma mensagem.", "The direct path was cut in mid-message."),
    "relayed": ("A mesma mensagem chegou pela ponte, uma vez só.", "The same message came by relay, once."),
    "recipient_stopped": ("O aparelho de Beto desligou.", "Beto's device is off."),
    "stored": ("A mensagem espera, cifrada, no servidor de Beto.", "The message waits, encrypted, on Beto's server."),
    "recipient_back": ("Beto voltou.", "Beto is back."),
    "delivered": ("A mensagem chegou e o servidor a apagou.", "The message arrived and the server deleted it."),
    "server_down": ("O servidor parou; a conversa direta continua.", "The server is down; direct talk goes on."),
    "restored": ("O servidor voltou; nada ficou para trás.", "The server is back; nothing was left behind."),
    "done": ("Fim da visita.", "The tour is over."),
}
