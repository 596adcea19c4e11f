"""What comes from a home or a path as a blob or a sealed profile, and what is read where the sealing is right."""

from fuzz.engine import read_by
from mepassa.crypto.blob_cipher import HEADER_BYTES, BlobOpener, BlobSealer, BlobStream
from mepassa.crypto.profile_cipher import open_profile, seal_profile
from mepassa.model.errors import RemoteError
from mepassa.model.ids import AccountId
from mepassa.model.profile import Profile
from mepassa.model.secret import SecretBytes
from mepassa.testing.chance import SeededRng
from mepassa.wire.profile import decode_profile, encode_profile

_RANDOM = SeededRng("fuzz").token
_KEY, _ACCOUNT = SecretBytes(bytes(32)), AccountId(bytes(16))
_SEALER = BlobSealer(_RANDOM)
_BLOB = _SEALER.update(b"a small file") + b"".join(_SEALER.finish())
_PROFILE = encode_profile(Profile("Ana"))
SEEDS = [_BLOB, _PROFILE, seal_profile(_KEY, _ACCOUNT, 1, _PROFILE, random=_RANDOM)]


def _stream(data: bytes) -> bytes:
    """Byte by byte where it is cheap, whole where it is not; both end alike."""
    reader, content = BlobStream(_SEALER.reference), b""
    for start in range(0, len(data), 97):
        content += reader.update(data[start : start + 97])
    reader.finish()
    return content


def _chunk(data: bytes) -> bytes:
    return BlobOpener(_SEALER.reference, data[:HEADER_BYTES]).open_chunk(0, data[HEADER_BYTES:])


target = read_by(
    _stream,
    _chunk,
    lambda data: open_profile(_KEY, _ACCOUNT, 1, data),
    decode_profile,
    errors=RemoteError,
)
