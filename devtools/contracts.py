"""An import-linter contract of our own: a room may import these third-party packages and no others.

import-linter can forbid packages by name, but a list of what is allowed is shorter, and stays true when somebody adds a
dependency that nobody thought of.
"""

import sys
from typing import TypedDict, cast

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output

OURS = "mepassa"


class Finding(TypedDict):
    importer: str
    imported: str
    lines: list[int]


class OnlyThesePackagesContract(Contract):
    """`source_modules` (with all that is in them) import, of others, only `allowed_packages` and the standard library.

    Only direct imports count: what an allowed package imports in turn is its own business.
    """

    type_name = "only_these_packages"

    source_modules = fields.ListField(subfield=fields.StringField())
    allowed_packages = fields.SetField(subfield=fields.StringField(), required=False)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        sources = cast("list[str]", self.source_modules)  # import-linter puts the parsed value where the Field stood
        allowed = cast("set[str]", self.allowed_packages)
        findings = [
            Finding(importer=importer, imported=imported, lines=_lines(graph, importer, imported))
            for source in sources
            for importer in sorted({source} | graph.find_descendants(source))
            for imported in sorted(graph.find_modules_directly_imported_by(importer))
            if _is_foreign(imported) and imported.partition(".")[0] not in allowed
        ]
        return ContractCheck(kept=not findings, metadata={"findings": findings})

    def render_broken_contract(self, check: ContractCheck) -> None:
        findings: list[Finding] = check.metadata["findings"]
        for finding in findings:
            where = ", ".join(f"l.{line}" for line in finding["lines"])
            output.print_error(f"- {finding['importer']} -> {finding['imported']} ({where})", bold=False)


def _is_foreign(module: str) -> bool:
    root = module.partition(".")[0]
    return root != OURS and root not in sys.stdlib_module_names


def _lines(graph: ImportGraph, importer: str, imported: str) -> list[int]:
    return [detail["line_number"] for detail in graph.get_import_details(importer=importer, imported=imported)]
