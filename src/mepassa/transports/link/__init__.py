"""Links: envelopes and acknowledgements between two devices over any secure byte stream (docs/protocol/link.md)."""

from mepassa.identity import LinkRole
from mepassa.transports.link.links import How, LinkSet
from mepassa.transports.link.machine import (
    CloseCause,
    EnvelopeAcknowledged,
    EnvelopeReceived,
    LinkClosed,
    LinkEvent,
    LinkMachine,
    LinkOpened,
    LinkState,
    LinkTiming,
)
from mepassa.transports.link.session import ByteStream, HelloRefusedError, LinkSession

__all__ = [
    "ByteStream",
    "CloseCause",
    "EnvelopeAcknowledged",
    "EnvelopeReceived",
    "HelloRefusedError",
    "How",
    "LinkClosed",
    "LinkEvent",
    "LinkMachine",
    "LinkOpened",
    "LinkRole",
    "LinkSession",
    "LinkSet",
    "LinkState",
    "LinkTiming",
]
