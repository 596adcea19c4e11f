"""The smallest honest TURN client: builds requests, remembers realm and nonce. With or without a socket under it."""

import asyncio
import socket
from dataclasses import dataclass, field

from mepassa.model.ids import Timestamp
from mepassa.model.secret import SecretBytes
from mepassa.server.relay import RelayConfig, RelayRole, make_credentials
from mepassa.testing import SeededRng
from mepassa.wire.stun import (
    Attribute,
    ErrorCode,
    Message,
    MessageClass,
    Method,
    Nonce,
    Realm,
    RequestedTransport,
    StreamFramer,
    Username,
    XorRelayedAddress,
    decode_message,
    encode_message,
    long_term_key,
)

SECRET = SecretBytes(b"a secret of sixteen letters")
UDP = RequestedTransport(17)


class RealClock:
    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def now_ms(self) -> Timestamp:
        import time

        return Timestamp(time.time_ns() // 1_000_000)


def loopback_relay(**changes: object) -> RelayRole:
    config = RelayConfig(**{"allow_private_peers": True, **changes})  # type: ignore[arg-type]  # its own fields
    return RelayRole(config, SECRET, RealClock(), SeededRng("relay"))


@dataclass
class Dialogue:
    """What a client says; `receive` takes what it hears."""

    username: str = ""
    password: str = ""
    realm: str = ""
    nonce: bytes = b""
    count: int = 0

    @classmethod
    def with_credentials(cls, now_ms: Timestamp, *, name: str = "ana", lifetime_s: int = 3600) -> "Dialogue":
        made = make_credentials(SECRET, now_ms=now_ms, rng=SeededRng(name), lifetime_s=lifetime_s)
        return cls(made.username, made.password.expose().decode())

    def request(self, method: Method, *attributes: Attribute, signed: bool = True) -> bytes:
        self.count += 1
        tid = self.count.to_bytes(12)
        if not (signed and self.realm):
            return encode_message(Message(method, MessageClass.REQUEST, tid, attributes))
        said = (*attributes, Username(self.username), Realm(self.realm), Nonce(self.nonce))
        key = long_term_key(self.username, self.realm, self.password)
        return encode_message(Message(method, MessageClass.REQUEST, tid, said), key=key)

    def receive(self, data: bytes) -> Message:
        message = decode_message(data)
        realm, nonce = message.first(Realm), message.first(Nonce)
        if realm is not None and nonce is not None:
            self.realm, self.nonce = realm.text, nonce.raw
        return message


def code_of(message: Message) -> int:
    """The error code of an answer; 0 for success."""
    error = message.first(ErrorCode)
    assert (error is None) == (message.message_class is MessageClass.SUCCESS)
    return error.code if error is not None else 0


@dataclass
class UdpClient:
    """A real socket towards one relay port."""

    server: tuple[str, int]
    talk: Dialogue = field(default_factory=lambda: Dialogue.with_credentials(RealClock().now_ms()))
    sock: socket.socket = field(default_factory=lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))

    def __post_init__(self) -> None:
        self.sock.setblocking(False)
        self.sock.bind(("127.0.0.1", 0))

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendto(self.sock, data, self.server)

    async def receive(self) -> bytes:
        return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.sock, 65_535), 5)

    async def ask(self, method: Method, *attributes: Attribute, signed: bool = True) -> Message:
        await self.send(self.talk.request(method, *attributes, signed=signed))
        while True:
            answer = self.talk.receive(await self.receive())
            if answer.transaction_id == self.talk.count.to_bytes(12):  # not a late answer to an earlier request
                return answer

    async def allocate(self, *attributes: Attribute) -> tuple[str, int]:
        """The relayed address."""
        if not self.talk.realm:
            assert code_of(await self.ask(Method.ALLOCATE, UDP)) == 401
        answer = await self.ask(Method.ALLOCATE, UDP, *attributes)
        relayed = answer.first(XorRelayedAddress)
        assert relayed is not None, code_of(answer)
        return str(relayed.endpoint[0]), relayed.endpoint[1]

    def close(self) -> None:
        self.sock.close()


@dataclass
class TcpStream:
    """The same over TCP, frame by frame."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    talk: Dialogue = field(default_factory=lambda: Dialogue.with_credentials(RealClock().now_ms()))
    framer: StreamFramer = field(default_factory=StreamFramer)

    async def frame(self) -> bytes:
        while (frame := self.framer.next_frame()) is None:
            data = await asyncio.wait_for(self.reader.read(65_536), 5)
            assert data, "the relay closed the connection"
            self.framer.receive_data(data)
        return frame

    async def ask(self, method: Method, *attributes: Attribute) -> Message:
        self.writer.write(self.talk.request(method, *attributes))
        return self.talk.receive(await self.frame())

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()
