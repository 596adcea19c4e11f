"""What is written for people: links lead somewhere, decisions are numbered, nothing speaks of the place where it was written."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LISTED = subprocess.run(
    ["git", "ls-files", "-co", "--exclude-standard", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True
).stdout.split()
DOCUMENTS = [ROOT / name for name in LISTED if (ROOT / name).exists()]

WORKPLACE = re.compile(
    r"/work/|/tmp/|/root/|\bsessions? helper|\bhelpers? (session|agent)|\bsub-?agents?\b|\bthe lead\b", re.IGNORECASE
)
LINK = re.compile(r"\]\((?!https?://|mailto:|#)([^)#\s]+)")

BEING_WRITTEN = {ROOT / "docs/protocol/encoding.md", ROOT / "docs/protocol/identity.md"}
"""Pointed at already by a room that was quicker. To be emptied."""


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_a_document_is_about_the_project_alone(path: Path) -> None:
    found = [match[0] for match in WORKPLACE.finditer(path.read_text())]
    assert not found, f"{name_of(path)} speaks of {found}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    missing = [target for target in LINK.findall(path.read_text()) if not (path.parent / target).exists()]
    missing = [target for target in missing if (path.parent / target).resolve() not in BEING_WRITTEN]
    assert not missing, f"{name_of(path)} points at {missing}"


def test_decision_records_have_a_number_of_their_own_and_the_three_parts() -> None:
    records = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
    numbers = [record.name[:4] for record in records]
    assert len(set(numbers)) == len(numbers)
    for record in records:
        text = record.read_text().lower()
        assert all(part in text for part in ("context", "decision", "consequence")), record.name
