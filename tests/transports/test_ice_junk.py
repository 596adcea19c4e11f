"""Anybody may send anything to an open UDP port, and a relay may answer anything: nothing of it reaches the event loop."""

import asyncio
from random import Random

from aioice import stun

from mepassa.testing import SeededRng
from mepassa.transports.ice import IceAttempt
from mepassa.transports.ice.connection import CheckedProtocol
from mepassa.transports.ice.turn_client import _TcpClient, _UdpClient
from tests.transports.ice_peers import config

ADDRESS = ("127.0.0.1", 9)
RUNS = 3_000


def valid_messages() -> list[bytes]:
    key, found = b"key", []
    for method in (stun.Method.BINDING, stun.Method.ALLOCATE, stun.Method.DATA, stun.Method.CHANNEL_BIND):
        for kind in stun.Class:
            message = stun.Message(method, kind)
            message.attributes |= {
                "USERNAME": "a:b",
                "PRIORITY": 1,
                "ICE-CONTROLLED": 2,
                "XOR-MAPPED-ADDRESS": ADDRESS,
                "XOR-PEER-ADDRESS": ("2001:db8::1", 5),
                "ERROR-CODE": (401, "no"),
                "REALM": "r",
                "NONCE": b"n",
                "DATA": b"d" * 20,
                "LIFETIME": 7,
                "CHANNEL-NUMBER": 0x4000,
            }
            message.add_message_integrity(key)
            found.append(bytes(message))
    return found


def mutated(dice: Random, seeds: list[bytes]) -> bytes:
    data = bytearray(dice.choice(seeds) if dice.random() < 0.9 else dice.randbytes(dice.randrange(80)))
    for _ in range(dice.randrange(4)):
        match dice.randrange(4):
            case 0 if data:
                data[dice.randrange(len(data))] = dice.randrange(256)
            case 1:
                del data[dice.randrange(len(data) + 1) :]
            case 2:
                data += dice.randbytes(dice.randrange(30))
            case _:
                if len(data) >= 4:
                    data[2:4] = max(0, len(data) - 20).to_bytes(2, "big")  # a length that fits again
    return bytes(data)


async def test_no_datagram_makes_a_socket_of_ours_raise(seed: int) -> None:
    dice, seeds = Random(seed), valid_messages()
    attempt = await IceAttempt.gather(config(), rng=SeededRng(1))
    protocol = CheckedProtocol(attempt._connection)
    real = next(iter(attempt._connection._protocols))
    protocol.transport, protocol.local_candidate = real.transport, real.local_candidate
    for _ in range(RUNS):
        protocol.datagram_received(mutated(dice, seeds), ADDRESS)
    await attempt.close()


async def test_no_answer_of_a_relay_makes_its_client_raise(seed: int) -> None:
    dice, seeds = Random(seed), valid_messages()
    clients: tuple[_UdpClient | _TcpClient, ...] = (
        _UdpClient(ADDRESS, "user", "password"),
        _TcpClient(ADDRESS, "user", "password"),
    )
    for client in clients:
        client.receiver = asyncio.DatagramProtocol()
        client.channel_to_peer[0x4000] = ADDRESS
        for _ in range(RUNS):
            client.datagram_received(mutated(dice, seeds), ADDRESS)
