"""`mepassa`: the names of the commands, and how a command ends. Everything heavy loads inside the command that needs it."""

import os
import sys
from importlib.metadata import version

from cyclopts import App, CycloptsError

from mepassa.cli.place import UsageError
from mepassa.cli.speech import say_error
from mepassa.model.errors import LocalError, MepassaError

OK, FAILED, WRONG_USAGE = 0, 1, 2
INTERRUPTED, NOBODY_READS = 130, 141
"""128 and the number of SIGINT or SIGPIPE, as shells say it."""


class SystemRefusedError(LocalError):
    """What the operating system did not allow, in its own words."""

    def __init__(self, error: OSError) -> None:
        where = "" if error.filename is None else f" ({error.filename})"
        super().__init__(f"The system refused: {error.strerror or type(error).__name__}{where}.")


COMMANDS = {
    "init": ("mepassa.cli.node:init", "Create your account on a home server, in this folder."),
    "run": ("mepassa.cli.node:run", "Run this folder's node in the foreground."),
    "open": ("mepassa.cli.talk:open_page", "Open the page in the browser."),
    "invite": ("mepassa.cli.talk:invite", "Make a link or a QR code with which others can add you."),
    "add": ("mepassa.cli.talk:add", "Add a contact by their link."),
    "accept": ("mepassa.cli.talk:accept", "Accept someone's request."),
    "send": ("mepassa.cli.talk:send", "Send a text."),
    "chat": ("mepassa.cli.chat:chat", "Talk to one contact in the terminal."),
    "listen": ("mepassa.cli.talk:listen", "Print what happens, as it happens."),
    "status": ("mepassa.cli.talk:status", "This node, its home, its contacts and live paths."),
    "doctor": ("mepassa.cli.talk:doctor", "Look at the network, the home and the clock; say what to do."),
    "serve": ("mepassa.cli.serve:serve", "Run a home server."),
    "demo": ("mepassa.cli.demo.command:demo", "A home and two nodes on this machine: see each route."),
}
"""name -> (where it is, its line in the help). The module loads only when the command is used."""


def app() -> App:
    made = App(
        name="mepassa",
        help="A messenger where most messages never touch a server.",
        version=version("mepassa"),
        help_format="plaintext",
        result_action="return_value",
    )
    for name, (target, line) in COMMANDS.items():
        made.command(target, name=name, help=line)
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
