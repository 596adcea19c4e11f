"""The symmetric tools: HMAC and HKDF over SHA-256, AES-256 in CBC and CTR mode (RFC 2104, RFC 5869, SP 800-38A)."""

import hmac
from collections.abc import Callable
from hashlib import sha256

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, CTR
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mepassa.crypto.errors import InvalidMessageError

RandomBytes = Callable[[int], bytes]
"""n -> n unpredictable bytes: `os.urandom`, or the `token` of an `Rng`. Chance is an argument."""

ZERO_SALT = bytes(32)
"""HKDF's salt when there is none (RFC 5869 §2.2)."""

_SHA256 = SHA256()

_BLOCK_BYTES = 64
_INNER_PAD = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD = bytes(byte ^ 0x5C for byte in range(256))
"""HMAC's two pads as tables for `bytes.translate`: every byte of a key XOR 0x36 or 0x5C."""

_PADDING = tuple(bytes((size,)) * size for size in range(17))
"""PKCS7's paddings by size; 0 is none."""

equal = hmac.compare_digest
"""Constant-time comparison: for every MAC, tag and secret."""


def hmac_sha256(key: bytes, data: bytes) -> bytes:
    """RFC 2104 §2 as it stands there. `hmac.digest` gives the same and takes half as long again: for every call OpenSSL
    looks the hash up by name and builds a context. A message makes six."""
    block = (key if len(key) <= _BLOCK_BYTES else sha256(key).digest()).ljust(_BLOCK_BYTES, b"\x00")
    inner = sha256(block.translate(_INNER_PAD) + data).digest()
    return sha256(block.translate(_OUTER_PAD) + inner).digest()


def kdf_ck(chain_key: bytes) -> tuple[bytes, bytes]:
    """(next chain key, seed of a message's keys): KDF_CK of the Double Ratchet (§2.2, §5.2) and of sender keys, two HMACs
    under one key, whose pads are made once."""
    block = chain_key.ljust(_BLOCK_BYTES, b"\x00")
    inner_pad, outer_pad = block.translate(_INNER_PAD), block.translate(_OUTER_PAD)
    seed = sha256(outer_pad + sha256(inner_pad + b"\x01").digest()).digest()
    return sha256(outer_pad + sha256(inner_pad + b"\x02").digest()).digest(), seed


def hkdf(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    return HKDF(_SHA256, length, salt, info).derive(secret)


def encrypt_cbc(key: bytes, iv: bytes, plaintext: bytes) -> bytes:
    """AES-256-CBC with PKCS7 padding."""
    encryptor = Cipher(AES(key), CBC(iv)).encryptor()
    return encryptor.update(plaintext + _PADDING[16 - len(plaintext) % 16]) + encryptor.finalize()


def decrypt_cbc(key: bytes, iv: bytes, ciphertext: bytes) -> bytes:
    """Raises `InvalidMessageError` for bad length or padding; call it only after the MAC has passed."""
    if not ciphertext or len(ciphertext) % 16:
        raise InvalidMessageError
    decryptor = Cipher(AES(key), CBC(iv)).decryptor()
    padded = decryptor.update(ciphertext) + decryptor.finalize()
    padding = padded[-1]
    if not 1 <= padding <= 16 or not padded.endswith(_PADDING[padding]):
        raise InvalidMessageError
    return padded[:-padding]


def apply_ctr(key: bytes, data: bytes) -> bytes:
    """AES-256-CTR from a zero counter, both ways: every key is used for one message only."""
    encryptor = Cipher(AES(key), CTR(bytes(16))).encryptor()
    return encryptor.update(data) + encryptor.finalize()
