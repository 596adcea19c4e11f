"""A profile's own bytes, before they are sealed (docs/protocol/blobs.md, "Profile")."""

from mepassa.model.profile import Profile
from mepassa.wire.codec import Codec

MAX_PROFILE_BYTES = 2_019
"""What fits the largest sealed profile (`crypto.profile_cipher`)."""

_PROFILE: Codec[Profile] = Codec(Profile, limit_bytes=MAX_PROFILE_BYTES)


def encode_profile(profile: Profile) -> bytes:
    return _PROFILE.encode(profile)


def decode_profile(data: bytes) -> Profile:
    """Raises `TooLargeError` or `MalformedError`, and nothing else."""
    return _PROFILE.decode(data)
