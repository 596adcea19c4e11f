"""Every `decode_*` and `parse_*` of ours is fed random bytes by a property test that names it (CONTRIBUTING.md, "Tests")."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PREFIXES = ("decode_", "parse_")
PROPERTY = {"given", "RuleBasedStateMachine"}


@dataclass(frozen=True, slots=True)
class Parser:
    name: str
    where: str


def parsers_in(source: str, where: str) -> Iterator[Parser]:
    """Functions and methods by that name, and names that are given a decoder (`decode_card = _CODEC.decode`)."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names = [name]
            case ast.Assign(targets=targets):
                names = [target.id for target in targets if isinstance(target, ast.Name)]
            case _:
                continue
        yield from (Parser(name, f"{where}:{node.lineno}") for name in names if name.startswith(PREFIXES))


def named_by_property_tests(source: str) -> set[str]:
    """Every name that a `given` test mentions, itself or through tables and functions of the same module."""
    mentions: dict[str, set[str]] = {}
    for statement in ast.parse(source).body:
        match statement:
            case ast.ClassDef(name=name, body=body) if name.startswith("Test"):
                mentions |= {m.name: _names(m) for m in body if isinstance(m, ast.FunctionDef | ast.AsyncFunctionDef)}
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                mentions[name] = _names(statement)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                mentions[name] = _names(statement)
            case _:
                pass
    reached_by = [_closure(name, mentions) for name in mentions if name.startswith("test_") or name.endswith("Machine")]
    return {name for reached in reached_by if reached & PROPERTY for name in reached}


def _names(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} | {
        n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)
    }


def _closure(name: str, mentions: dict[str, set[str]]) -> set[str]:
    reached, waiting = set[str](), [name]
    while waiting:
        for mentioned in mentions.get(waiting.pop(), set()) - reached:
            reached.add(mentioned)
            waiting.append(mentioned)
    return reached


PARSERS = sorted(
    {
        parser
        for path in (ROOT / "src").rglob("*.py")
        for parser in parsers_in(path.read_text(), str(path.relative_to(ROOT)))
    },
    key=lambda parser: parser.where,
)


@pytest.fixture(scope="module")
def tested() -> set[str]:
    return {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        if "given" in (text := path.read_text())
        for name in named_by_property_tests(text)
    }


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
def test_a_parser_has_a_property_test(parser: Parser, tested: set[str]) -> None:
    assert parser.name in tested, (
        f"{parser.where} {parser.name}: no test feeds it random and mutated bytes with hypothesis. "
        "The outcomes are a value or a documented error."
    )


def test_the_scan_sees_tables_and_helpers_and_nothing_else() -> None:
    source = """
DECODERS = [decode_a]
def feed(data): parse_b(data)
@given(binary())
@parametrize("decode", DECODERS)
def test_random(decode, data): feed(data)
def test_example(): decode_c(b"")
"""
    named = named_by_property_tests(source)
    assert {"decode_a", "parse_b"} <= named
    assert "decode_c" not in named


def test_the_scan_finds_functions_methods_and_bound_decoders() -> None:
    source = "def decode_a(): ...\nclass C:\n    def parse_b(self): ...\ndecode_c = CODEC.decode\ndef encode_d(): ...\n"
    assert [parser.name for parser in parsers_in(source, "m")] == ["decode_a", "decode_c", "parse_b"]
