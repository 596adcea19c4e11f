"""A world of peers that can lose their power at any step.

A crash is not a cancellation: from one step to the next none of the peer's callbacks and tasks ever runs again, so no
`finally`, no `__aexit__`, no `except CancelledError` tidies up. What was on disk stays, what was in memory is gone.

    world = World(seed=7)
    async def scenario() -> None:
        life = world.boot("ana")
        life.run(node(...))                     # everything that it starts belongs to this life
        world.crash_at("ana", 17, on_crash=lambda: connection.close())
        ...
        world.boot("ana").run(node(...))        # the same files, a new life

A *step* is one callback or one advance of a task between two waits. Between two steps a peer cannot be stopped: put a
wait (`asyncio.sleep(0)`) wherever a crash must be able to fall, for example before and after a commit.
"""

import asyncio
import ctypes
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextvars import Context, ContextVar
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, WeakSet

from mepassa.testing.virtual_loop import VirtualLoop

T = TypeVar("T")
_Suspended = asyncio.Task[Any] | AsyncGenerator[Any, Any]

_LIFE: ContextVar["Life | None"] = ContextVar("life", default=None)


class Life:
    """One run of a peer, from boot to crash. Whatever it starts inherits the context, and with it the fate."""

    def __init__(self, world: "World", peer: str) -> None:
        self.peer, self.alive = peer, True
        self._world = world
        self._context = Context()
        self._context.run(_LIFE.set, self)

    def run(self, main: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a task of this life."""
        task: asyncio.Task[T] = self._world.create_task(main, context=self._context.copy())
        return task

    def call_soon(self, callback: Callable[..., object], *args: Any) -> None:
        """Hand something to the peer from outside (a packet that arrives): it happens as a step of this life, if it lives."""
        self._world.call_soon(callback, *args, context=self._context.copy())

    def crash(self) -> None:
        """Now. The code that calls this, if it is the peer's own, goes on to its next wait and no further."""
        self._world.end_life(self)


class World(VirtualLoop):
    """A virtual loop that knows which peer each callback belongs to, and counts their steps."""

    _asyncgens: WeakSet[AsyncGenerator[Any, Any]]

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(seed)
        self.steps: Counter[str] = Counter()
        """Steps each peer has taken, over all its lives."""
        self._lives: dict[str, Life] = {}
        self._plans: dict[tuple[str, int], Callable[[], object]] = {}
        self._life_of: WeakKeyDictionary[_Suspended, Life] = WeakKeyDictionary()

    def boot(self, peer: str) -> Life:
        """Begin a new life. Raises `ValueError` while the last one still runs."""
        if peer in self._lives:
            raise ValueError(f"{peer} is alive")
        self._lives[peer] = life = Life(self, peer)
        return life

    def is_alive(self, peer: str) -> bool:
        return peer in self._lives

    def crash_at(self, peer: str, step: int, on_crash: Callable[[], object] = lambda: None) -> None:
        """Instead of taking its step number `step` (from 1, see `steps`), the peer crashes; then `on_crash` runs.

        `on_crash` is the world's, not the peer's: close file handles as a kernel would, start the next life later.
        """
        self._plans[peer, step] = on_crash

    def end_life(self, life: Life) -> None:
        """Take the power from a life; nothing of it runs again. Ending it twice does nothing."""
        if not life.alive:
            return
        life.alive = False
        del self._lives[life.peer]
        for thing in [thing for thing, owner in self._life_of.items() if owner is life]:
            self._bury(thing)

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        context: Context | None = options.get("context")
        task = super().create_task(coro, **options)
        self._note_owner(task, _life_in(context))
        return task

    def call_soon(  # type: ignore[override]  # typeshed ties the callback to its arguments; we only pass both on
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        return super().call_soon(self._as_step(callback, _life_in(context)), *args, context=context)

    def call_at(  # type: ignore[override]  # as above
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return super().call_at(when, self._as_step(callback, _life_in(context)), *args, context=context)

    def _as_step(self, callback: Callable[..., object], life: Life | None) -> Callable[..., object]:
        if life is None:
            return callback

        def step(*args: Any) -> None:
            if not life.alive:
                return
            self.steps[life.peer] += 1
            on_crash = self._plans.pop((life.peer, self.steps[life.peer]), None)
            if on_crash is None:
                callback(*args)
            else:
                self.end_life(life)
                Context().run(on_crash)

        return step

    def _note_owner(self, thing: _Suspended, life: Life | None) -> None:
        if life is not None:
            self._life_of[thing] = life
            if not life.alive:
                self._bury(thing)

    def _bury(self, thing: _Suspended) -> None:
        """Python runs the `finally` blocks of a suspended frame when it is collected: so this one never is.

        The reference is leaked, past the end of the world and of the interpreter: what a crash leaves is a few frames.
        """
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))
        if isinstance(thing, asyncio.Task):
            # It is meant to stay pending, and says nothing about it.
            thing._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - asyncio offers no other way
        else:
            self._asyncgens.discard(thing)  # or the loop would close it at the end

    def _asyncgen_firstiter_hook(self, agen: AsyncGenerator[Any, Any]) -> None:
        super()._asyncgen_firstiter_hook(agen)  # type: ignore[misc]  # typeshed leaves it out
        self._note_owner(agen, _LIFE.get())

    def _tasks_to_end(self) -> list[asyncio.Task[Any]]:
        def is_dead(task: asyncio.Task[Any]) -> bool:
            life = self._life_of.get(task)
            return life is not None and not life.alive

        return [task for task in super()._tasks_to_end() if not is_dead(task)]


def _life_in(context: Context | None) -> Life | None:
    # `is None`, not truth: an empty Context is falsy, and means "nobody's".
    return _LIFE.get() if context is None else context.get(_LIFE)
