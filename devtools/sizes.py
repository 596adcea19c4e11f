"""`./dev run python -m devtools.sizes`: the largest files and functions of src. Places to look, not a gate.

The feel to keep (CONTRIBUTING.md, "Style"): files mostly under 400 lines, functions mostly under 40.
"""

import ast
from pathlib import Path

SRC = Path(__file__).parents[1] / "src"
FILE_LINES, FUNCTION_LINES = 400, 40


def large_files(folder: Path) -> list[tuple[int, str]]:
    sizes = [(len(path.read_text().splitlines()), str(path.relative_to(folder))) for path in folder.rglob("*.py")]
    return sorted((size for size in sizes if size[0] > FILE_LINES), reverse=True)


def large_functions(folder: Path) -> list[tuple[int, str]]:
    found = []
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES:
                    found.append((lines, f"{path.relative_to(folder)}:{node.lineno} {node.name}"))
    return sorted(found, reverse=True)


def report(folder: Path = SRC) -> str:
    parts = []
    for title, rows in (
        (f"files over {FILE_LINES} lines", large_files(folder)),
        (f"functions over {FUNCTION_LINES} lines", large_functions(folder)),
    ):
        parts.append(f"{title}: {len(rows) or 'none'}")
        parts += [f"{lines:>6}  {name}" for lines, name in rows]
    return "\n".join(parts)


if __name__ == "__main__":
    print(report())
