"""Every alarm has its sentence in the page, in both languages, and in the command line."""

import json
from pathlib import Path

import pytest

from mepassa.cli import alarms
from mepassa.protocol.alarms import Alarm

WORDS = Path(__file__).parents[2] / "web/src/words"
PAGE = {file.stem: json.loads(file.read_text()) for file in WORDS.glob("*.json")}


@pytest.mark.parametrize("alarm", Alarm)
def test_an_alarm_is_said_in_words(alarm: Alarm) -> None:
    assert set(PAGE) == {"en", "pt-BR"}
    for language, words in PAGE.items():
        assert words.get(f"alarm.{alarm}"), f"{language}: alarm.{alarm}"
    assert alarm in alarms.WORDS


def test_no_words_are_left_of_an_alarm_that_nobody_raises() -> None:
    assert set(alarms.WORDS) == set(Alarm)
    for words in PAGE.values():
        told = {key.removeprefix("alarm.") for key in words if key.startswith("alarm.")}
        assert told == {*Alarm, "other"}
