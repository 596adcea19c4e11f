"""What can go wrong between two devices that try to meet (docs/protocol/ice.md)."""

from mepassa.model.errors import TransientError


class IceFailedError(TransientError):
    """No candidate pair worked before the deadline, or there was none to try."""

    sentence = "No path to the other device was found; the message goes another way."
