"""Keeps the node's services running. What strangers send must never end the node, not even by a bug of ours."""

import asyncio
import logging
from collections.abc import Callable, Coroutine

log = logging.getLogger("mepassa.node")

PAUSES_S = (0.5, 30.0)
"""Before a service that has failed runs again: at first, and at most. It doubles while it fails at once."""
WELL_AFTER_S = 60.0
"""A service that ran for so long has recovered from what made it fail before."""


async def keep_running(service: Callable[[], Coroutine[None, None, None]]) -> None:
    """Until cancelled: run `service`, and run it again after a pause when it raises or returns."""
    loop = asyncio.get_running_loop()
    first_s, longest_s = PAUSES_S
    pause_s = first_s
    while True:
        begun = loop.time()
        try:
            await service()
        except Exception as error:
            log.exception("service.failed", extra={"errors": ", ".join(_names(error))})
        if loop.time() - begun >= WELL_AFTER_S:
            pause_s = first_s
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, longest_s)


def _names(error: BaseException) -> list[str]:
    """The classes of all that was raised: a task group wraps its tasks' errors."""
    if isinstance(error, BaseExceptionGroup):
        return [name for each in error.exceptions for name in _names(each)]
    return [type(error).__name__]
