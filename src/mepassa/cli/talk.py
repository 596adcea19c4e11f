"""The commands that talk to a running node: one call each, words for people, `--json` for programs."""

import asyncio
import json
import secrets
import sys
import webbrowser
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

from cyclopts import Parameter

from mepassa.cli.alarms import alarm
from mepassa.cli.diagnosis import diagnosis
from mepassa.cli.local_api import LocalApi
from mepassa.cli.place import DataFolder, folder_of
from mepassa.cli.speech import in_words, pick, say
from mepassa.model.errors import NotFoundError

T = TypeVar("T")

JsonFlag = Annotated[bool, Parameter(negative="", help="Print JSON for programs instead of words.")]


def talk(data: Path | None, work: Callable[[LocalApi], Awaitable[T]]) -> T:
    """Run one conversation with the node of this folder."""

    async def session() -> T:
        async with LocalApi.of_folder(folder_of(data)) as api:
            return await work(api)

    return asyncio.run(session())


async def find_chat(api: LocalApi, who: str) -> dict[str, Any]:
    """A chat by its id, the beginning of its id, or its name. Raises `NotFoundError` when none or several fit."""
    chats = await api.get("/chats")
    exact = [chat for chat in chats if chat["id"] == who or chat["name"].casefold() == who.casefold()]
    found = exact or [chat for chat in chats if len(who) >= 4 and chat["id"].startswith(who)]
    if len(found) != 1:
        none = pick(f"Nenhum contato se chama “{who}”.", f"No contact is called “{who}”.")
        several = pick(
            f"Vários contatos se encaixam em “{who}”; use o id.", f"Several contacts fit “{who}”; use the id."
        )
        sentence = several if found else none
        raise NotFoundError(sentence)
    return dict(found[0])


def open_page(
    *, data: DataFolder = None, print_only: Annotated[bool, Parameter(name="--print", negative="")] = False
) -> None:
    """Open the page in the browser (with a one-time code; `--print` shows the address instead)."""

    async def work(api: LocalApi) -> str:
        code = (await api.post("/codes"))["code"]
        return f"{api.url}/open?code={code}"

    address = talk(data, work)
    if print_only or not webbrowser.open(address):
        say(address)


def invite(
    *,
    qr: Annotated[bool, Parameter(negative="", help="For someone beside you: single use, ten minutes.")] = False,
    data: DataFolder = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Make a link (or a QR code) with which others can add you."""
    made = talk(data, lambda api: api.post("/invites", {"kind": "qr" if qr else "link"}))
    if as_json:
        say(json.dumps(made))
        return
    say(made["link"])
    if sys.stdout.isatty():
        import segno

        segno.make(made["link"], error="m").terminal(compact=True)
    say(pick("Quem abrir este convite pode pedir para falar com você.", "Whoever opens this can ask to talk to you."))


def add(
    link: str,
    *,
    direct: Annotated[bool, Parameter(help="Direct paths show both internet addresses to each other.")] = True,
    data: DataFolder = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Add a contact by their link. `--no-direct`: only through servers."""
    chat = talk(data, lambda api: api.post("/contacts", {"link": link, "direct": direct}))
    if as_json:
        say(json.dumps(chat))
        return
    name = printable(chat["name"])
    say(
        pick(
            f"{name} está nos seus contatos. Envie a primeira mensagem: ela vai como pedido.",
            f"{name} was added. Send the first message: it goes as a request.",
        )
    )


def accept(who: str, *, direct: bool = True, data: DataFolder = None) -> None:
    """Accept someone's request (`--no-direct`: only through servers)."""

    async def work(api: LocalApi) -> str:
        chat = await find_chat(api, who)
        await api.post(f"/chats/{chat['id']}/accept", {"direct": direct})
        return printable(chat["name"])

    name = talk(data, work)
    say(pick(f"Agora você e {name} podem conversar.", f"You and {name} can talk now."))


def send(
    who: str,
    text: str,
    *,
    data: DataFolder = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
    wait: Annotated[float, Parameter(help="Seconds to wait for the message to leave this device.")] = 15.0,
) -> None:
    """Send a text; waits until it has left this device and says by which route."""

    async def work(api: LocalApi) -> dict[str, Any]:
        chat = await find_chat(api, who)
        body = {"client_id": secrets.token_hex(16), "text": text}
        message = await api.post(f"/chats/{chat['id']}/messages", body)
        deadline = asyncio.get_running_loop().time() + wait
        while message["status"] == "queued" and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.05)
            message = await api.get(f"/messages/{message['id']}")
        return dict(message)

    message = talk(data, work)
    say(json.dumps(message) if as_json else describe_status(message))


def describe_status(message: dict[str, Any]) -> str:
    """One line: where the message stands and who carried it."""
    route = message["route"] or {}
    ways = {
        "direct": pick("direto, de aparelho a aparelho", "directly, device to device"),
        "relayed": pick("por uma ponte cega", "through a blind relay"),
        "stored": pick("guardada no servidor até chegar", "kept at the server until it arrives"),
    }
    stands = {
        "queued": pick("espera um caminho", "waits for a path"),
        "sent": pick("enviada", "sent"),
        "stored": pick("enviada", "sent"),
        "delivered": pick("entregue", "delivered"),
        "read": pick("lida", "read"),
        "failed": pick("não entregue", "not delivered"),
    }
    way = ways.get(route.get("kind", ""))
    return stands[message["status"]] + (f" · {way}" if way else "")


def listen(
    *,
    data: DataFolder = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
    after: Annotated[int | None, Parameter(help="Resume behind this sequence number.")] = None,
) -> None:
    """Print what happens, as it happens, until interrupted."""

    async def work(api: LocalApi) -> None:
        chats: dict[str, dict[str, Any]] = {}
        async for event in api.events(after):
            if as_json:
                say(json.dumps(event))
                continue
            if event["type"] not in {"message", "alarm"}:
                continue
            message = event.get("message") or event
            chat_id = message["chat_id"]
            if chat_id is not None and chat_id not in chats:
                chats[chat_id] = await api.get(f"/chats/{chat_id}")
            chat = chats.get(chat_id)
            if event["type"] == "alarm":
                say(f"⚠ {alarm(event['note'], printable(chat['name']) if chat else '')}")
            elif chat is not None:
                say(line_of(chat, message))

    talk(data, work)


def line_of(chat: dict[str, Any], message: dict[str, Any]) -> str:
    """Who says what to whom, in one line."""
    name = printable(chat["name"])
    theirs = message["sender"] == chat["account_id"]
    who = name if theirs else pick(f"você → {name}", f"you → {name}")
    return f"{who}: {printable(message['content'].get('text', ''))}"


def printable(text: str) -> str:
    """Text from outside, safe for a terminal: control and direction characters are shown as their code points."""
    return "".join(
        char if char in "\n\t" or (char.isprintable() and char not in BIDI) else f"<U+{ord(char):04X}>" for char in text
    )


BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200b\u2060\ufeff")
"""Characters that change the order of others or show nothing at all."""


def status(*, data: DataFolder = None, as_json: Annotated[bool, Parameter(name="--json", negative="")] = False) -> None:
    """Who this node is, whether it reaches its home, and its contacts with their live paths."""

    async def work(api: LocalApi) -> dict[str, Any]:
        return {"me": await api.get("/me"), "health": await api.get("/health"), "chats": await api.get("/chats")}

    found = talk(data, work)
    if as_json:
        say(json.dumps(found))
        return
    say(f"{found['me']['name']} · {found['me']['account_id']}")
    home, waiting = found["health"]["home"], found["health"]["waiting"]
    answers = pick("casa ligada", "home connected") if home["connected"] else pick("casa fora do ar", "home away")
    say(f"  {answers}: {home['url']}")
    if waiting:
        say(pick(f"  {waiting} envelopes esperam para sair", f"  {waiting} envelopes wait to leave"))
    for problem in found["health"]["problems"]:
        say(f"  ✗ {in_words(problem['code'], problem['message'])}")
    states = {
        "requested": pick("pedido enviado", "requested"),
        "request": pick("quer conversar", "request"),
        "accepted": pick("contato", "accepted"),
        "blocked": pick("bloqueado", "blocked"),
    }
    kinds = {"direct": pick("direto", "direct"), "relayed": pick("por uma ponte", "relayed")}
    for chat in found["chats"]:
        path = chat["path"]
        live = f" · {kinds[path['kind']]}" if path else ""
        say(f"  {printable(chat['name'])} ({states[chat['state']]}, {chat['unread']}){live}")


def doctor(*, data: DataFolder = None, as_json: Annotated[bool, Parameter(name="--json", negative="")] = False) -> int:
    """Look at the network, the home, the clock and the folder; say what is wrong and what to do."""
    found = talk(data, lambda api: api.post("/doctor"))
    if as_json:
        say(json.dumps(found))
    else:
        for check in found["checks"]:
            sentence, advice = diagnosis(check)
            say(f"{'✓' if check['ok'] else '✗'} {sentence}")
            if advice:
                say(f"    {advice}")
    return 0 if found["ok"] else 1
