"""Doing a home's proof of work without stopping the event loop."""

import asyncio

from mepassa.model.errors import UnsupportedError
from mepassa.wire.work import WorkPurpose, solve_work

INLINE_BITS = 10
"""Up to so many bits (a millisecond) the work is done in place, which a virtual loop needs."""
MAX_BITS = 24
"""A home that asks for more than about a quarter of a minute asks for too much."""


async def solve(home_nonce: bytes, purpose: WorkPurpose, subject: bytes, bits: int) -> int:
    """Raises `UnsupportedError` for a home that asks for more than `MAX_BITS`."""
    if bits > MAX_BITS:
        raise UnsupportedError("That server asks strangers for too much work.")
    if bits <= INLINE_BITS:
        return solve_work(home_nonce, purpose, subject, bits)
    return await asyncio.to_thread(solve_work, home_nonce, purpose, subject, bits)
