"""`--help` and what is said of a wrong command line, in the reader's language.

The framework has a few words of its own, in English; they are put into Portuguese here. What it draws with loads only
when something is drawn.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import (
    App,
    CoercionError,
    CycloptsError,
    Group,
    MissingArgumentError,
    Parameter,
    RepeatArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from mepassa.cli.speech import pick, portuguese

if TYPE_CHECKING:
    from cyclopts.help import HelpEntry, HelpPanel
    from rich.console import Console, ConsoleOptions
    from rich.text import Text

ARGUMENTS = {"WHO": "QUEM", "TEXT": "TEXTO", "LINK": "LINK"}
"""What stands for an argument that is given by its place, by its name in the code."""
PLACEHOLDERS = {
    "STR": "TEXTO",
    "PATH": "CAMINHO",
    "INT": "NÚMERO",
    "FLOAT": "NÚMERO",
    "CHOICE": "ESCOLHA",
    "COMMAND": "COMANDO",
    "[OPTIONS]": "[OPÇÕES]",
    "[ARGS]": "[ARGUMENTOS]",
    **ARGUMENTS,
}
"""What stands for a value, by the framework's word for its type."""


def option(pt: str, en: str, *, name: str | None = None, negative: str | None = None) -> Parameter:
    """An option or argument with its line in the help."""
    return Parameter(help=pick(pt, en), name=name, negative=negative)


def flag(pt: str, en: str, *, name: str | None = None) -> Parameter:
    """Something that is on when it is said; there is no `--no-…` to it."""
    return Parameter(help=pick(pt, en), name=name, negative="", show_default=False)


JsonReady = Annotated[
    bool, flag("Uma linha de JSON quando estiver pronto.", "One JSON line when ready.", name="--json")
]


def new_app(name: str, about: str, version: str) -> App:
    """An application whose headings and own two commands speak the reader's language."""
    app = App(
        name=name,
        help=about,
        version=version,
        help_format="plaintext",
        help_formatter=PortugueseHelp() if portuguese() else None,
        error_formatter=complaint,
        result_action="return_value",
        group_commands=Group.create_default_commands(pick("Comandos", "Commands")),
        group_arguments=Group.create_default_arguments(pick("Argumentos", "Arguments")),
        group_parameters=Group.create_default_parameters(pick("Opções", "Options")),
    )
    app["--help"].help = pick("Mostra esta ajuda.", "Show this help.")
    app["--version"].help = pick("Mostra a versão.", "Show the version.")
    return app


class PortugueseHelp:
    """The framework's pages with its own words put into Portuguese."""

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        from cyclopts.help import DefaultFormatter

        entries = [_in_portuguese(entry) for entry in panel.entries]
        DefaultFormatter()(console, options, panel.copy(entries=entries))

    def render_usage(self, console: Console, _options: ConsoleOptions, usage: Any) -> None:
        console.print(_plain("Uso: " + " ".join(map(_in_words, str(usage).split())) + "\n"))


def _in_words(placeholder: str) -> str:
    """`STR` or, for several, `STR...`."""
    bare = placeholder.removesuffix("...")
    return PLACEHOLDERS.get(bare, bare) + placeholder[len(bare) :]


def _in_portuguese(entry: HelpEntry) -> HelpEntry:
    from cyclopts.help import InlineText

    told = InlineText(entry.description or _plain(""))
    if entry.choices:
        told.append(_plain(f"[escolha: {', '.join(entry.choices)}]"))
    if entry.default is not None:
        told.append(_plain(f"[sem isto: {entry.default}]"))
    if entry.required:
        told.append(_plain("[obrigatório]"))
    label = entry.positional_label
    return entry.copy(
        description=told,
        choices=None,
        default=None,
        required=False,
        metavar=entry.metavar and _in_words(entry.metavar),
        positional_label=label and ARGUMENTS.get(label, label),
    )


def complaint(error: CycloptsError) -> Text:
    """One sentence on what is wrong with a command line, and where to look."""
    where = " ".join(["mepassa", *(error.command_chain or ()), "--help"])
    sentence = _complaint_in_portuguese(error) if portuguese() else str(error)
    return _plain(f"mepassa: {sentence} {pick('Veja', 'See')} `{where}`.")


def _complaint_in_portuguese(error: CycloptsError) -> str:
    match error:
        case UnknownCommandError(unused_tokens=[token, *_], app=app):
            near = get_close_matches(token, [name for name in app or () if not name.startswith("-")], n=1)
            return f"Não existe o comando “{token}”." + "".join(f" Você quis dizer “{one}”?" for one in near)
        case UnknownOptionError(token=token):
            return f"Não existe a opção {token.keyword or token.value}."
        case MissingArgumentError(argument=argument) if argument is not None:
            return f"Falta {_name_of(argument)}."
        case CoercionError(token=token, argument=argument) if token is not None and argument is not None:
            return f"“{token.value}” não serve para {_name_of(argument)}."
        case RepeatArgumentError(token=token):
            return f"{token.keyword} só pode ser dito uma vez."
        case UnusedCliTokensError(unused_tokens=[*tokens]):
            return f"Sobra na linha: {' '.join(tokens)}."
        case _:
            return f"Esta linha de comando não está certa ({error})."


def _name_of(argument: Any) -> str:
    name = str(argument.name)
    bare = name.lstrip("-").upper()
    is_positional = not argument.field_info.is_keyword_only
    return ARGUMENTS.get(bare, bare) if is_positional else name


def _plain(text: str) -> Text:
    from rich.text import Text

    return Text(text)
