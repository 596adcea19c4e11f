"""The tour: each step is done by the programs' public doors, and judged by somebody other than the one who claims it."""

import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from mepassa.cli.demo.stage import Person, Stage, until
from mepassa.model.errors import MepassaError

STEPS = (
    "start", "contact", "request", "accept", "direct", "cut", "relayed", "recipient_stopped", "stored",
    "recipient_back", "delivered", "server_down", "restored", "done",
)  # fmt: skip

Json = dict[str, Any]


class StepFailedError(MepassaError):
    """A claim of the step did not hold; the sentence says which."""


def check(claim: bool, sentence: str) -> None:
    if not claim:
        raise StepFailedError(sentence)


@dataclass(slots=True)
class StepResult:
    step: str
    ok: bool
    ms: float
    route: Json | None = None
    evidence: Json = field(default_factory=dict)

    def as_json(self) -> Json:
        found: Json = {"step": self.step, "ok": self.ok, "ms": round(self.ms, 1)}
        if self.route is not None:
            found["route"] = self.route
        if self.evidence:
            found["evidence"] = self.evidence
        return found


@dataclass
class Tour:
    """Runs the steps in order on a stage that nobody else touches meanwhile."""

    stage: Stage
    now: str | None = None
    _text_of_cut: str = ""
    _message_of_cut: Json = field(default_factory=dict)
    _waiting: Json = field(default_factory=dict)
    _relayed_before: int = 0

    async def run(self) -> AsyncIterator[StepResult]:
        """Every step's result as it is known. A step that fails ends the tour; `done` then says not ok."""
        all_ok, began = True, time.monotonic()
        for step in STEPS[:-1]:
            self.now = step
            result = await self._judge(step, getattr(self, f"_{step}"))
            yield result
            all_ok = all_ok and result.ok
            if not result.ok:
                break
        self.now = None
        yield StepResult("done", all_ok, (time.monotonic() - began) * 1000)

    async def _judge(self, step: str, work: Callable[[], Awaitable[tuple[Json | None, Json]]]) -> StepResult:
        began = time.monotonic()
        try:
            route, evidence = await work()
        except (MepassaError, OSError) as error:
            return StepResult(step, False, (time.monotonic() - began) * 1000, None, {"error": str(error)})
        return StepResult(step, True, (time.monotonic() - began) * 1000, route, evidence)

    # --- the steps ---------------------------------------------------------------------------------------------------

    async def _start(self) -> tuple[Json | None, Json]:
        await self.stage.open()
        counters = await self.stage.server.counters()
        check(counters["accounts"] == 2, "The server knows another number of accounts.")
        check(counters["devices_online"] == 2, "The server sees another number of devices.")
        return None, {"server_accounts": 2, "server_devices_online": 2}

    async def _contact(self) -> tuple[Json | None, Json]:
        invite = await self.stage.beto.api.post("/invites", {"kind": "link"})
        chat = await self.stage.ana.api.post("/contacts", {"link": invite["link"]})
        check(chat["state"] == "requested", "Ana's chat with Beto is not waiting for his answer.")
        check(chat["account_id"] == self.stage.beto.account_id, "The contact is not Beto.")
        return None, {"ana_chat_state": chat["state"], "account_matches": True}

    async def _request(self) -> tuple[Json | None, Json]:
        ana, beto = self.stage.people
        before = await self._deposits()
        sent = await self._send(ana, beto, "Oi, Beto! Aqui é a Ana.")

        async def seen() -> Json | None:
            chat = await beto.chat_with(ana)
            return chat if chat and chat["state"] == "request" else None

        chat = await until("Beto's request from Ana", seen)
        check(len(await beto.messages_with(ana)) == 1, "Beto does not see exactly one message.")
        found = await self._settled(ana, sent, "stored", "delivered")
        check(found["route"]["kind"] == "stored", "The request did not go through the server.")
        took = await self._deposits() - before
        check(took >= 1, "The server took no deposit.")
        return found["route"], {"server_deposits": took, "beto_chat_state": chat["state"]}

    async def _accept(self) -> tuple[Json | None, Json]:
        ana, beto = self.stage.people
        chat = await self._chat(beto, ana)
        await beto.api.post(f"/chats/{chat['id']}/accept", {"direct": True})

        async def accepted() -> bool:
            return bool((await self._chat(ana, beto))["state"] == "accepted")

        await until("Ana's contact with Beto", accepted)
        first = (await ana.messages_with(beto))[0]
        await self._settled(ana, first, "delivered", "read")
        return None, {"ana_chat_state": "accepted", "first_message": "delivered"}

    async def _direct(self) -> tuple[Json | None, Json]:
        ana, beto = self.stage.people
        await self._quiet()
        before = await self._deposits()
        text = "Esta vai direto, sem servidor."
        found = await self._settled(ana, await self._send(ana, beto, text), "delivered", "read")
        check(found["route"]["kind"] == "direct", f"The message went {found['route']['kind']}, not direct.")
        theirs = await self._shown_once(beto, ana, text)
        check(theirs["route"]["kind"] == "direct", "Beto's record does not say direct.")
        grown = await self._deposits() - before
        check(grown == 0, "The server took deposits while a direct message was sent.")
        return found["route"], {"beto_record": theirs["route"], "server_deposits": grown}

    async def _cut(self) -> tuple[Json | None, Json]:
        ana, beto = self.stage.people
        chat = await self._chat(ana, beto)
        check((chat["path"] or {}).get("kind") == "direct", "There is no live direct path to cut.")
        self._relayed_before = await self._relay_bytes()
        await beto.api.put("/paths", {"direct": False, "how": "silence"})
        self._text_of_cut = "O caminho direto foi cortado agora."
        self._message_of_cut = await self._send(ana, beto, self._text_of_cut)
        still = await ana.api.get(f"/messages/{self._message_of_cut['id']}")
        check(still["status"] == "queued", "The message was acknowledged on a path that swallows everything.")
        shown = [message for message in await beto.messages_with(ana) if self._text_of(message) == self._text_of_cut]
        check(not shown, "Beto sees a message that the cut path should have swallowed.")
        return None, {"ana_status": still["status"], "beto_sees_it": False}

    async def _relayed(self) -> tuple[Json | None, Json]:
        ana, beto = self.stage.people
        found = await self._settled(ana, self._message_of_cut, "delivered", "read")
        check(found["route"]["kind"] == "relayed", f"The message went {found['route']['kind']}, not relayed.")
        theirs = await self._shown_once(beto, ana, self._text_of_cut)
        check(theirs["route"]["kind"] == "relayed", "Beto's record does not say relayed.")
        carried = await self._relay_bytes() - self._relayed_before
        check(carried > 0, "The server's relay carried nothing.")
        return found["route"], {"server_relay_bytes": carried, "beto_record": theirs["route"], "shown": 1}

    async def _recipient_stopped(self) -> tuple[Json | None, Json]:
        await self.stage.beto.stop()

        async def gone() -> bool:
            return bool((await self.stage.server.counters())["devices_online"] == 1)

        await until("the server's notice that Beto is gone", gone)
        return None, {"server_devices_online": 1, "beto_process": "ended"}

    async def _stored(self) -> tuple[Json | None, Json]:
        ana = self.stage.ana
        chat = next(iter(await ana.api.get("/chats")))
        body = {"client_id": secrets.token_hex(16), "text": "Boa noite! Leia quando voltar."}
        sent = await ana.api.post(f"/chats/{chat['id']}/messages", body)
        found = await self._settled(ana, sent, "stored")
        check(found["route"]["kind"] == "stored", "The record does not say stored.")
        waiting = (await self.stage.server.counters())["envelopes_waiting"]
        check(waiting >= 1, "Nothing waits on the server.")
        self._waiting = found
        return found["route"], {"server_envelopes_waiting": waiting}

    async def _recipient_back(self) -> tuple[Json | None, Json]:
        await self.stage.start_person(self.stage.beto)
        return None, {"server_devices_online": (await self.stage.server.counters())["devices_online"]}

    async def _delivered(self) -> tuple[Json | None, Json]:
        ana, beto = self.stage.people
        found = await self._settled(ana, self._waiting, "delivered", "read")
        theirs = await self._shown_once(beto, ana, self._text_of(found))
        check(theirs["route"]["kind"] == "stored", "Beto's record does not say stored.")

        async def emptied() -> bool:
            return bool((await self.stage.server.counters())["envelopes_waiting"] == 0)

        await until("the deletion at the server", emptied)
        return found["route"], {"server_envelopes_waiting": 0, "beto_record": theirs["route"], "shown": 1}

    async def _server_down(self) -> tuple[Json | None, Json]:
        ana, beto = self.stage.people
        await self.stage.set_paths(direct=True, relay=True)
        await self._settled(ana, await self._send(ana, beto, "De volta ao caminho direto?"), "delivered", "read")
        await until("Ana's live direct path", lambda: self._live_direct(ana, beto), within_s=30)
        await until("Beto's live direct path", lambda: self._live_direct(beto, ana), within_s=30)
        await self.stage.server.stop()
        text = "Sem servidor nenhum, ainda chega."
        found = await self._settled(ana, await self._send(ana, beto, text), "delivered", "read")
        check(found["route"]["kind"] == "direct", "The message did not go direct.")
        theirs = await self._shown_once(beto, ana, text)
        return found["route"], {"server_process": "ended", "beto_record": theirs["route"]}

    async def _restored(self) -> tuple[Json | None, Json]:
        await self.stage.server.start()
        for person in self.stage.people:
            await until(f"{person.name}'s log-in", person.connected, within_s=30)
        await self._quiet()
        counters = await self.stage.server.counters()
        return None, {"server_devices_online": counters["devices_online"], "outboxes": 0}

    # --- what the steps share ----------------------------------------------------------------------------------------

    async def _chat(self, person: Person, other: Person) -> Json:
        chat = await person.chat_with(other)
        check(chat is not None, f"{person.name} has no chat with {other.name}.")
        return chat or {}

    async def _send(self, person: Person, other: Person, text: str) -> Json:
        chat = await self._chat(person, other)
        body = {"client_id": secrets.token_hex(16), "text": text}
        return dict(await person.api.post(f"/chats/{chat['id']}/messages", body))

    async def _settled(self, person: Person, message: Json, *statuses: str) -> Json:
        async def reached() -> Json | None:
            found = await person.api.get(f"/messages/{message['id']}")
            return dict(found) if found["status"] in statuses else None

        return dict(await until(f"the status {' or '.join(statuses)}", reached))

    async def _shown_once(self, person: Person, other: Person, text: str) -> Json:
        """The other side's own record of the text: there, and there once."""
        found = [message for message in await person.messages_with(other) if self._text_of(message) == text]
        check(len(found) == 1, f"{person.name} sees the message {len(found)} times.")
        return found[0]

    @staticmethod
    def _text_of(message: Json) -> str:
        return str(message["content"].get("text", ""))

    async def _live_direct(self, person: Person, other: Person) -> bool:
        return ((await self._chat(person, other))["path"] or {}).get("kind") == "direct"

    async def _quiet(self) -> None:
        """Wait until nothing is on its way out at either node."""

        async def empty() -> bool:
            return all([(await person.api.get("/health"))["waiting"] == 0 for person in self.stage.people])

        await until("empty outboxes at both", empty)

    async def _counters(self, *names: str) -> int:
        counters = await self.stage.server.counters()
        return sum(int(counters[name]) for name in names)

    async def _deposits(self) -> int:
        return await self._counters("deposits_stored", "deposits_delivered")

    async def _relay_bytes(self) -> int:
        relay = (await self.stage.server.counters())["relay"]
        return sum(value for name, value in relay.items() if "bytes" in name)
