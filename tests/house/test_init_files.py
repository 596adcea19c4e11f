"""A package's `__init__` is its table of contents (CONTRIBUTING.md, "Style"): imports and `__all__`, no logic."""

import ast
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src" / "mepassa"
INIT_FILES = sorted(SRC.rglob("__init__.py"))


def is_table_of_contents(statement: ast.stmt) -> bool:
    match statement:
        case ast.Import() | ast.ImportFrom():
            return True
        case ast.Expr(value=ast.Constant(value=str())):
            return True
        case ast.Assign(targets=[ast.Name(id=("__all__" | "__version__"))]) | ast.AnnAssign(target=ast.Name("__all__")):
            return True
    return False


@pytest.mark.parametrize("path", INIT_FILES, ids=lambda path: str(path.relative_to(SRC)))
def test_an_init_file_has_no_logic(path: Path) -> None:
    found = [f"line {s.lineno}" for s in ast.parse(path.read_text()).body if not is_table_of_contents(s)]
    assert not found, f"{path} holds more than imports and __all__: {found}"


@pytest.mark.parametrize("room", ["crypto", "p2p"])
def test_importing_one_module_of_a_heavy_room_loads_no_other(room: str) -> None:
    assert (SRC / room / "__init__.py").read_bytes() == b""
