"""Secrets print nowhere: not as `SecretBytes`, not as raw bytes inside something larger, not by what is done with them."""

import ast
import dataclasses
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import mepassa

SRC = Path(mepassa.__file__).parent
ROOMS = ("model", "ports", "wire", "identity", "crypto", "protocol", "storage", "client", "transports", "server", "p2p")
SECRET_NAME = re.compile(
    r"(?<!public_)(secret|seed|password|passphrase|token$|mac_key|(chain|root|profile|message|sender|path|signing)_(key|secret))"
)
RAW = re.compile(r"\b(bytes|Key32|Token)\b")
PUBLIC = {
    ("SenderKeyDistributionMessage", "signing_key"): "the public half",
    ("SenderKeyChain", "signing_key"): "the public half",
}
"""Names that look like a secret's and are none."""
SHOWN_FOR_A_REASON = {
    "storage/connection.py": "SQLCipher takes its key in a statement, which is neither logged nor part of an error",
}


def classes() -> Iterator[type]:
    seen = set()
    for room in ROOMS:
        for found in pkgutil.walk_packages([str(SRC / room)], f"mepassa.{room}."):
            module = importlib.import_module(found.name)
            for _, kind in inspect.getmembers(module, inspect.isclass):
                if kind.__module__.startswith("mepassa.") and kind not in seen:
                    seen.add(kind)
                    yield kind


def raw_secrets(kind: type) -> list[str]:
    """Fields that hold a secret as plain bytes, by their names and what is written as their type."""
    if not (dataclasses.is_dataclass(kind) or issubclass(kind, msgspec.Struct)):
        return []
    written: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        written |= getattr(base, "__annotations__", {}) if base.__module__.startswith("mepassa.") else {}
    return [
        name
        for name, text in written.items()
        if SECRET_NAME.search(name) and RAW.search(str(text)) and (kind.__name__, name) not in PUBLIC
    ]


def prints(kind: Any, field: str) -> bool:
    if issubclass(kind, msgspec.Struct):
        return kind.__repr__ is msgspec.Struct.__repr__
    made_by_dataclass = hasattr(kind.__repr__, "__wrapped__")
    return made_by_dataclass and any(one.name == field and one.repr for one in dataclasses.fields(kind))


@pytest.mark.slow
def test_whatever_holds_a_secret_as_plain_bytes_does_not_print_it() -> None:
    shown = [
        f"{kind.__module__}.{kind.__qualname__}.{name}"
        for kind in classes()
        for name in raw_secrets(kind)
        if prints(kind, name)
    ]
    assert not shown, "\n".join(shown)


def exposures(source: str) -> Iterator[tuple[int, str]]:
    """Where `.expose()` stands inside a comparison, a text, a log line or an error."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Compare(ops=[ast.Eq() | ast.NotEq() | ast.In() | ast.NotIn()]):
                reason = "compared with =="
            case ast.JoinedStr():
                reason = "in a text"
            case ast.Raise():
                reason = "in an error"
            case (
                ast.Call(func=ast.Attribute(value=ast.Name(id="log" | "logging")))
                | ast.Call(func=ast.Name(id="print" | "say" | "repr" | "str"))
            ):
                reason = "printed"
            case _:
                continue
        if any(isinstance(inner, ast.Attribute) and inner.attr == "expose" for inner in ast.walk(node)):
            yield getattr(node, "lineno", 0), reason


def test_nothing_compares_prints_or_raises_what_a_secret_exposes() -> None:
    found = [
        f"{path.relative_to(SRC)}:{line} {reason}"
        for path in SRC.rglob("*.py")
        if str(path.relative_to(SRC)) not in SHOWN_FOR_A_REASON
        for line, reason in exposures(path.read_text())
    ]
    assert not found


def test_the_scan_sees_each_way() -> None:
    source = """
if key.expose() == other: pass
text = f"{key.expose().hex()}"
raise ValueError(key.expose())
log.info("x", extra={"key": key.expose()})
print(key.expose())
fine = hmac(key.expose(), data)
equal(key.expose(), other.expose())
"""
    assert [reason for _, reason in sorted(exposures(source))] == [
        "compared with ==", "in a text", "in an error", "printed", "printed",
    ]  # fmt: skip


def test_the_look_at_classes_sees_raw_fields_and_passes_over_hidden_ones() -> None:
    @dataclasses.dataclass
    class Open:
        profile_key: bytes

    @dataclasses.dataclass
    class Hidden:
        profile_key: bytes = dataclasses.field(repr=False)

    @dataclasses.dataclass(repr=False)
    class Silent:
        profile_key: bytes

    class Loud(msgspec.Struct):
        token: bytes

    class Quiet(msgspec.Struct):
        token: bytes

        def __repr__(self) -> str:
            return "Quiet"

    assert prints(Open, "profile_key")
    assert prints(Loud, "token")
    assert not any(
        prints(kind, name) for kind, name in ((Hidden, "profile_key"), (Silent, "profile_key"), (Quiet, "token"))
    )
