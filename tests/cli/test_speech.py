"""Errors in the reader's language."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mepassa.cli import speech
from mepassa.cli.alarms import WORDS, alarm
from mepassa.cli.main import COMMANDS, run
from mepassa.cli.speech import PORTUGUESE_SENTENCES, in_words
from mepassa.model.errors import ConflictError, UnsupportedError

SOURCE = Path(speech.__file__).parents[1]


@pytest.mark.parametrize("sentence", PORTUGUESE_SENTENCES)
def test_a_sentence_with_portuguese_words_is_still_said_in_english(sentence: str) -> None:
    """Else somebody has changed the English, and Portuguese speakers would read English unnoticed."""
    said_by = [path for path in SOURCE.rglob("*.py") if f'"{sentence}"' in path.read_text()]
    assert [path for path in said_by if path != Path(speech.__file__)]


def test_the_sentence_comes_before_its_class_and_without_words_the_english_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LC_ALL", "pt_BR.UTF-8")
    assert in_words("ConflictError", "This contact is blocked.") == "Esta pessoa está bloqueada."
    assert in_words("UnsupportedError", UnsupportedError().message) == "Esta versão ainda não faz isso."
    assert in_words("ConflictError", ConflictError().message) == ConflictError().message
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    assert in_words("ConflictError", "This contact is blocked.") == "This contact is blocked."


@pytest.mark.parametrize("note", WORDS)
def test_an_alarm_is_one_sentence_or_two_about_its_contact_and_one_that_nobody_knows_is_not_lost(note: str) -> None:
    assert "{" not in alarm(note, "Ana")
    assert alarm(note, "Ana") != alarm("from_tomorrow", "Ana")
    assert "doctor" in alarm("from_tomorrow", "Ana")


def test_a_reader_that_has_enough_sees_no_traceback() -> None:
    """`mepassa --help | head -1` and its like."""
    program = (
        "import sys; from mepassa.cli import main, speech; "
        "main.app = lambda: lambda *a, **k: [speech.say('word') for _ in range(100_000)]; sys.exit(main.run([]))"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait(30) == 141


EVERY_HELP = """
import json, sys
from mepassa.cli.main import COMMANDS, app, run
made = app()
for name in COMMANDS:
    run([name, "--help"])
    arguments = made[name].assemble_argument_collection(parse_docstring=False)
    lines = [made[name].help, *(argument.parameter.help for argument in arguments)]
    print(json.dumps({name: lines}), file=sys.stderr)
"""


def helps(language: str) -> tuple[str, dict[str, list[str | None]]]:
    """Every command's help as shown, and its lines; in a process of its own, since they are chosen at import."""
    environment = {**os.environ, "LC_ALL": language, "COLUMNS": "100"}
    done = subprocess.run(
        [sys.executable, "-c", EVERY_HELP], env=environment, capture_output=True, text=True, check=True
    )
    lines: dict[str, list[str | None]] = {}
    for line in done.stderr.splitlines():
        lines |= json.loads(line) if line.startswith("{") else {}
    return done.stdout, lines


def test_every_command_and_option_is_explained_in_both_languages() -> None:
    (shown, portuguese), (_, english) = helps("pt_BR.UTF-8"), helps("en_US.UTF-8")
    assert portuguese.keys() == english.keys() == COMMANDS.keys()
    for name, lines in portuguese.items():
        assert len(lines) == len(english[name])
        for pt, en in zip(lines, english[name], strict=True):
            assert pt, f"{name}: an option without a word of help"
            assert pt != en, f"{name}: {pt}"
    for word in ("Usage", "Options", "Parameters", "[required", "[default", "[choices", " STR", " PATH", "WHO"):
        assert word not in shown, word
    assert "Uso: mepassa send [OPÇÕES] QUEM TEXTO" in shown


@pytest.mark.parametrize(
    "line, said",
    [
        (["sned"], "Não existe o comando “sned”. Você quis dizer “send”? Veja `mepassa --help`."),
        (["status", "--jso"], "Não existe a opção --jso. Veja `mepassa status --help`."),
        (["accept"], "Falta QUEM. Veja `mepassa accept --help`."),
        (["serve", "--listen", "127.0.0.1:0"], "Falta --data. Veja `mepassa serve --help`."),
        (["send", "Bia", "oi", "--wait", "muito"], "“muito” não serve para --wait. Veja `mepassa send --help`."),
        (["doctor", "agora", "mesmo"], "Sobra na linha: agora mesmo. Veja `mepassa doctor --help`."),
        (["serve", "--listen", "aqui", "--data", "x"], "aqui não é HOST:PORTA."),
    ],
)
def test_a_wrong_command_line_is_one_portuguese_sentence_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: list[str], said: str
) -> None:
    monkeypatch.setenv("LC_ALL", "pt_BR.UTF-8")
    monkeypatch.setenv("COLUMNS", "200")
    assert run(line) == 2
    assert capsys.readouterr().err == f"mepassa: {said}\n"
