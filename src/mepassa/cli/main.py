"""`mepassa`: the names of the commands, and how a command ends. Everything heavy loads inside the command that needs it."""

import os
import sys
from importlib.metadata import version

from cyclopts import App, CycloptsError

from mepassa.cli.help import new_app
from mepassa.cli.place import UsageError
from mepassa.cli.speech import pick, say_error
from mepassa.model.errors import LocalError, MepassaError

OK, FAILED, WRONG_USAGE = 0, 1, 2
INTERRUPTED, NOBODY_READS = 130, 141
"""128 and the number of SIGINT or SIGPIPE, as shells say it."""


class SystemRefusedError(LocalError):
    """What the operating system did not allow, in its own words."""

    def __init__(self, error: OSError) -> None:
        where = "" if error.filename is None else f" ({error.filename})"
        super().__init__(f"The system refused: {error.strerror or type(error).__name__}{where}.")


COMMANDS: dict[str, tuple[str, str, str]] = {
    "init": (
        "mepassa.cli.node:init",
        "Cria sua conta num servidor, nesta pasta.",
        "Create your account on a home server, in this folder.",
    ),
    "run": (
        "mepassa.cli.node:run",
        "Roda o MePassa desta pasta, até Ctrl-C.",
        "Run this folder's MePassa, until Ctrl-C.",
    ),
    "open": ("mepassa.cli.talk:open_page", "Abre a página no navegador.", "Open the page in the browser."),
    "invite": (
        "mepassa.cli.talk:invite",
        "Cria um link ou um código QR para convidar alguém.",
        "Make a link or a QR code to invite somebody.",
    ),
    "add": ("mepassa.cli.talk:add", "Adiciona um contato pelo link dele.", "Add a contact by their link."),
    "accept": ("mepassa.cli.talk:accept", "Aceita o pedido de alguém.", "Accept somebody's request."),
    "send": ("mepassa.cli.talk:send", "Envia uma mensagem.", "Send a message."),
    "chat": ("mepassa.cli.chat:chat", "Conversa com um contato no terminal.", "Talk to one contact in the terminal."),
    "listen": (
        "mepassa.cli.talk:listen",
        "Mostra o que acontece, na hora em que acontece.",
        "Print what happens, as it happens.",
    ),
    "status": (
        "mepassa.cli.talk:status",
        "Sua conta, seu servidor, seus contatos e os caminhos de agora.",
        "Your account, your server, your contacts and live paths.",
    ),
    "verify": (
        "mepassa.cli.verify:verify",
        "Confere o número de segurança de um contato, e marca.",
        "Compare a contact's safety number, and mark it.",
    ),
    "doctor": (
        "mepassa.cli.talk:doctor",
        "Examina rede, servidor e relógio; diz o que fazer.",
        "Look at network, server and clock; say what to do.",
    ),
    "serve": ("mepassa.cli.serve:serve", "Roda um servidor do MePassa.", "Run a home server."),
    "demo": (
        "mepassa.cli.demo.command:demo",
        "Um servidor e dois aparelhos neste computador: veja cada rota.",
        "A server and two devices on this machine: see each route.",
    ),
}
"""name -> (where it is, its line in the help in both languages). The module loads only when the command is used."""


def app() -> App:
    made = new_app(
        name="mepassa",
        about=pick(
            "Um mensageiro em que quase nenhuma mensagem passa por um servidor.",
            "A messenger where most messages never touch a server.",
        ),
        version=version("mepassa"),
    )
    for name, (target, pt, en) in COMMANDS.items():
        made.command(target, name=name, help=pick(pt, en))
    return made


def main(argv: list[str] | None = None) -> None:
    """Exit 0 when done, 1 with one sentence on what a person can mend, 2 on wrong usage."""
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: list[str]) -> int:
    try:
        result = app()(argv, exit_on_error=False, print_error=True)
    except CycloptsError:
        return WRONG_USAGE
    except UsageError as error:
        say_error(error)
        return WRONG_USAGE
    except MepassaError as error:
        say_error(error)
        return FAILED
    except BrokenPipeError:  # `mepassa invite | head -1`: whoever read our words has enough of them
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is flushed at the end goes nowhere
        return NOBODY_READS
    except OSError as error:  # a folder that cannot be written, a file where a folder should be
        say_error(SystemRefusedError(error))
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return result if isinstance(result, int) else OK
