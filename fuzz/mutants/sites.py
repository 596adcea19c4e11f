"""Where a module can be broken, and how: each `Site` is one small mistake that somebody might make."""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

OPPOSITES: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
"""An order moves by one, everything else turns round."""

CHECKS = {"compare_digest", "equal", "token_matches", "is_fresh", "permits", "is_public"}
"""Calls whose answer is a verdict; with `verify_*`, `check_*` and `*_verifies`."""

LOGS = {"log", "_log", "logger", "warnings"}
"""What is said to a log decides nothing."""


@dataclass(frozen=True, slots=True)
class Site:
    """`scope`: the outermost function, as `Class.name`, or empty for what runs on import. `name`: what an assignment there
    gives a value to. `apply` changes the tree that the sites were found in."""

    kind: str
    line: int
    scope: str
    name: str
    what: str
    apply: Callable[[], None]


def sites(tree: ast.Module, *, all_numbers: bool = False) -> list[Site]:
    """In the order of the source, the same for the same source. `all_numbers`: not only those that are compared with
    something or have a name of their own."""
    return list(_Finder(all_numbers).module(tree))


def mutated(source: str, number: int, *, all_numbers: bool = False) -> ast.Module:
    """The module with its site `number` broken."""
    tree = ast.parse(source)
    sites(tree, all_numbers=all_numbers)[number].apply()
    return ast.fix_missing_locations(tree)


class _Finder:
    def __init__(self, all_numbers: bool) -> None:
        self._all_numbers = all_numbers

    def module(self, tree: ast.Module) -> Iterator[Site]:
        yield from self._body(tree, ())

    def _body(self, owner: ast.Module | ast.ClassDef, path: tuple[str, ...]) -> Iterator[Site]:
        for statement in owner.body:
            match statement:
                case ast.ClassDef(name=name):
                    yield from self._body(statement, (*path, name))
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    yield from self._statements(statement.body, ".".join((*path, name)))
                case ast.Assign(targets=[ast.Name(id=name)], value=value) if name != "__all__":
                    yield from self._expression(value, "", name, numbers=True)
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                    yield from self._expression(value, "", name, numbers=True)
                case _:
                    pass

    def _statements(self, body: list[ast.stmt], scope: str) -> Iterator[Site]:
        for place, statement in enumerate(body):
            yield from self._whole(body, place, statement, scope)
            for part in _parts(statement):
                if isinstance(part, ast.expr):
                    yield from self._expression(part, scope, "", numbers=self._all_numbers)
                elif isinstance(part, ast.withitem):
                    yield from self._expression(part.context_expr, scope, "", numbers=self._all_numbers)
            for inner in _bodies(statement):
                yield from self._statements(inner, scope)

    def _whole(self, body: list[ast.stmt], place: int, statement: ast.stmt, scope: str) -> Iterator[Site]:
        def put(*instead: ast.stmt, over: int = 1) -> Callable[[], None]:
            return lambda: body.__setitem__(slice(place, place + over), list(instead))

        def site(kind: str, what: str, apply: Callable[[], None]) -> Site:
            return Site(kind, statement.lineno, scope, "", what, apply)

        text = _text(statement)
        match statement:
            case ast.If() | ast.While():
                yield site("negate", f"if not ({_text(statement.test)})", lambda: _negate(statement))
            case ast.Raise():
                yield site("guard", f"without `{text}`", put(ast.Pass()))
            case ast.Return() if place + 1 < len(body) or len(body) == 1:
                yield site("guard", f"without `{text}`", put(ast.Pass()))
            case ast.Expr(value=ast.Await() | ast.Call()) if not _is_log(statement):
                yield site("call", f"without `{text}`", put(ast.Pass()))
        if _is_call(statement) and place + 1 < len(body):
            after = body[place + 1]
            if isinstance(after, ast.Expr | ast.Assign | ast.AsyncWith | ast.With) and not _same_transaction(
                text, after
            ):
                yield site("order", f"`{text}` after `{_text(after)}`", put(after, statement, over=2))

    def _expression(self, node: ast.expr, scope: str, name: str, *, numbers: bool) -> Iterator[Site]:
        def site(kind: str, what: str, apply: Callable[[], None]) -> Site:
            return Site(kind, node.lineno, scope, name, what, apply)

        match node:
            case ast.Compare(ops=operators):
                for at, operator in enumerate(operators):
                    other = OPPOSITES[type(operator)]
                    what = f"`{_text(node)}` with {other.__name__} for {type(operator).__name__}"
                    yield site("compare", what, _setter(operators, at, other()))
                numbers = True
            case ast.BoolOp(op=operator):
                turned = ast.Or() if isinstance(operator, ast.And) else ast.And()
                yield site("boolean", f"`{_text(node)}` with {type(turned).__name__}", _assign(node, "op", turned))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                yield site("negate", f"`{_text(node)}` without not", _assign(node, "operand", _not(operand)))
            case ast.IfExp(test=test):
                yield site("negate", f"`{_text(node)}` the other way", _assign(node, "test", _not(test)))
            case ast.Constant(value=int(value)) if numbers and not isinstance(value, bool):
                for changed in (value + 1, value - 1):
                    yield site("number", f"{changed} for {value}", _assign(node, "value", changed))
            case ast.Call(func=function) if _is_check(function):
                yield site("verdict", f"not `{_text(node)}`", _invert(node))
            case ast.Subscript(value=taken, slice=where):
                yield from self._expression(taken, scope, name, numbers=self._all_numbers)
                yield from self._expression(where, scope, name, numbers=self._all_numbers)
                return
            case ast.Lambda(body=body):
                yield from self._expression(body, scope, name, numbers=self._all_numbers)
                return
        for part in ast.iter_child_nodes(node):
            if isinstance(part, ast.expr):
                yield from self._expression(part, scope, name, numbers=numbers)
            elif isinstance(part, ast.keyword):
                yield from self._expression(part.value, scope, name, numbers=numbers)
            elif isinstance(part, ast.comprehension):
                yield from self._comprehension(part, scope, name)

    def _comprehension(self, part: ast.comprehension, scope: str, name: str) -> Iterator[Site]:
        yield from self._expression(part.iter, scope, name, numbers=self._all_numbers)
        for place, test in enumerate(part.ifs):
            what = f"`if {_text(test)}` negated"
            yield Site("negate", test.lineno, scope, name, what, _setter(part.ifs, place, _not(test)))
            yield from self._expression(test, scope, name, numbers=self._all_numbers)


def _parts(statement: ast.stmt) -> Iterator[ast.AST]:
    """What of a statement decides something: not its annotation, what it raises, or an answer that nobody looks at."""
    match statement:
        case ast.Raise() | ast.Assert():
            return
        case ast.AnnAssign(value=value):
            yield from () if value is None else (value,)
        case ast.Expr(value=ast.Call() as call):
            yield from (*call.args, *(keyword.value for keyword in call.keywords))
        case _:
            yield from ast.iter_child_nodes(statement)


def _bodies(statement: ast.stmt) -> Iterator[list[ast.stmt]]:
    for field in ("body", "orelse", "finalbody"):
        inner = getattr(statement, field, None)
        if isinstance(inner, list):
            yield inner
    for handler in getattr(statement, "handlers", []):
        yield handler.body
    for case in getattr(statement, "cases", []):
        yield case.body


def _text(node: ast.AST, most: int = 90) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _not(test: ast.expr) -> ast.expr:
    return ast.copy_location(ast.UnaryOp(ast.Not(), test), test)


def _negate(statement: ast.If | ast.While) -> None:
    statement.test = _not(statement.test)


def _setter(items: list[Any], place: int, new: ast.AST) -> Callable[[], None]:
    return lambda: items.__setitem__(place, new)


def _assign(node: ast.AST, field: str, value: object) -> Callable[[], None]:
    return lambda: setattr(node, field, value)


def _invert(call: ast.Call) -> Callable[[], None]:
    """`f(x)` into `(lambda: not f(x))()`, in place: the node stays a call, whoever holds it."""

    def apply() -> None:
        original = ast.copy_location(ast.Call(call.func, call.args, call.keywords), call)
        nothing = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
        call.func = ast.copy_location(ast.Lambda(nothing, _not(original)), call)
        call.args, call.keywords = [], []

    return apply


def _called(function: ast.expr) -> str:
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _is_check(function: ast.expr) -> bool:
    name = _called(function).lstrip("_")
    return name in CHECKS or name.startswith("verify_") or name.endswith("_verifies")


def _is_call(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call | ast.Await) and not _is_log(statement)
    )


def _is_log(statement: ast.Expr) -> bool:
    match statement.value:
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name) | ast.Attribute(attr=name))):
            return name in LOGS
    return False


def _same_transaction(text: str, after: ast.stmt) -> bool:
    """Two writes in one transaction: their order is nobody's business but the database's."""
    return text.startswith("tx.") and _text(after).startswith("tx.")
