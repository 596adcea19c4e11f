"""A link on a byte stream: the machine of `machine.py`, driven by asyncio and told to a `LinkHandler`."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable
from functools import partial
from typing import Protocol

from mepassa.identity import LinkRole
from mepassa.model.envelope import SealedEnvelope
from mepassa.model.errors import LinkLostError, PathRefusedError, RemoteError, TransientError
from mepassa.model.ids import Address, EnvelopeId
from mepassa.ports.transport import LinkFacts, LinkHandler, LinkIdentity
from mepassa.transports.link.links import LinkSet
from mepassa.transports.link.machine import (
    CloseCause,
    EnvelopeAcknowledged,
    EnvelopeReceived,
    LinkClosed,
    LinkEvent,
    LinkMachine,
    LinkOpened,
    LinkState,
    LinkTiming,
)
from mepassa.wire.link import MAX_RECORD_BYTES, ByeReason

MAX_IN_FLIGHT = 32
"""Envelopes sent and not yet acknowledged, a link. More wait in `send`: 32 × 36 KiB is all that a dead path can hold."""
MAX_UNTAKEN = 64
"""Envelopes received and not yet taken by the handler. Past it nothing is read: the sender feels it."""
LAST_WORD_S = 1.0
"""How long a bye may take to leave before the stream is closed over it."""

log = logging.getLogger(__name__)


class ByteStream(Protocol):
    """What a link needs of a secure channel: ordered bytes both ways. Calls of one direction do not overlap."""

    async def read(self, limit_bytes: int) -> bytes:
        """1 to `limit_bytes` bytes as soon as there are any; b"" at the end. Raises `LinkLostError` or `OSError`."""
        ...

    def write(self, data: bytes) -> Awaitable[None]:
        """Awaited until the channel took it (back-pressure). Raises `LinkLostError` or `OSError`, when awaited."""
        ...

    async def close(self) -> None:
        """Idempotent, does not wait for the peer: a pending read returns or raises; bytes taken before may still arrive."""
        ...


class HelloRefusedError(RemoteError):
    sentence = "The other side of the path did not prove to be the expected device."


class LinkSession:
    """One link from its first byte to its end; implements `ports.transport.Link`.

    Whoever makes it runs `run()` as a task of its own and must run it: it owns `stream` and closes it.
    `peer` is required when dialling; None when answering takes any device that `identity.peer_key` knows.
    `links` is told when the link opens and ends.
    """

    def __init__(
        self,
        stream: ByteStream,
        *,
        role: LinkRole,
        identity: LinkIdentity,
        handler: LinkHandler,
        binding: bytes,
        facts: LinkFacts,
        peer: Address | None = None,
        timing: LinkTiming | None = None,
        links: LinkSet | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._timing = timing or LinkTiming()
        self._machine = LinkMachine(
            role=role, identity=identity, binding=binding, peer=peer, timing=self._timing, now=self._loop.time()
        )
        self._stream, self._handler, self._facts, self._links = stream, handler, facts, links
        self._own = identity.own
        self._timer: asyncio.TimerHandle | None = None
        self._to_write = asyncio.Event()
        self._writing: asyncio.Future[None] | None = None
        self._told: asyncio.Queue[LinkEvent] = asyncio.Queue()
        self._untaken = 0
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._free_slots = MAX_IN_FLIGHT
        self._turns: deque[asyncio.Future[None]] = deque()
        """Of those who wait for a slot."""
        self._waiting: dict[EnvelopeId, list[asyncio.Future[bool]]] = {}
        """Those who wait for an acknowledgement."""
        self._idle = asyncio.Event()
        self._idle.set()
        self._settled = asyncio.Event()
        self._was_opened = False
        self._over = asyncio.Event()
        self._done = asyncio.Event()
        self._cause: CloseCause | None = None
        self._silenced = False
        self._teller: asyncio.Task[None] | None = None
        self._retirement: asyncio.Task[None] | None = None
        self._tasks: asyncio.TaskGroup | None = None

    # --- what ports.transport.Link says -------------------------------------------------------------------------------

    @property
    def peer(self) -> Address:
        peer = self._machine.peer
        if peer is None:
            raise LinkLostError("This link has not been opened.")
        return peer

    @property
    def own(self) -> Address:
        return self._own

    @property
    def facts(self) -> LinkFacts:
        return self._facts

    @property
    def srtt_s(self) -> float | None:
        return self._machine.srtt_s

    @property
    def is_open(self) -> bool:
        """Both hellos verified, not ended. A silenced link is open: that is the point of it."""
        return self._machine.state is LinkState.OPEN

    @property
    def cause(self) -> CloseCause | None:
        """Why it ended; None while it lives."""
        return self._cause

    def send(self, envelope: SealedEnvelope) -> Awaitable[bool]:
        if not self._free_slots or not self.is_open:
            return self._send_in_turn(envelope)
        self._free_slots -= 1
        return self._put(envelope)

    async def _send_in_turn(self, envelope: SealedEnvelope) -> bool:
        """When the link has room: first come, first served."""
        if not self.is_open:
            raise LinkLostError
        turn: asyncio.Future[None] = self._loop.create_future()
        self._turns.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._release_slot()  # it had been given to us a moment before
            raise
        return await self._put(envelope)

    def _put(self, envelope: SealedEnvelope) -> "asyncio.Future[bool]":
        """On a slot that is ours, until the acknowledgement has come, the link has ended, or nobody waits any more."""
        future: asyncio.Future[bool] = self._loop.create_future()
        future.add_done_callback(partial(self._stop_waiting, envelope.id))
        self._waiting.setdefault(envelope.id, []).append(future)
        if self.is_open:
            self._note_load()
            self._machine.send_envelope(envelope, self._loop.time())
            self._pump(at_once=len(self._waiting) == 1)
        else:
            future.set_exception(LinkLostError())
        return future

    def _release_slot(self) -> None:
        while self._turns:
            turn = self._turns.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free_slots += 1

    async def wait_closed(self) -> None:
        await self._done.wait()

    async def close(self, reason: ByeReason = ByeReason.CLOSED) -> None:
        """Say bye and end. Returns when the handler knows (at once when the handler itself asks for it)."""
        self._machine.close(reason)
        self._pump()
        if self._tasks is not None and asyncio.current_task() is not self._teller:
            await self._done.wait()

    # --- more for owners ----------------------------------------------------------------------------------------------

    async def wait_open(self) -> None:
        """Returns when both hellos have been verified and `link_opened` has returned.

        Raises `HelloRefusedError` (theirs did not verify), `PathRefusedError` (they closed without a word) or
        `LinkLostError`.
        """
        await self._settled.wait()
        if self._was_opened:
            return
        match self._cause:
            case CloseCause.HELLO_REFUSED:
                raise HelloRefusedError
            case CloseCause.STREAM_ENDED:
                raise PathRefusedError
            case _:
                raise LinkLostError

    def silence(self) -> None:
        """Swallow every byte both ways without closing; end without a word after `timing.silence_s`."""
        if self._silenced or self._over.is_set():
            return
        self._silenced = True
        self._set_timer(self._loop.time() + self._timing.silence_s)

    def retire(self) -> None:
        """A newer link has taken over: finish what is in flight (at most `timing.drain_s`), then say so and end."""
        if self._retirement is None and self._tasks is not None and self.is_open:
            self._retirement = self._tasks.create_task(self._retire())

    @property
    def retiring(self) -> bool:
        return self._retirement is not None

    async def run(self) -> None:
        """Own the stream until the link has ended and the handler knows. Raises nothing but `CancelledError`."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                reader = self._tasks.create_task(self._read())
                writer = self._tasks.create_task(self._write())
                self._teller = self._tasks.create_task(self._tell())
                self._pump()
                try:
                    await self._over.wait()
                finally:
                    self._machine.receive_eof()  # cancelled: whoever holds this link must not take it for open
                await asyncio.wait({writer}, timeout=LAST_WORD_S)
                for task in (reader, writer, self._retirement):
                    if task is not None:
                        task.cancel()
                await self._stream.close()
        finally:
            self._end(CloseCause.CLOSED_HERE)
            await self._stream.close()
            self._done.set()

    # --- tasks --------------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        try:
            while data := await self._stream.read(MAX_RECORD_BYTES):
                if self._silenced:
                    continue
                self._machine.receive_data(data, self._loop.time())
                self._pump()
                await self._has_room.wait()
        except (OSError, TransientError):
            pass
        self._machine.receive_eof()
        self._pump()

    async def _write(self) -> None:
        try:
            while True:
                await self._to_write.wait()
                self._to_write.clear()
                self._begin_write()
                while self._writing is not None:
                    await self._writing
                    self._writing = None
                    self._begin_write()
                if self._machine.state is LinkState.CLOSED:
                    return
        except (OSError, TransientError):
            pass  # what the peer has still sent is worth reading; the reader meets the end, or the pings do
        finally:
            if self._writing is not None:
                self._writing.cancel()

    def _begin_write(self) -> None:
        """What waits to be sent, unless something is being written already: then it goes after that, in one piece."""
        if self._writing is None and (data := self._machine.data_to_send()) and not self._silenced:
            self._writing = asyncio.ensure_future(self._stream.write(data))

    async def _tell(self) -> None:
        """The handler's calls, one at a time and in order."""
        opened = False
        try:
            while True:
                match await self._told.get():
                    case LinkOpened():
                        opened = True
                        if not await self._tell_opened():
                            return  # refused: what came after the hello is not for it either
                    case EnvelopeReceived(envelope):
                        await self._tell_envelope(envelope)
                    case LinkClosed():
                        return
        finally:
            if opened:
                await self._tell_closed()

    async def _tell_opened(self) -> bool:
        """Whether the handler takes this link."""
        if self._links is not None:
            self._links.add(self)
        try:
            await self._handler.link_opened(self)
        except Exception as error:  # noqa: BLE001 - the handler's trouble ends this link, never the transport
            log.error("link.handler_failed", extra={"error": type(error).__name__})  # noqa: TRY400 - no user data
            self._machine.close()
            self._pump()
            return False
        if self.is_open:
            self._was_opened = True
            self._settled.set()
        return True

    async def _tell_closed(self) -> None:
        if self._links is not None:
            self._links.remove(self)
        try:
            await self._handler.link_closed(self)
        except Exception as error:  # noqa: BLE001 - as above
            log.error("link.handler_failed", extra={"error": type(error).__name__})  # noqa: TRY400 - as above

    async def _tell_envelope(self, envelope: SealedEnvelope) -> None:
        try:
            opened = await self._handler.envelope_received(self, envelope)
        except Exception as error:  # noqa: BLE001 - not acknowledged, link kept: the sender tries again
            log.warning("link.envelope_not_taken", extra={"error": type(error).__name__})
        else:
            self._machine.acknowledge(envelope.id, opened=opened)
            self._pump(at_once=self._untaken == 1)
        finally:
            self._untaken -= 1
            self._note_load()

    async def _retire(self) -> None:
        try:
            async with asyncio.timeout(self._timing.drain_s):
                await self._idle.wait()
        except TimeoutError:
            pass
        self._machine.close(ByeReason.REPLACED)
        self._pump()

    # --- the machine's events, bytes and timer ------------------------------------------------------------------------

    def _pump(self, *, at_once: bool = False) -> None:
        """`at_once`: nothing else is on its way, so the bytes need not wait for company until the loop's next turn."""
        while (event := self._machine.next_event()) is not None:
            match event:
                case LinkOpened():
                    self._told.put_nowait(event)
                case EnvelopeReceived():
                    self._untaken += 1
                    self._note_load()
                    self._told.put_nowait(event)
                case EnvelopeAcknowledged(envelope_id, opened):
                    for future in self._waiting.get(envelope_id, ()):
                        if not future.done():
                            future.set_result(opened)
                case LinkClosed(cause):
                    self._end(cause)
        self._to_write.set()
        if at_once:
            self._begin_write()
        if not self._silenced:
            self._set_timer(self._machine.next_timeout())

    def _note_load(self) -> None:
        if self._untaken < MAX_UNTAKEN:
            self._has_room.set()
        else:
            self._has_room.clear()
        if self._untaken or self._waiting:
            self._idle.clear()
        else:
            self._idle.set()

    def _end(self, cause: CloseCause) -> None:
        if self._over.is_set():
            return
        self._cause = cause
        self._set_timer(None)
        for futures in self._waiting.values():
            for future in futures:
                if not future.done():
                    future.set_exception(LinkLostError())
        self._told.put_nowait(LinkClosed(cause))
        self._over.set()
        self._settled.set()

    def _stop_waiting(self, envelope_id: EnvelopeId, future: "asyncio.Future[bool]") -> None:
        if not future.cancelled():
            future.exception()  # seen: whoever waited may have been cancelled a moment before
        waiting = self._waiting[envelope_id]
        waiting.remove(future)
        if not waiting:
            del self._waiting[envelope_id]
            self._machine.forget(envelope_id)
        self._release_slot()
        self._note_load()

    def _set_timer(self, when: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if when is None else self._loop.call_at(when, self._timer_fired, when)

    def _timer_fired(self, due: float) -> None:
        self._timer = None
        if self._silenced:
            self._machine.receive_eof()
        else:  # a loop may fire a timer a clock tick early: told an earlier time, the machine would ask for it again
            self._machine.handle_timeout(max(due, self._loop.time()))
        self._pump()
