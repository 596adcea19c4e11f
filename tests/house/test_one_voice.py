"""The page, the command line and the guides call things by the same names (docs/guides/interface.md, "The words")."""

import ast
import json
import re
from pathlib import Path

import pytest

from mepassa.cli.alarms import WORDS as ALARMS
from mepassa.cli.demo.command import SENTENCES as DEMO
from mepassa.cli.diagnosis import PORTUGUESE as DIAGNOSES
from mepassa.cli.speech import PORTUGUESE, PORTUGUESE_SENTENCES

ROOT = Path(__file__).parents[2]
CLI = ROOT / "src" / "mepassa" / "cli"
WORDS = ROOT / "web" / "src" / "words"

EXACT_TERMS = ("journey.", "address.", "transport.", "met.")
"""Keys of the page's exact terms, one click below the plain words."""
NOT_OURS = {
    "pt-BR": r"\b(casas?|relays?|servidor-casa|peers?|criptografad[ao]s?|celular(es)?|revogad[ao]s?)\b",
    "en": r"\b(homes?|bridges?|peers?)\b",
}
"""Words that mean something for which we have another one."""
MEANT_OTHERWISE = re.compile(r"como a do celular|home server|relay, bootstrap")


def said_on_the_page(language: str) -> dict[str, str]:
    words: dict[str, str] = json.loads((WORDS / f"{language}.json").read_text())
    return {key: text for key, text in words.items() if not key.startswith(EXACT_TERMS)}


def said_in_the_terminal(language: str) -> list[str]:
    """What is given to `pick`, `option` and `flag`, and the tables of sentences."""
    at = ("pt-BR", "en").index(language)
    found = []
    for path in CLI.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in {"pick", "option", "flag"}
            ):
                if len(node.args) == 2:
                    parts = [part.value for part in ast.walk(node.args[at]) if isinstance(part, ast.Constant)]
                    found.append("".join(map(str, parts)))
    found += [sentences[at] for sentences in (*DEMO.values(), *ALARMS.values())]
    if language == "pt-BR":
        found += [*PORTUGUESE.values(), *PORTUGUESE_SENTENCES.values()]
        found += [text for told in DIAGNOSES.values() for text in told if text]
    assert len(found) > 60
    return found


@pytest.mark.parametrize("language", NOT_OURS)
def test_a_thing_has_one_name_in_page_and_terminal(language: str) -> None:
    texts = [*said_on_the_page(language).values(), *said_in_the_terminal(language)]
    others = [text for text in texts if re.search(NOT_OURS[language], MEANT_OTHERWISE.sub("", text), re.IGNORECASE)]
    assert not others


def test_what_the_page_tells_by_sentence_is_what_the_terminal_says() -> None:
    table = re.search(r"const SAID.*?\{(.*?)\n\};", (ROOT / "web/src/model/errors.ts").read_text(), re.DOTALL)
    assert table
    told = dict(re.findall(r'"([^"]+)": "(said\.\w+)"', table[1]))
    page = said_on_the_page("pt-BR")
    assert told
    assert {english: page[key] for english, key in told.items()} == {
        english: PORTUGUESE_SENTENCES[english] for english in told
    }
