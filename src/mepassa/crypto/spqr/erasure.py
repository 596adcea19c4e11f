"""The erasure code: any n different chunks of a message of n chunks bring it back.

GF(2^16) modulo x^16+x^12+x^3+x+1. 16-bit word w of the message belongs to polynomial w mod 16 and is its value at
x = w div 16; chunk k holds the 16 polynomials' values at x = k. So chunks below n are the message itself.
Table look-ups by value are fine here: everything in this module is public.
"""

from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from mepassa.crypto.records import Reader, Writer
from mepassa.crypto.spqr.message import CHUNK_BYTES, MAX_CHUNK_NUMBER, Chunk
from mepassa.model.state import State

Words = NDArray[np.int64]

ORDER = 65_535
"""Of the multiplicative group, which x (= 2) generates."""
_LOG_OF_ZERO = 2 * ORDER
"""A logarithm so large that any product with it falls into the zeros at the end of the exponent table."""


BLOCK = 64
"""Parity chunks that are computed at a time; a side that hears nothing back sends one after the other."""


@cache
def _tables() -> tuple[NDArray[np.uint16], Words]:
    """(exponents, logarithms): exponents repeat once, then zeros, so that a sum of two logarithms needs no test.

    Exponents lie in memory most significant byte first, whatever the machine: XOR does not mind, and no result need be
    turned round on its way to the wire.
    """
    powers = _powers()
    exponents = np.zeros(4 * ORDER + 1, ">u2")
    exponents[:ORDER] = exponents[ORDER : 2 * ORDER] = powers
    logarithms = np.zeros(ORDER + 1, np.int64)
    logarithms[powers] = np.arange(ORDER)
    logarithms[0] = _LOG_OF_ZERO
    return exponents.view(np.uint16), logarithms


def _powers() -> Words:
    """x^0 to x^65534. The polynomial says x^16 = x^12 + x^3 + x + 1, and squaring it s = 1, 2, 4… times over that
    x^(i+16s) = x^(i+12s) + x^(i+3s) + x^(i+s) + x^i: the more is known, the more comes in one go."""
    powers = np.zeros(ORDER, np.int64)
    powers[:16] = 1 << np.arange(16)
    known, s = 16, 1
    while known < ORDER:
        if 32 * s <= known:
            s *= 2
        i = np.arange(known, min(known + 4 * s, ORDER)) - 16 * s
        powers[i + 16 * s] = powers[i + 12 * s] ^ powers[i + 3 * s] ^ powers[i + s] ^ powers[i]
        known += 4 * s
    return powers


def multiply(a: int, b: int) -> int:
    exponents, logarithms = _tables()
    return int.from_bytes(exponents[logarithms[a] + logarithms[b]].tobytes(), "big")


def _interpolate(points: Words, values: Words, wanted: Words) -> list[bytes]:
    """The chunks at the m `wanted` places of the 16 polynomials that take `values` (n x 16) at the n `points`.

    Lagrange in logarithms. `wanted` holds none of `points`.
    """
    exponents, logarithms = _tables()
    between = logarithms[points[:, None] ^ points[None, :]]
    np.fill_diagonal(between, 0)
    to_wanted = logarithms[wanted[:, None] ^ points[None, :]]
    coefficients = (to_wanted.sum(1)[:, None] - to_wanted - between.sum(1)[None, :]) % ORDER
    products = exponents[coefficients[:, :, None] + logarithms[values][None, :, :]]
    return [row.tobytes() for row in np.bitwise_xor.reduce(products, axis=1)]


def _words(data: bytes) -> Words:
    return np.frombuffer(data, ">u2").astype(np.int64).reshape(-1, 16)


@lru_cache(maxsize=64)
def _prepared(message: bytes) -> tuple[Words, Words]:
    """(points 0..n-1, logarithms of word / product of differences, n x 16): what every parity chunk starts from.

    A side that hears nothing back sends many parity chunks of one message; the message is public.
    """
    logarithms = _tables()[1]
    words = _words(message)
    points = np.arange(len(words))
    between = logarithms[points[:, None] ^ points[None, :]]
    np.fill_diagonal(between, 0)
    scaled = (logarithms[words] - between.sum(1)[:, None]) % ORDER
    return points, np.where(words == 0, _LOG_OF_ZERO, scaled)


@lru_cache(maxsize=64)
def _parity_block(message: bytes, block: int) -> tuple[bytes, ...]:
    """Chunks BLOCK·block and the rest of that block by Lagrange, in one go: nearly as cheap as one. Those below n are not meant."""
    exponents, logarithms = _tables()
    points, scaled = _prepared(message)
    wanted = np.arange(BLOCK * block, BLOCK * (block + 1))
    differences = logarithms.take(wanted[:, None] ^ points[None, :])
    coefficients = (differences.sum(1)[:, None] - differences) % ORDER
    products = exponents.take(coefficients[:, :, None] + scaled[None, :, :])
    chunks = np.bitwise_xor.reduce(products, axis=1).tobytes()
    return tuple(chunks[start : start + CHUNK_BYTES] for start in range(0, len(chunks), CHUNK_BYTES))


class Encoder(State, frozen=True):
    """`message` is a multiple of 32 bytes; `next` is the number of the chunk that goes out next."""

    message: bytes
    next: int = 0

    def chunk(self) -> tuple["Encoder", Chunk]:
        """The chunk that goes out now, and the encoder for the one after it; after 65 535 comes 0 again."""
        return Encoder(self.message, (self.next + 1) & MAX_CHUNK_NUMBER), self.chunk_at(self.next)

    def chunk_at(self, number: int) -> Chunk:
        start = number * CHUNK_BYTES
        if start < len(self.message):
            return Chunk(number, self.message[start : start + CHUNK_BYTES])
        return Chunk(number, _parity_block(self.message, number // BLOCK)[number % BLOCK])

    def write(self, out: Writer) -> None:
        out.block(self.message)
        out.uint(self.next)

    @classmethod
    def read(cls, saved: Reader, size: int) -> "Encoder":
        return cls(saved.block(size), saved.uint(MAX_CHUNK_NUMBER))


class Decoder(State, frozen=True):
    """`needed` chunks make the message; `chunks` are those that came, by number. Treated as immutable."""

    needed: int
    chunks: dict[int, bytes]

    def add(self, chunk: Chunk) -> "Decoder":
        """With one chunk more; the first of a number wins, and nothing is kept past what is needed."""
        if chunk.number in self.chunks or len(self.chunks) >= self.needed:
            return self
        return Decoder(self.needed, {**self.chunks, chunk.number: chunk.data})

    def message(self) -> bytes | None:
        """The message once enough chunks are there."""
        if len(self.chunks) < self.needed:
            return None
        missing = [number for number in range(self.needed) if number not in self.chunks]
        found = dict(self.chunks)
        if missing:
            points = np.array(list(self.chunks))
            values = _words(b"".join(self.chunks.values()))
            restored = _interpolate(points, values, np.array(missing))
            found.update(zip(missing, restored, strict=True))
        return b"".join(found[number] for number in range(self.needed))

    def write(self, out: Writer) -> None:
        out.keyed(self.chunks)

    @classmethod
    def read(cls, saved: Reader, needed: int) -> "Decoder":
        return cls(needed, saved.keyed(CHUNK_BYTES, needed))
