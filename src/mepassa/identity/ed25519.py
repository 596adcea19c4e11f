"""Plain Ed25519 (RFC 8032), the one place where the root key, home key and blinded keys are verified."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from mepassa.identity.curve import LOW_ORDER_U, montgomery_from_edwards
from mepassa.model.errors import MalformedError, SignatureError


def verify_ed25519(public: bytes, message: bytes, signature: bytes) -> None:
    """Raises `SignatureError` unless `signature` (64 B) over exactly `message` was made with the key of `public`.

    Low-order keys are refused: under them one signature fits many messages.
    """
    try:
        if int.from_bytes(montgomery_from_edwards(public), "little") in LOW_ORDER_U:
            raise SignatureError
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError, MalformedError) as error:
        raise SignatureError from error
