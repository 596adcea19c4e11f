"""Doing a home's proof of work without stopping the event loop, and no more of it than is reasonable."""

import asyncio

from mepassa.model.errors import UnsupportedError
from mepassa.wire.work import WorkPurpose, search_work

INLINE_BITS = 10
"""Up to so many bits (a millisecond) the work is done in place, which a virtual loop needs."""
SLICE = 1 << 16
"""Tries at a time in a thread, which cannot be stopped: whoever gives up is rid of it in a twentieth of a second."""
MAX_BITS = {WorkPurpose.DEPOSIT: 22, WorkPurpose.FETCH: 22, WorkPurpose.REGISTER: 24}
"""What a home may ask for: some 4 s of a core for a message or a look-up, which a home that one has never chosen asks for;
some 17 s once, for an account at a home of one's own choice. (A home of ours asks for 18, 18 and 20.)"""
PATIENCE = 16
"""Times the expected number of tries, then it is given up: by honest chance one in nine million goes that far."""


async def solve(home_nonce: bytes, purpose: WorkPurpose, subject: bytes, bits: int) -> int:
    """Raises `UnsupportedError` for a home that asks for more than `MAX_BITS`. Cancelling stops it soon."""
    if bits > MAX_BITS[purpose]:
        raise UnsupportedError("That server asks strangers for too much work.")
    most = PATIENCE << bits
    for begin in range(0, most, SLICE):
        tries = range(begin, min(begin + SLICE, most))
        if bits <= INLINE_BITS:
            found = search_work(home_nonce, purpose, subject, bits, tries)
        else:
            found = await asyncio.to_thread(search_work, home_nonce, purpose, subject, bits, tries)
        if found is not None:
            return found
    raise UnsupportedError("That server asks strangers for too much work.")
