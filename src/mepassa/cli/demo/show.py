"""What the demo page sees: the stage's state as it changes, messages as they travel, the tour and the switches."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from mepassa.cli.demo.stage import Person, Stage
from mepassa.cli.demo.tour import StepResult, Tour
from mepassa.model.errors import ConflictError, MepassaError

LOOK_EVERY_S = 0.25
"""How often server counters and paths are looked at for the picture."""
QUEUE_LIMIT = 200
"""Events kept for a page that does not read; the oldest go first, since each state is whole."""

Json = dict[str, Any]


@dataclass
class Show:
    """Owns the picture of the stage. `run` follows both nodes and the server until cancelled."""

    stage: Stage
    on_step: Callable[[StepResult], None] = lambda _result: None
    steps: list[Json] = field(default_factory=list)
    _tour: Tour | None = None
    _touring: asyncio.Task[bool] | None = None
    _path: Json | None = None
    _counters: Json = field(default_factory=dict)
    _watchers: set[asyncio.Queue[Json]] = field(default_factory=set)
    _told: Json = field(default_factory=dict)

    @property
    def touring(self) -> bool:
        return self._touring is not None and not self._touring.done()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for person, other in (self.stage.people, self.stage.people[::-1]):
                tasks.create_task(self._follow(person, other))
            while True:
                await self._look()
                await asyncio.sleep(LOOK_EVERY_S)

    # --- the picture -------------------------------------------------------------------------------------------------

    def state(self) -> Json:
        stage = self.stage
        relay = self._counters.get("relay") or {}
        return {
            "people": [
                {"who": person.who, "name": person.name, "account_id": person.account_id,
                 "online": person.online, "start": person.program.starts}
                for person in stage.people
            ],
            "switches": {"direct": stage.direct, "relay": stage.relay,
                         "recipient": stage.beto.online, "server": stage.server.program.running},
            "path": self._path,
            "server": {"online": stage.server.program.running,
                       "relay_bytes": sum(value for name, value in relay.items() if "bytes" in name),
                       "mailbox_envelopes": self._counters.get("envelopes_waiting", 0)},
            "tour": {"running": self.touring, "now": self._tour.now if self._tour else None, "steps": self.steps},
        }  # fmt: skip

    async def watch(self) -> AsyncIterator[Json]:
        """The state at once, then every change and every journey of a message."""
        queue: asyncio.Queue[Json] = asyncio.Queue(QUEUE_LIMIT)
        queue.put_nowait({"type": "state", "state": self.state()})
        self._watchers.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._watchers.discard(queue)

    def _tell(self, event: Json) -> None:
        for queue in self._watchers:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(event)

    def tell_state(self) -> None:
        state = self.state()
        if state != self._told:
            self._told = state
            self._tell({"type": "state", "state": state})

    async def _look(self) -> None:
        stage = self.stage
        try:
            if stage.server.program.running:
                self._counters = await stage.server.counters()
            if stage.ana.online:
                chat = await stage.ana.chat_with(stage.beto)
                self._path = None if chat is None else chat["path"]
        except (MepassaError, aiohttp.ClientError, OSError, TimeoutError):
            pass  # somebody stops or starts just now; the next look will tell
        self.tell_state()

    async def _follow(self, person: Person, other: Person) -> None:
        """Tell each message's journey once, from the sender's own events."""
        told: dict[str, str] = {}
        while True:
            try:
                async for event in person.api.events():
                    if event["type"] == "status":
                        self._tell_journey(person, other, event, told)
            except MepassaError:
                pass
            await asyncio.sleep(LOOK_EVERY_S)

    def _tell_journey(self, person: Person, other: Person, event: Json, told: dict[str, str]) -> None:
        route, status = event["route"], event["status"]
        if route is None or status not in ("sent", "stored", "delivered"):
            return
        leg = "whole"
        if route["kind"] == "stored":
            leg = "in" if status == "stored" else "out"
        if told.get(event["message_id"]) in (leg, "whole"):
            return
        told[event["message_id"]] = leg
        journey = {"from": person.who, "to": other.who, "kind": route["kind"], "leg": leg, "rtt_ms": route["rtt_ms"]}
        self._tell({"type": "travel", **journey})

    # --- what a person does ------------------------------------------------------------------------------------------

    async def switch(self, what: str, *, on: bool) -> Json:
        stage = self.stage
        match what:
            case "direct":
                await stage.set_paths(direct=on)
            case "relay":
                await stage.set_paths(relay=on)
            case "recipient" if on and not stage.beto.online:
                await stage.beto.start(stage.frame_ancestor)
                await stage.set_paths()
            case "recipient" if not on:
                await stage.beto.stop()
            case "server" if on and not stage.server.program.running:
                await stage.server.start()
            case "server" if not on:
                await stage.server.stop()
        self.tell_state()
        return self.state()

    async def page_address(self, who: str) -> str:
        person = next(person for person in self.stage.people if person.who == who)
        code = (await person.api.post("/codes"))["code"]
        return f"{person.api.url}/open?code={code}"

    def begin_tour(self) -> Json:
        """Starts the tour on a fresh stage; a second tour is refused, since its first steps cannot be taken twice."""
        if self.touring or self.steps:
            raise ConflictError("The tour has been shown; restart the demo to see it again.")
        self._touring = asyncio.create_task(self.tour())
        return self.state()

    async def tour(self) -> bool:
        """Run it to its end; every step is told to the page and to `on_step`. True when all steps are ok."""
        self._touring = self._touring or asyncio.current_task()
        self._tour = Tour(self.stage)
        all_ok = False
        async for result in self._tour.run():
            self.steps.append(result.as_json())
            self.on_step(result)
            self.tell_state()
            all_ok = result.ok
        return all_ok
