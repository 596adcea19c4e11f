"""Sealing large content (docs/protocol/blobs.md): AES-256-GCM in 64 KiB chunks, each of which opens alone.

After STREAM (Hoang, Reyhanitabar, Rogaway, Vizár, 2015): a chunk's nonce is its number and whether it is the last, so
none can be moved, left out or added. A blob's key is for that blob alone; the header commits to it, so that no blob
opens under two keys. Sizes hide in Padmé's classes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mepassa.crypto.errors import AuthenticationError, InvalidMessageError
from mepassa.crypto.padding import padme_size
from mepassa.crypto.primitives import ZERO_SALT, RandomBytes, equal, hkdf
from mepassa.model.errors import InvalidInputError, TooLargeError
from mepassa.model.secret import SecretBytes

CHUNK_BYTES = 64 * 1024
"""Content of one chunk: what a reader holds at once, and the grain of random access. The tag costs 0.02 %."""
TAG_BYTES = 16
HEADER_BYTES = 1 + 32
"""Version, then the commitment to the key."""
KEY_BYTES = 32
SMALLEST_BYTES = 1024
"""Content is padded to at least this: under it Padmé would tell the size of a text or a thumbnail nearly exactly."""
MAX_BLOB_BYTES = 4 * 1024**3
"""Content of one blob. Chunk numbers would reach further; what nobody sends need not be read."""

_VERSION = b"\x01"
_INFO = b"mepassa blob 1"


@dataclass(frozen=True, slots=True)
class BlobReference:
    """What opens a blob, and fixes its exact length: travels inside an encrypted message. `size_bytes` is the content's.

    Raises `InvalidMessageError` for a size or key that no sealer makes.
    """

    key: SecretBytes
    size_bytes: int

    def __post_init__(self) -> None:
        if not 0 <= self.size_bytes <= MAX_BLOB_BYTES or len(self.key) != KEY_BYTES:
            raise InvalidMessageError

    @property
    def padded_bytes(self) -> int:
        return padded_size(self.size_bytes)

    @property
    def sealed_bytes(self) -> int:
        """The whole blob's length: another one is another blob's, or damaged."""
        return HEADER_BYTES + self.padded_bytes + TAG_BYTES * self.chunks

    @property
    def chunks(self) -> int:
        return -(-self.padded_bytes // CHUNK_BYTES)

    def place(self, number: int) -> tuple[int, int]:
        """Where chunk `number` begins and ends in the blob. Raises `InvalidInputError` when there is none."""
        if not 0 <= number < self.chunks:
            raise InvalidInputError("This blob has no such chunk.")
        start = HEADER_BYTES + number * (CHUNK_BYTES + TAG_BYTES)
        return start, min(start + CHUNK_BYTES + TAG_BYTES, self.sealed_bytes)

    def chunks_of(self, start: int, stop: int) -> range:
        """The chunks that hold the content's bytes `start` up to, not with, `stop`."""
        start, stop = max(0, start), min(stop, self.size_bytes)
        return range(start // CHUNK_BYTES, -(-stop // CHUNK_BYTES)) if start < stop else range(0)


def padded_size(size_bytes: int) -> int:
    return max(SMALLEST_BYTES, padme_size(size_bytes))


class BlobSealer:
    """Seals one blob as its content comes: `update` with each piece, then `finish`; what both give out is the blob.

    Makes its own key, so that no key seals twice. Holds at most one chunk besides the piece it is given.
    """

    def __init__(self, random: RandomBytes) -> None:
        self._key = SecretBytes(random(KEY_BYTES))
        self._chunks, commitment = _open_key(self._key)
        self._out: bytes = _VERSION + commitment
        self._waiting = bytearray()
        self._number = self._size_bytes = 0
        self._reference: BlobReference | None = None

    @property
    def reference(self) -> BlobReference:
        """After `finish`."""
        if self._reference is None:
            raise RuntimeError("finish() comes first")
        return self._reference

    def update(self, content: bytes) -> bytes:
        """The next bytes of the blob, perhaps none. Raises `TooLargeError`."""
        if self._reference is not None:
            raise RuntimeError("this blob is finished")
        if (size_bytes := self._size_bytes + len(content)) > MAX_BLOB_BYTES:
            raise TooLargeError(size_bytes, MAX_BLOB_BYTES)
        self._size_bytes = size_bytes
        self._waiting += content
        out, self._out = [self._out], b""
        # A full chunk waits as well until there is more: it may be the last.
        while len(self._waiting) > CHUNK_BYTES:
            out.append(self._seal(bytes(self._waiting[:CHUNK_BYTES]), last=False))
            del self._waiting[:CHUNK_BYTES]
        return b"".join(out)

    def finish(self) -> Iterator[bytes]:
        """The rest of the blob, chunk by chunk: what waits, and the padding."""
        if self._reference is not None:
            raise RuntimeError("this blob is finished")
        self._reference = BlobReference(self._key, self._size_bytes)
        return self._rest(self._reference)

    def _rest(self, reference: BlobReference) -> Iterator[bytes]:
        out, self._out = self._out, b""
        left = reference.padded_bytes - self._number * CHUNK_BYTES
        while left > 0:
            size = min(left, CHUNK_BYTES)
            chunk, self._waiting = bytes(self._waiting).ljust(size, b"\x00"), bytearray()
            left -= size
            yield out + self._seal(chunk, last=left == 0)
            out = b""

    def _seal(self, chunk: bytes, *, last: bool) -> bytes:
        sealed = self._chunks.encrypt(_nonce(self._number, last=last), chunk, None)
        self._number += 1
        return sealed


class BlobOpener:
    """Opens any chunk of a blob. Raises `AuthenticationError` when the header is another key's."""

    def __init__(self, reference: BlobReference, header: bytes) -> None:
        """`header`: the blob's first `HEADER_BYTES`. Raises also `InvalidMessageError` for another version."""
        if len(header) != HEADER_BYTES or header[:1] != _VERSION:
            raise InvalidMessageError
        self._chunks, commitment = _open_key(reference.key)
        if not equal(commitment, header[1:]):
            raise AuthenticationError
        self._reference = reference

    def open_chunk(self, number: int, sealed: bytes) -> bytes:
        """The content of chunk `number` (up to 64 KiB, without padding), from exactly its bytes.

        Raises `AuthenticationError` for other bytes, `InvalidMessageError` when the padding is not zeros.
        """
        start, stop = self._reference.place(number)
        if len(sealed) != stop - start:
            raise AuthenticationError
        try:
            chunk = self._chunks.decrypt(_nonce(number, last=number == self._reference.chunks - 1), sealed, None)
        except InvalidTag:
            raise AuthenticationError from None
        length = max(0, self._reference.size_bytes - number * CHUNK_BYTES)
        if chunk[length:].strip(b"\x00"):
            raise InvalidMessageError
        return chunk[:length]


class BlobStream:
    """Opens a blob as it comes: `update` with each piece, then `finish`. Gives out nothing that is not proven.

    Holds at most one chunk besides the piece it is given. Raises `AuthenticationError` and `InvalidMessageError`.
    """

    def __init__(self, reference: BlobReference) -> None:
        self._reference = reference
        self._opener: BlobOpener | None = None
        self._waiting = bytearray()
        self._number = 0

    def update(self, sealed: bytes) -> bytes:
        """The next bytes of the content, perhaps none."""
        self._waiting += sealed
        if self._opener is None:
            if len(self._waiting) < HEADER_BYTES:
                return b""
            self._opener = BlobOpener(self._reference, bytes(self._waiting[:HEADER_BYTES]))
            del self._waiting[:HEADER_BYTES]
        content: list[bytes] = []
        while self._number < self._reference.chunks:
            start, stop = self._reference.place(self._number)
            if len(self._waiting) < stop - start:
                return b"".join(content)
            content.append(self._opener.open_chunk(self._number, bytes(self._waiting[: stop - start])))
            del self._waiting[: stop - start]
            self._number += 1
        if self._waiting:
            raise AuthenticationError
        return b"".join(content)

    def finish(self) -> None:
        """Raises `AuthenticationError` unless the whole blob has come."""
        if self._number < self._reference.chunks:
            raise AuthenticationError


def _open_key(key: SecretBytes) -> tuple[AESGCM, bytes]:
    """The chunks' cipher and the commitment."""
    derived = hkdf(ZERO_SALT, key.expose(), _INFO, 64)
    return AESGCM(derived[:32]), derived[32:]


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])
