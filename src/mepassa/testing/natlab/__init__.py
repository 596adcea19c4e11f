"""A small internet in network namespaces: two clients behind NATs of any kind, one server (docs/guides/nat-lab.md)."""

from mepassa.testing.natlab.coturn import Coturn
from mepassa.testing.natlab.lab import Cut, NatLab, NatLabError, Side
from mepassa.testing.natlab.nat_types import NatType
from mepassa.testing.natlab.probe import probe_natlab

__all__ = [
    "Coturn",
    "Cut",
    "NatLab",
    "NatLabError",
    "NatType",
    "Side",
    "probe_natlab",
]
