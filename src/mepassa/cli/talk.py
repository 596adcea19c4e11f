"""The commands that talk to a running node: one call each, words for people, `--json` for programs."""

import asyncio
import json
import secrets
import sys
import webbrowser
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

from mepassa.cli.alarms import alarm
from mepassa.cli.diagnosis import diagnosis
from mepassa.cli.help import flag, option
from mepassa.cli.local_api import LocalApi
from mepassa.cli.place import DataFolder, folder_of
from mepassa.cli.speech import in_words, pick, say
from mepassa.model.errors import NotFoundError

T = TypeVar("T")

JsonFlag = Annotated[
    bool,
    flag("JSON para programas, em vez de palavras.", "JSON for programs instead of words.", name="--json"),
]
Who = Annotated[
    str,
    option(
        "O nome do contato, ou o começo do id da conversa.", "The contact's name, or the beginning of the chat's id."
    ),
]
Direct = Annotated[
    bool,
    option(
        "Por caminhos diretos um vê o endereço de internet do outro; --no-direct: só por servidores.",
        "Direct paths show both internet addresses to each other; --no-direct: only through servers.",
    ),
]


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
    *,
    data: DataFolder = None,
    print_only: Annotated[bool, flag("Só mostra o endereço.", "Only show the address.", name="--print")] = False,
) -> None:
    """Open the page in the browser (with a one-time code; `--print` shows the address instead)."""

    async def work(api: LocalApi) -> str:
        code = (await api.post("/codes"))["code"]
        return f"{api.url}/open?code={code}"

    address = talk(data, work)
    if print_only or not webbrowser.open(f"{address}&host=own"):
        say(address)


def invite(
    *,
    qr: Annotated[
        bool,
        flag(
            "Para quem está do seu lado: serve uma vez, por dez minutos.",
            "For someone beside you: single use, ten minutes.",
        ),
    ] = False,
    data: DataFolder = None,
    as_json: JsonFlag = False,
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
    link: Annotated[str, option("O link que a pessoa mandou.", "The link that the person sent.")],
    *,
    direct: Direct = True,
    data: DataFolder = None,
    as_json: JsonFlag = False,
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


def accept(who: Who, *, direct: Direct = True, data: DataFolder = None) -> None:
    """Accept someone's request (`--no-direct`: only through servers)."""

    async def work(api: LocalApi) -> str:
        chat = await find_chat(api, who)
        await api.post(f"/chats/{chat['id']}/accept", {"direct": direct})
        return printable(chat["name"])

    name = talk(data, work)
    say(pick(f"Agora você e {name} podem conversar.", f"You and {name} can talk now."))


def send(
    who: Who,
    text: Annotated[str, option("O que escrever.", "What to write.")],
    *,
    data: DataFolder = None,
    as_json: JsonFlag = False,
    wait: Annotated[
        float,
        option(
            "Segundos a esperar que a mensagem saia deste aparelho.",
            "Seconds to wait for the message to leave this device.",
        ),
    ] = 15.0,
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
        "relayed": pick("pela ponte, que só repassa", "by relay, which only passes it on"),
        "stored": pick("guardada no servidor até chegar", "waiting on the server"),
    }
    stands = {
        "queued": pick("esperando para sair", "waiting to leave"),
        "sent": pick("enviada", "sent"),
        "stored": pick("enviada", "sent"),
        "delivered": pick("entregue", "delivered"),
        "read": pick("lida", "read"),
        "failed": pick("não chegou", "did not arrive"),
    }
    way = ways.get(route.get("kind", ""))
    return stands[message["status"]] + (f" · {way}" if way else "")


def listen(
    *,
    data: DataFolder = None,
    as_json: JsonFlag = False,
    after: Annotated[
        int | None,
        option("Continua depois deste número de sequência.", "Resume behind this sequence number."),
    ] = None,
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


def status(*, data: DataFolder = None, as_json: JsonFlag = False) -> None:
    """Who this node is, whether it reaches its server, and its contacts with their live paths."""

    async def work(api: LocalApi) -> dict[str, Any]:
        return {"me": await api.get("/me"), "health": await api.get("/health"), "chats": await api.get("/chats")}

    found = talk(data, work)
    if as_json:
        say(json.dumps(found))
        return
    say(f"{found['me']['name']} · {found['me']['account_id']}")
    home, waiting = found["health"]["home"], found["health"]["waiting"]
    answers = (
        pick("servidor conectado", "server connected")
        if home["connected"]
        else pick("sem contato com o servidor", "server not reachable")
    )
    say(f"  {answers}: {home['url']}")
    if waiting:
        say(pick(f"  esperando para sair: {waiting}", f"  waiting to leave: {waiting}"))
    for problem in found["health"]["problems"]:
        say(f"  ✗ {in_words(problem['code'], problem['message'])}")
    states = {
        "requested": pick("pedido enviado", "requested"),
        "request": pick("quer conversar", "request"),
        "accepted": pick("contato", "accepted"),
        "blocked": pick("bloqueada", "blocked"),
    }
    kinds = {"direct": pick("direto", "direct"), "relayed": pick("pela ponte", "by relay")}
    checks = {
        "verified": pick("✓ verificado", "✓ verified"),
        "withdrawn": pick("⚠ verificação retirada", "⚠ verification withdrawn"),
    }
    for chat in found["chats"]:
        path = chat["path"]
        live = f" · {kinds[path['kind']]}" if path else ""
        checked = f" · {checks[chat['verification']]}" if chat["verification"] in checks else ""
        say(f"  {printable(chat['name'])} ({states[chat['state']]}, {chat['unread']}){live}{checked}")


def doctor(*, data: DataFolder = None, as_json: JsonFlag = False) -> int:
    """Look at the network, the server, the clock and the folder; say what is wrong and what to do."""
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
