"""One node from its start to its end: folder, lock, key, database; then `wiring`, the local API, the services."""

import asyncio
import contextlib
import gc
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import keyring

from mepassa.client.config import NodeConfig
from mepassa.client.folder import NodeFolder
from mepassa.client.root_key import move_root_key_out
from mepassa.client.supervisor import keep_running
from mepassa.model.errors import NotInitialisedError
from mepassa.model.secret import SecretBytes
from mepassa.ports.folder_lock import FolderLock
from mepassa.ports.private_file import write_private
from mepassa.ports.rng import SystemRng
from mepassa.storage import SqlDb, open_database
from mepassa.storage.key import KeyPlace, key_place, load_key

__all__ = ["NodeConfig", "NodeReady", "needs_passphrase", "run_node"]


Services = tuple[Callable[[], Coroutine[None, None, None]], ...]


@dataclass(frozen=True, slots=True)
class NodeReady:
    """What the ready line says: the local API listens, and the node is on its way to its home."""

    api: str
    token_file: Path
    account_id: str


def run_node(config: NodeConfig, ready: Callable[[NodeReady], None]) -> None:
    """Run until SIGTERM or SIGINT. Raises a `LocalError` with one sentence when it cannot start."""
    if sys.platform == "win32":
        asyncio.run(run(config, ready))
    else:
        import uvloop  # noqa: PLC0415 - not on Windows

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(config, ready))


def needs_passphrase(folder: Path) -> bool:
    """Whether this folder's key is wrapped by a passphrase. Raises `NotInitialisedError`."""
    return key_place(folder) is KeyPlace.PASSPHRASE


async def run(config: NodeConfig, ready: Callable[[NodeReady], None]) -> None:
    """Wire, start, serve, stop: in this order, and undone in reverse."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C raises KeyboardInterrupt instead
            loop.add_signal_handler(number, stopping.set)
    folder = NodeFolder(config.data)
    if not folder.database.exists():
        raise NotInitialisedError
    async with contextlib.AsyncExitStack() as cleanup:
        cleanup.enter_context(FolderLock(folder.root))
        db = await open_with_keys(folder, config.passphrase.take())
        cleanup.push_async_callback(db.close)
        if config.max_page_count is not None:
            await db.limit_pages(config.max_page_count)
        # Only now: what it loads takes seconds, and all that a person can mend about the folder has been said by here.
        from mepassa.client.api.server import serving  # noqa: PLC0415 - seconds, which nobody should wait for to hear of a wrong passphrase
        from mepassa.client.wiring import build  # noqa: PLC0415 - as above

        node = await build(config, folder, db, cleanup)
        gc.freeze()  # what was loaded stays: the collector need not walk through all of it again and again
        async with (
            _running(node.services),
            serving(
                node.api,
                node.events,
                node.gate,
                host=config.api_host,
                port=config.api_port,
                version=version("mepassa"),
            ) as url,
        ):
            write_private(folder.api_file, f"{url}\n".encode())
            cleanup.callback(folder.api_file.unlink, missing_ok=True)
            ready(NodeReady(url, folder.token_file, node.account_id))
            await stopping.wait()


async def open_with_keys(folder: NodeFolder, passphrase: SecretBytes | None) -> SqlDb:
    """The database. When this returns, nothing of ours holds the passphrase or the key any more."""
    db = await open_database(folder.database, load_key(folder.root, passphrase=passphrase, keyring=keyring))
    try:
        await move_root_key_out(db, folder.root, SystemRng(), passphrase=passphrase, keyring=keyring)
    except BaseException:
        await db.close()
        raise
    return db


@contextlib.asynccontextmanager
async def _running(services: Services) -> AsyncIterator[None]:
    """All services run while this is open, and run again when one fails."""
    # No task group: it would wrap what the body raises, and that is the one sentence for the person.
    running = [asyncio.create_task(keep_running(service)) for service in services]
    await asyncio.sleep(0)  # each has begun before anybody asks for anything
    try:
        yield
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
