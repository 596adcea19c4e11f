"""ARCHITECTURE.md, "Import law": the contracts hold, and each of them catches what it forbids."""

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRACTS: dict[str, str] = {
    contract["id"]: contract["name"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
}

PLANTS: dict[str, tuple[str, str]] = {
    "layers": ("wire", "import mepassa.identity"),
    "model": ("model", "import mepassa.wire"),
    "ports": ("ports", "import mepassa.wire"),
    "wire": ("wire", "import mepassa.ports"),
    "identity": ("identity", "import mepassa.ports"),
    "crypto": ("crypto", "import mepassa.wire"),
    "p2p": ("p2p", "import mepassa.crypto"),
    "protocol": ("protocol", "import mepassa.storage"),
    "protocol-io": ("protocol", "import time"),
    "routing": ("routing", "import mepassa.ports"),
    "routing-keys": ("routing", "import planted_crypto_chain"),
    "transports": ("transports", "import mepassa.protocol"),
    "storage": ("storage", "import mepassa.transports"),
    "server": ("server", "import planted_crypto_chain"),
    "server-rooms": ("server", "import mepassa.storage"),
    "server-p2p": ("server", "import mepassa.p2p"),
    "client": ("client", "import mepassa.server"),
    "cli": ("cli", "from mepassa.client import services"),
    "testing": ("testing", "import mepassa.storage"),
    "not-testing": ("storage", "import mepassa.testing"),
    "packages-model": ("wire", "import aiohttp"),
    "packages-identity": ("identity", "import numpy"),
    "packages-crypto": ("crypto", "import msgspec"),
    "packages-p2p": ("p2p", "import aiohttp"),
    "packages-pure": ("routing", "import msgspec"),
    "packages-transports": ("transports", "import trio"),
    "packages-storage": ("storage", "import aiohttp"),
    "packages-server": ("server", "import cyclopts"),
    "packages-client": ("client", "import libp2p"),
    "packages-cli": ("cli", "import sqlcipher3"),
}
"""One forbidden import per contract: the room that commits it, and the statement. Each is a module of its own."""

CHAIN = "mepassa.identity.planted_chain"
"""Looks harmless and imports the ratchet: only a contract that follows chains sees it."""


def plant(room: str, contract: str) -> str:
    return f"mepassa.{room}.planted_{contract.replace('-', '_')}"


def lint(folder: Path) -> str:
    env = dict(os.environ, PYTHONPATH=f"{folder / 'src'}{os.pathsep}{ROOT}", COLUMNS="1000", NO_COLOR="1")
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--config", "pyproject.toml"]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def report_on_planted_copy(tmp_path_factory: pytest.TempPathFactory) -> str:
    copy = tmp_path_factory.mktemp("planted")
    shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("web_dist", "__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    modules = {plant(room, name): statement for name, (room, statement) in PLANTS.items()}
    for module, statement in {**modules, CHAIN: "import mepassa.crypto"}.items():
        path = copy / "src" / Path(*module.split(".")).with_suffix(".py")
        path.write_text(statement.replace("planted_crypto_chain", CHAIN) + "\n")
    services = copy / "src/mepassa/client/services.py"
    if not services.exists():
        services.write_text("")
    return lint(copy)


def section(report: str, contract: str) -> str:
    """What the report says under the heading of one broken contract: its name, underlined."""
    lines = report.partition("Broken contracts")[2].splitlines()
    names = set(CONTRACTS.values())
    kept, inside = [], False
    for line in lines:
        if line.strip() in names:
            inside = line.strip() == CONTRACTS[contract]
        elif inside:
            kept.append(line)
    return "\n".join(kept)


def test_every_import_contract_is_kept() -> None:
    report = lint(ROOT)
    assert " 0 broken" in report, report


def test_every_contract_has_a_planted_violation() -> None:
    assert PLANTS.keys() == CONTRACTS.keys()
    assert len(set(CONTRACTS.values())) == len(CONTRACTS)


@pytest.mark.parametrize("contract", PLANTS)
def test_a_forbidden_import_is_caught(contract: str, report_on_planted_copy: str) -> None:
    room, _ = PLANTS[contract]
    assert plant(room, contract) in section(report_on_planted_copy, contract), report_on_planted_copy


def test_a_face_loads_the_programs_only_when_it_starts_them() -> None:
    """`mepassa --help` must not wait for libp2p: cli imports client and server inside functions."""
    early = [
        f"{path.relative_to(ROOT)}:{statement.lineno}"
        for path in (ROOT / "src/mepassa/cli").rglob("*.py")
        for statement in ast.parse(path.read_text()).body
        for name in _imported_names(statement)
        if name.startswith(("mepassa.client", "mepassa.server"))
    ]
    assert not early, f"imported at the top of a module of cli: {early}"


def _imported_names(statement: ast.stmt) -> list[str]:
    match statement:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=str(module), names=names):
            return [f"{module}.{alias.name}" for alias in names]
        case _:
            return []
