"""Proof of work: what a stranger pays instead of showing a token (docs/protocol/home.md, "Work").

A solution is a number whose hash, together with the home's nonce of this connection and what it is for, begins with
enough zero bits. The nonce makes it worthless on another connection, the subject for another deposit.
"""

import hashlib
from enum import IntEnum

CONTEXT = b"mepassa work 1\x00"


class WorkPurpose(IntEnum):
    DEPOSIT = 1
    FETCH = 2
    REGISTER = 3


def work_subject(*parts: bytes) -> bytes:
    """The parts of what the work is for, hashed with their lengths, 32 bytes."""
    return hashlib.sha256(b"".join(len(part).to_bytes(4) + part for part in parts)).digest()


def _prefix(home_nonce: bytes, purpose: WorkPurpose, subject: bytes) -> bytes:
    return CONTEXT + home_nonce + bytes([purpose]) + subject


def verify_work(home_nonce: bytes, purpose: WorkPurpose, subject: bytes, bits: int, solution: int) -> bool:
    """Whether `solution` (0 ≤ it < 2^63) has `bits` leading zero bits. One hash."""
    digest = hashlib.sha256(_prefix(home_nonce, purpose, subject) + solution.to_bytes(8)).digest()
    return int.from_bytes(digest) >> (256 - bits) == 0 if bits else True


def search_work(home_nonce: bytes, purpose: WorkPurpose, subject: bytes, bits: int, tries: range) -> int | None:
    """The first solution in `tries`; one is found in about 2^bits, a microsecond each."""
    state = hashlib.sha256(_prefix(home_nonce, purpose, subject))
    for solution in tries:
        attempt = state.copy()
        attempt.update(solution.to_bytes(8))
        if not bits or int.from_bytes(attempt.digest()) >> (256 - bits) == 0:
            return solution
    return None
