"""The scannable safety number as text, for a QR code or to paste: `mepassa://verify/…`, base64url without padding.

What is inside is Signal's own form (docs/protocol/identity.md, "Safety number"); `crypto.safety_number` judges it.
"""

from mepassa.model.errors import MalformedError
from mepassa.wire.base64url import decode_base64url, encode_base64url

SCHEME_PREFIX = "mepassa://verify/"
MAX_CODE_CHARS = 512
"""One of ours takes 116; more is not looked at."""
_SENTENCE = "This is not a safety code of MePassa."


def encode_safety_code(scannable: bytes) -> str:
    return SCHEME_PREFIX + encode_base64url(scannable)


def decode_safety_code(text: str) -> bytes:
    """Raises `MalformedError`; space around it does not matter, any other difference does."""
    code = text[: MAX_CODE_CHARS + 1].strip()
    if len(code) > MAX_CODE_CHARS or not code.startswith(SCHEME_PREFIX):
        raise MalformedError(_SENTENCE)
    scannable = decode_base64url(code.removeprefix(SCHEME_PREFIX))
    if scannable is None:
        raise MalformedError(_SENTENCE)
    return scannable
