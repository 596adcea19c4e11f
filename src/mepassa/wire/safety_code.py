"""The scannable safety number as text, for a QR code or to paste: `mepassa://verify/…`, base64url without padding.

What is inside is Signal's own form (docs/protocol/identity.md, "Safety number"); `crypto.safety_number` judges it.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode

from mepassa.model.errors import MalformedError

SCHEME_PREFIX = "mepassa://verify/"
MAX_CODE_CHARS = 512
"""One of ours takes 116; more is not looked at."""
_SENTENCE = "This is not a safety code of MePassa."


def encode_safety_code(scannable: bytes) -> str:
    return SCHEME_PREFIX + urlsafe_b64encode(scannable).rstrip(b"=").decode()


def decode_safety_code(text: str) -> bytes:
    """Raises `MalformedError`; space around it does not matter, any other difference does."""
    code = text[: MAX_CODE_CHARS + 1].strip()
    if len(code) > MAX_CODE_CHARS or not code.startswith(SCHEME_PREFIX):
        raise MalformedError(_SENTENCE)
    letters = code.removeprefix(SCHEME_PREFIX)
    try:
        scannable = urlsafe_b64decode(letters.encode("ascii") + b"=" * (-len(letters) % 4))
    except (binascii.Error, ValueError) as error:
        raise MalformedError(_SENTENCE) from error
    if encode_safety_code(scannable) != code:
        raise MalformedError(_SENTENCE)
    return scannable
