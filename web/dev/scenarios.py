"""Recorded lives: what a node would answer, for every state that the page can be in."""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256

import msgspec

from mepassa.client.api.types import Chat, ErrorBody, Home, Me, Message, Path, Route, TextContent, UnreadableContent
from mepassa.model.route import AddressClass, FoundBy, Policy, RouteKind, RouteTransport
from mepassa.model.status import ChatState, MessageStatus

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

DIRECT = Route(RouteKind.DIRECT, RouteTransport.LIBP2P, None, AddressClass.LAN, FoundBy.SIGNAL, 11.2)
PUNCHED = Route(RouteKind.DIRECT, RouteTransport.QUIC, None, AddressClass.HOLE_PUNCHED, FoundBy.DHT, 38.0)
RELAYED = Route(
    RouteKind.RELAYED, RouteTransport.QUIC, "relay.exemplo.org:3478", AddressClass.RELAY, FoundBy.SIGNAL, 64.5
)
STORED = Route(RouteKind.STORED, RouteTransport.MAILBOX, "casa.exemplo.org:443", AddressClass.HOME, None, None)


def made_id(*parts: object) -> str:
    """The same 16 bytes in hex for the same parts."""
    return sha256("/".join(map(str, parts)).encode()).hexdigest()[:32]


@dataclass
class Life:
    """One node's state. The server changes it as the page asks."""

    now_ms: int
    me: Me = field(default_factory=lambda: Me(made_id("Ana"), 1, "Ana", Home("https://casa.exemplo.org", True)))
    problems: list[ErrorBody] = field(default_factory=list)
    chats: dict[str, Chat] = field(default_factory=dict)
    messages: dict[str, list[Message]] = field(default_factory=dict)
    is_closed: bool = False
    delay_s: float = 0.0

    def chat(
        self,
        name: str,
        *,
        state: ChatState = ChatState.ACCEPTED,
        path: Path | None = None,
        unread: int = 0,
        policy: Policy = Policy.AUTO,
    ) -> str:
        chat_id = made_id("chat", name)
        self.chats[chat_id] = Chat(chat_id, name, made_id(name), state, unread, path, policy)
        self.messages[chat_id] = []
        return chat_id

    def say(
        self,
        chat_id: str,
        text: str,
        ago_ms: int,
        *,
        mine: bool = False,
        route: Route | None = DIRECT,
        status: MessageStatus = MessageStatus.READ,
    ) -> Message:
        sender = self.me.account_id if mine else self.chats[chat_id].account_id
        messages = self.messages[chat_id]
        seq = sum(message.sender == sender for message in messages) + 1
        message_id = made_id(chat_id, sender, seq)
        content = TextContent(text)
        message = Message(message_id, chat_id, sender, self.now_ms - ago_ms, seq, content, status, route)
        messages.append(message)
        return message


def first(now_ms: int) -> Life:
    """Nobody yet."""
    return Life(now_ms)


def daily(now_ms: int) -> Life:
    """An ordinary day: every route, unread messages, a request, somebody asked, somebody blocked."""
    life = Life(now_ms)
    bia = life.chat("Bia", path=Path("direct", 11.2), unread=2)
    life.say(bia, "Bom dia! Dormiu bem?", DAY_MS + 3 * HOUR_MS, route=PUNCHED)
    life.say(bia, "Dormi, e você? Hoje tem reunião cedo", DAY_MS + 3 * HOUR_MS - MINUTE_MS, mine=True, route=PUNCHED)
    life.say(bia, "Chegou em casa?", 5 * HOUR_MS, route=STORED)
    life.say(bia, "Deixei recado porque você estava sem sinal", 5 * HOUR_MS - MINUTE_MS, route=STORED)
    life.say(bia, "Cheguei agora! O celular estava no modo avião ✈️", 2 * HOUR_MS, mine=True, route=RELAYED)
    life.say(bia, "😂", 2 * HOUR_MS - MINUTE_MS)
    life.say(bia, "Combinado! Levo o bolo 🎂", 30 * MINUTE_MS, mine=True)
    life.say(
        bia,
        "E o endereço está aqui: https://www.openstreetmap.org/way/123456 (é o prédio azul, do lado da padaria; toca no 42)",
        29 * MINUTE_MS,
        mine=True,
        status=MessageStatus.DELIVERED,
    )
    life.say(bia, "A festa é sábado às 16h.", 4 * MINUTE_MS, status=MessageStatus.DELIVERED)
    life.say(
        bia,
        "Você consegue levar também os pratinhos? Eu cuido das bebidas 🥤",
        3 * MINUTE_MS,
        status=MessageStatus.DELIVERED,
    )

    ze = life.chat("Tio Zé", unread=3)
    life.say(ze, "Alguém viu as chaves?", 50 * MINUTE_MS, route=STORED, status=MessageStatus.DELIVERED)
    life.say(ze, "Aquelas com o chaveiro do Bahia", 49 * MINUTE_MS, route=STORED, status=MessageStatus.DELIVERED)
    life.say(ze, "Achei, estavam na porta 🙈", 40 * MINUTE_MS, route=STORED, status=MessageStatus.DELIVERED)

    caio = life.chat("Caio Mendes", path=Path("relayed", 64.5))
    life.say(caio, "Assinei o contrato hoje", 70 * MINUTE_MS, route=RELAYED)
    life.say(caio, "Que bom! Parabéns 👏", 65 * MINUTE_MS, mine=True, route=RELAYED)

    lucia = life.chat("Dona Lúcia")
    life.say(lucia, "Oi, minha filha, tudo certo por aí?", DAY_MS + 4 * HOUR_MS, route=STORED)
    life.say(
        lucia, "Tudo! Domingo passo aí para o almoço", DAY_MS, mine=True, route=STORED, status=MessageStatus.STORED
    )

    quadra = life.chat("Rafael (quadra)", policy=Policy.DATA_SAVER)
    life.say(quadra, "quarta às 20h?", 2 * DAY_MS, mine=True, route=PUNCHED, status=MessageStatus.DELIVERED)

    marina = life.chat("Marina", state=ChatState.REQUESTED)
    life.say(
        marina,
        "Oi, Marina! É a Ana, do curso de cerâmica",
        3 * HOUR_MS,
        mine=True,
        route=STORED,
        status=MessageStatus.STORED,
    )

    joao = life.chat("João Antônio de Albuquerque Figueiredo Neto")
    life.say(joao, "Recebi, obrigado!", 4 * DAY_MS, route=PUNCHED)

    sofia = life.chat("Sofia", policy=Policy.HIDE_MY_IP)
    life.say(sofia, "Vou desligar, boa noite 🌙", 6 * DAY_MS, route=RELAYED)
    for name, days in (("Padaria do Seu Manoel", 9), ("Helena", 12), ("Grilo", 20), ("Vó Cida", 33)):
        other = life.chat(name)
        life.say(other, "Até mais!", days * DAY_MS, route=PUNCHED)

    tomas = life.chat("Tomás Lima", state=ChatState.REQUEST)
    life.say(
        tomas,
        "Oi, Ana! Peguei seu link com a Bia. Sou do grupo de corrida, você vai domingo?",
        90 * MINUTE_MS,
        route=STORED,
        status=MessageStatus.DELIVERED,
    )
    life.chat("Promoções Imperdíveis", state=ChatState.BLOCKED)
    return life


def trouble(now_ms: int) -> Life:
    """Things that do not work: home away, a wrong clock, messages that wait, fail, could not be opened."""
    life = daily(now_ms)
    error = ErrorBody(
        "HomeUnreachableError", "The home server cannot be reached; check the network, or try again later."
    )
    life.me = Me(life.me.account_id, 1, "Ana", Home("https://casa.exemplo.org", False, error))
    life.problems = [
        ErrorBody("ClockWrongError", "This device's clock is about 61 minutes ahead; set it right and try again.")
    ]
    nina = life.chat("Nina", policy=Policy.DIRECT_ONLY)
    life.say(nina, "Só direto por aqui, tá?", 3 * HOUR_MS)
    life.say(
        nina,
        "Tá bom. Te mando a senha do cofre assim que a gente se achar",
        5 * MINUTE_MS,
        mine=True,
        route=None,
        status=MessageStatus.QUEUED,
    )
    otto = life.chat("Otto")
    life.say(otto, "Viu o jogo?", 16 * DAY_MS, mine=True, route=None, status=MessageStatus.FAILED)
    lost = life.say(otto, "", 2 * HOUR_MS, route=STORED)
    newer = life.say(otto, "", HOUR_MS, route=PUNCHED)
    life.messages[otto][1] = Message(
        lost.id, otto, lost.sender, lost.sent_at_ms, 1, UnreadableContent("DecryptionError"), lost.status, STORED
    )
    life.messages[otto][2] = Message(
        newer.id, otto, newer.sender, newer.sent_at_ms, 2, UnreadableContent("UnsupportedError"), newer.status, PUNCHED
    )
    return life


HOSTILE_TEXTS = (
    "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script><b>negrito?</b>",
    "[clique](javascript:alert(1)) javascript:alert(1) https://banco.com@exemplo.mal/ https://exemplo.org/a(b).",
    "pague \u202e0001 \u202c agora \u2066isolado\u2069 \u200b\u200b\u200bnada\ufeff aqui",
    "مرحبا! كيف حالك اليوم؟ أرسلت لك العنوان 42",
    "שלום, נתראה ב-16:00 😊",
    "abc שלום def\nשורה שנייה\nterceira linha",
    "👩‍👩‍👧‍👦 🏴󠁧󠁢󠁥󠁮󠁧󠁿 👍🏽",
    "🎉🎉",
    "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘!͖̬̰̙̗̿̋ͥͥ̂ͣ̐́́͜͞",
    "Pneumoultramicroscopicossilicovulcanoconiótico" * 6,
    "https://exemplo.org/" + "caminho-muito-comprido/" * 12,
)
HOSTILE_NAMES = (
    "Ana\u202egnp.exe",
    "<script>document.title='owned'</script>",
    "\u200b\u200b",
    "ليلى حداد",
    "Maximiliana Wolfeschlegelsteinhausenbergerdorff-" * 3,
)


def odd(now_ms: int) -> Life:
    """Names and texts that try to break out, turn around, or run on; one's own name and the addresses too."""
    life = Life(now_ms)
    home = Home("https://casa\u202e.exemplo.org", True)
    life.me = Me(life.me.account_id, 1, "Ana\u2066\u202e<i>", home)
    turned = msgspec.structs.replace(RELAYED, via="relay\u202e.exemplo.org:3478")
    for name in HOSTILE_NAMES:
        chat_id = life.chat(name)
        for at, text in enumerate(HOSTILE_TEXTS):
            life.say(chat_id, text, HOUR_MS - at * MINUTE_MS, mine=at % 3 == 2, route=turned if at == 0 else DIRECT)
    asks = life.chat("\u2067Suporte do MePassa\u2069 ✔️", state=ChatState.REQUEST)
    life.say(asks, HOSTILE_TEXTS[0] + "\n" + HOSTILE_TEXTS[2], MINUTE_MS, route=STORED, status=MessageStatus.DELIVERED)
    return life


def many(now_ms: int) -> Life:
    """A long conversation, read page by page, and many contacts."""
    life = Life(now_ms)
    bia = life.chat("Bia", path=Path("direct", 2.4))
    for at in range(400):
        life.say(bia, f"Mensagem número {at}", (400 - at) * 7 * MINUTE_MS, mine=at % 5 in {1, 2})
    for at in range(60):
        other = life.chat(f"Contato {at:02}")
        life.say(other, "Oi", (at + 2) * HOUR_MS)
    return life


def closed(now_ms: int) -> Life:
    """The page was opened without a log-in."""
    life = Life(now_ms)
    life.is_closed = True
    return life


def slow(now_ms: int) -> Life:
    """A node that thinks for a while before each answer."""
    life = daily(now_ms)
    life.delay_s = 4.0
    return life


SCENARIOS: dict[str, Callable[[int], Life]] = {
    scenario.__name__: scenario for scenario in (first, daily, trouble, odd, many, closed, slow)
}
