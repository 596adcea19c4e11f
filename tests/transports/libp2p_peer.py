"""A peer in a process of its own: `python -m tests.transports.libp2p_peer NUMBER FRIEND`. Prints where it listens."""

import asyncio
import json
import sys
from ipaddress import IPv4Address

from mepassa.transports.libp2p import Libp2pConfig, Libp2pTransport, TrioGuest
from tests.transports.link_peers import Person, Recorder


async def main(number: int, friend: int) -> None:
    me = Person(number)
    me.befriend(Person(friend))
    guest = TrioGuest()
    await guest.start()
    config = Libp2pConfig(listen=(IPv4Address("127.0.0.1"),), allow_loopback=True)
    transport = Libp2pTransport(config, me, Recorder(), guest=guest)
    facts = await transport.start()
    print(json.dumps({"peer_id": facts.peer_id, "addresses": facts.addresses}), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until whoever started it lets go
    await transport.stop()
    await guest.stop()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
