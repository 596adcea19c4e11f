"""ML-KEM-768 with encapsulation in two halves (ML-KEM Braid, "Incremental KEM"; FIPS 203 for every step).

No library offers the split; key generation and decapsulation are stock. What touches secrets (y, e1, e2, m) has no
branch, no table index and no division that depends on them: numpy in int64, Barrett reduction, masks. Only the sampling
of the public matrix rejects and branches.
"""

import hashlib
from functools import cache

import numpy as np
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from numpy.typing import NDArray

from mepassa.crypto.errors import SpqrError
from mepassa.crypto.primitives import RandomBytes, equal

Poly = NDArray[np.int64]

Q = 3329
K = 3
SEED_BYTES = 64
"""d + z of FIPS 203: all that is kept of a key pair."""
HEADER_BYTES = 64
EK_VECTOR_BYTES = 1152
CT1_BYTES = 960
CT2_BYTES = 128
ENCAPSULATION_BYTES = 64
"""m and r, kept between the two halves."""


# --- the ek side: stock ------------------------------------------------------------------------------------------------


def generate_keys(random: RandomBytes) -> tuple[bytes, bytes, bytes]:
    """(seed 64 B, header 64 B, ek vector 1152 B). Header = rho + SHA3-256 of the standard encapsulation key."""
    seed = random(SEED_BYTES)
    header, ek_vector = public_parts(seed)
    return seed, header, ek_vector


def public_parts(seed: bytes) -> tuple[bytes, bytes]:
    """(header 64 B, ek vector 1152 B)."""
    public = MLKEM768PrivateKey.from_seed_bytes(seed).public_key().public_bytes_raw()
    return public[EK_VECTOR_BYTES:] + hashlib.sha3_256(public).digest(), public[:EK_VECTOR_BYTES]


def decapsulate(seed: bytes, ct1: bytes, ct2: bytes) -> bytes:
    """The plain FIPS 203 shared secret, 32 bytes."""
    return MLKEM768PrivateKey.from_seed_bytes(seed).decapsulate(ct1 + ct2)


# --- the ct side: split ------------------------------------------------------------------------------------------------


def encapsulate_1(header: bytes, random: RandomBytes) -> tuple[bytes, bytes, bytes]:
    """(shared secret 32 B, ct1 960 B, m + r 64 B), from the 64-byte header alone."""
    m = random(32)
    rho, key_hash = header[:32], header[32:]
    secrets = hashlib.sha3_512(m + key_hash).digest()
    shared_secret, r = secrets[:32], secrets[32:]
    y = _ntt(_cbd2(r, range(K)))
    product = _multiply(_transposed_matrix(rho), y[None, :, :])
    u = _reduce(_inverse_ntt(_reduce(product.sum(1))) + _cbd2(r, range(K, 2 * K)))
    ct1 = _pack(_compress_10(u), 10)
    return shared_secret, ct1, m + r


def encapsulate_2(ek_vector: bytes, m_and_r: bytes) -> bytes:
    """ct2, 128 bytes. `ek_vector` has passed `check_ek_vector`."""
    m, r = m_and_r[:32], m_and_r[32:]
    t_hat = _unpack(ek_vector, 12).reshape(K, 256)
    y = _ntt(_cbd2(r, range(K)))
    product = _inverse_ntt(_reduce(_multiply(t_hat, y).sum(0)[None, :]))
    v = _reduce(product[0] + _cbd2(r, range(2 * K, 2 * K + 1))[0] + _unpack(m, 1) * 1665)
    return _pack(_compress_4(v), 4)


def check_ek_vector(ek_vector: bytes, header: bytes) -> None:
    """That the vector is the one the header promised, and its coefficients are below q. Raises `SpqrError`."""
    if not equal(hashlib.sha3_256(ek_vector + header[:32]).digest(), header[32:]):
        raise SpqrError
    if not bool((_unpack(ek_vector, 12) < Q).all()):
        raise SpqrError


# --- arithmetic mod q --------------------------------------------------------------------------------------------------


def _reduce(a: Poly) -> Poly:
    """a mod q for 0 <= a < 2^26 (the tests go through all of them), without division or branch."""
    rest = a - ((a * 10_321_334) >> 35) * Q
    rest = rest + (Q & (rest >> 63))
    rest = rest - Q
    reduced: Poly = rest + (Q & (rest >> 63))
    return reduced


def _compress_10(x: Poly) -> Poly:
    """round(x · 2^10 / q) mod 2^10 for 0 <= x < q."""
    return (((x << 10) + 1665) * 1_290_167 >> 32) & 1023


def _compress_4(x: Poly) -> Poly:
    """round(x · 2^4 / q) mod 2^4 for 0 <= x < q."""
    return (((x << 4) + 1665) * 80_635 >> 28) & 15


def _bit_reverse_7(i: int) -> int:
    return int(f"{i:07b}"[::-1], 2)


@cache
def _zetas() -> Poly:
    """17^BitRev7(i) mod q, i = 0..127 (FIPS 203, appendix A)."""
    return np.array([pow(17, _bit_reverse_7(i), Q) for i in range(128)], np.int64)


@cache
def _gammas() -> Poly:
    """17^(2·BitRev7(i)+1) mod q (FIPS 203, appendix A)."""
    return np.array([pow(17, 2 * _bit_reverse_7(i) + 1, Q) for i in range(128)], np.int64)


def _ntt(polys: Poly) -> Poly:
    """Algorithm 9, for all rows (n x 256) at once."""
    count = len(polys)
    length = 128
    while length >= 2:
        blocks = 256 // (2 * length)
        pairs = polys.reshape(count, blocks, 2, length)
        t = _reduce(pairs[:, :, 1] * _zetas()[blocks : 2 * blocks, None])
        polys = _reduce(np.stack((pairs[:, :, 0] + t, pairs[:, :, 0] - t + Q), 2)).reshape(count, 256)
        length //= 2
    return polys


def _inverse_ntt(polys: Poly) -> Poly:
    """Algorithm 10, for all rows (n x 256) at once."""
    count = len(polys)
    length = 2
    while length <= 128:
        blocks = 256 // (2 * length)
        pairs = polys.reshape(count, blocks, 2, length)
        zetas = _zetas()[blocks : 2 * blocks][::-1, None]
        total = pairs[:, :, 0] + pairs[:, :, 1]
        polys = _reduce(np.stack((total, zetas * (pairs[:, :, 1] - pairs[:, :, 0] + Q)), 2)).reshape(count, 256)
        length *= 2
    return _reduce(polys * 3303)


def _multiply(a: Poly, b: Poly) -> Poly:
    """Algorithm 11 (products in the NTT domain), for the last axis; the others are broadcast."""
    a0, a1, b0, b1 = a[..., 0::2], a[..., 1::2], b[..., 0::2], b[..., 1::2]
    low = _reduce(a0 * b0 + _reduce(a1 * b1) * _gammas())
    high = _reduce(a0 * b1 + a1 * b0)
    return np.stack((low, high), -1).reshape(*low.shape[:-1], 256)


def _cbd2(r: bytes, nonces: range) -> Poly:
    """Algorithm 8 with eta = 2 over PRF(r, nonce) = SHAKE256(r + nonce, 128 B), one row a nonce."""
    stream = b"".join(hashlib.shake_256(r + bytes((nonce,))).digest(128) for nonce in nonces)
    bits = np.unpackbits(np.frombuffer(stream, np.uint8), bitorder="little").astype(np.int64)
    quads: Poly = bits.reshape(len(nonces), 256, 4)
    return _reduce(quads[:, :, 0] + quads[:, :, 1] - quads[:, :, 2] - quads[:, :, 3] + Q)


def _transposed_matrix(rho: bytes) -> Poly:
    """A-hat transposed, 3 x 3 x 256: element (i, j) from SHAKE128(rho + i + j). Public."""
    return np.stack([_sample_ntt(rho + bytes((i, j))) for i in range(K) for j in range(K)]).reshape(K, K, 256)


def _sample_ntt(seed: bytes) -> Poly:
    """Algorithm 7, by rejection; 840 bytes nearly always suffice."""
    size = 840
    while True:
        triples = np.frombuffer(hashlib.shake_128(seed).digest(size), np.uint8).astype(np.int64).reshape(-1, 3)
        first = triples[:, 0] + 256 * (triples[:, 1] & 15)
        second = (triples[:, 1] >> 4) + 16 * triples[:, 2]
        candidates = np.stack((first, second), 1).reshape(-1)
        accepted = candidates[candidates < Q]
        if len(accepted) >= 256:
            return accepted[:256]
        size += 168


def _pack(coefficients: Poly, bits: int) -> bytes:
    """Algorithm 5 (ByteEncode), over all rows."""
    spread = (coefficients.reshape(-1, 1) >> np.arange(bits)) & 1
    return np.packbits(spread.astype(np.uint8).reshape(-1), bitorder="little").tobytes()


def _unpack(data: bytes, bits: int) -> Poly:
    """Algorithm 6 (ByteDecode), without the reduction."""
    spread = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little").astype(np.int64)
    coefficients: Poly = (spread.reshape(-1, bits) << np.arange(bits)).sum(1)
    return coefficients
