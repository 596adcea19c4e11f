"""`mepassa`: the names of the commands, and how a command ends. Everything heavy loads inside the command that needs it."""

import sys
from importlib.metadata import version

from cyclopts import App, CycloptsError

from mepassa.cli.speech import say_error
from mepassa.model.errors import MepassaError

OK, FAILED, WRONG_USAGE = 0, 1, 2

COMMANDS = {
    "init": "mepassa.cli.node:init",
    "run": "mepassa.cli.node:run",
    "open": "mepassa.cli.talk:open_page",
    "invite": "mepassa.cli.talk:invite",
    "add": "mepassa.cli.talk:add",
    "send": "mepassa.cli.talk:send",
    "chat": "mepassa.cli.chat:chat",
    "listen": "mepassa.cli.talk:listen",
    "status": "mepassa.cli.talk:status",
    "doctor": "mepassa.cli.talk:doctor",
    "serve": "mepassa.cli.serve:serve",
    "demo": "mepassa.cli.demo.command:demo",
}


def app() -> App:
    made = App(
        name="mepassa",
        help="A messenger where most messages never touch a server.",
        version=version("mepassa"),
        help_format="plaintext",
        result_action="return_value",
    )
    for name, target in COMMANDS.items():
        made.command(target, name=name)
    return made


def main(argv: list[str] | None = None) -> None:
    """Exit 0 when done, 1 with one sentence on what a person can mend, 2 on wrong usage."""
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: list[str]) -> int:
    try:
        result = app()(argv, exit_on_error=False, print_error=True)
    except CycloptsError:
        return WRONG_USAGE
    except MepassaError as error:
        say_error(error)
        return FAILED
    except KeyboardInterrupt:
        return 130
    return result if isinstance(result, int) else OK
