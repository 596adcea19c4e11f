"""Errors in the reader's language."""

import subprocess
import sys
from pathlib import Path

import pytest

from mepassa.cli import speech
from mepassa.cli.alarms import WORDS, alarm
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
    assert in_words("ConflictError", "This contact is blocked.") == "Este contato está bloqueado."
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
