"""`./dev fuzz mutants`: breaks our own code in one place at a time and looks whether a test notices (docs/mutation.md)."""

from fuzz.mutants.command import main

__all__ = ["main"]
