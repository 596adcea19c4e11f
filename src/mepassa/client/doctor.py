"""`mepassa doctor`: looks at folder, clock, home and network, and says in words what is wrong and what to do."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from mepassa.client.api.types import Check
from mepassa.client.home import HomeState
from mepassa.client.paths.meeting import Allowed
from mepassa.client.paths.reach import Reach
from mepassa.model.errors import MepassaError, NotInitialisedError
from mepassa.model.route import NatKind
from mepassa.ports.private_file import is_open_to_others
from mepassa.storage.key import KeyPlace, key_place, root_key_file

NETWORKS: dict[NatKind, tuple[bool, str, str | None]] = {
    NatKind.OPEN: (True, "This device can be reached directly from the internet.", None),
    NatKind.CONE: (True, "Your router lets direct paths through (endpoint-independent mapping).", None),
    NatKind.SYMMETRIC: (
        True,
        "Your router changes its ports for each contact (symmetric): many messages will take the relay.",
        "A router with UPnP or IPv6 makes direct paths possible more often.",
    ),
    NatKind.UDP_BLOCKED: (
        True,
        "This network blocks UDP: messages take the relay over TCP.",
        "Direct paths need another network, such as a phone's.",
    ),
    NatKind.UNKNOWN: (
        False,
        "What the network allows could not be found out: your server is in this same network, or its STUN kept silent.",
        "A server in your own network cannot tell. If yours is elsewhere, ask its host whether its UDP ports are open.",
    ),
}


@dataclass
class Doctor:
    """Every check is made anew at each call. `folder_root` is the node's folder."""

    folder_root: Path
    home: HomeState
    reach: Reach
    look_at_home: Callable[[], Awaitable[float]]
    """Asks the home for its document; gives our clock's offset in seconds. Raises a `MepassaError`."""

    async def examine(self) -> list[Check]:
        return [self._folder(), self._key(), self._root_key(), *await self._home(), *await self._network()]

    def _folder(self) -> Check:
        if is_open_to_others(self.folder_root):
            return Check(
                "folder", False, "Other users of this computer may look into the data folder.",
                "Close it for them: chmod 700, and the folder's name.",
            )  # fmt: skip
        return Check("folder", True, "The data folder is yours alone.")

    def _key(self) -> Check:
        if key_place(self.folder_root) is KeyPlace.PLAIN_FILE:
            return Check(
                "database_key", False, "The database key lies unlocked beside the database.",
                "Whoever copies this folder can read everything. Use a passphrase or the system's keyring.",
            )  # fmt: skip
        return Check("database_key", True, "The database is locked.")

    def _root_key(self) -> Check:
        try:
            place = root_key_file(self.folder_root).place()
        except NotInitialisedError:
            return Check("root_key_on_paper", True, "The account's key is not on this device; its 24 words are.")
        if place is KeyPlace.PLAIN_FILE:
            return Check(
                "root_key", False, "The account's key lies unlocked on this device.",
                "Whoever copies this folder can take over the account. With the 24 words on paper, delete the file root-key.",
            )  # fmt: skip
        return Check("root_key", True, "The account's key is locked, apart from the database.")

    async def _home(self) -> list[Check]:
        try:
            await self.look_at_home()
        except MepassaError as error:
            advice = "Messages go directly where a path exists; the rest waits here and leaves when the server is back."
            return [Check("home", False, error.message, advice)]
        wrong = self.home.clock_error
        clock_sentence = "The clock is right." if wrong is None else wrong.message
        clock_advice = None if wrong is None else "Turn on the system's automatic date and time."
        online = Check("home", True, "The server answers.")
        if not self.home.connected:
            reason = "not logged in" if self.home.error is None else self.home.error.message
            online = Check("home", False, f"The server answers, but does not let this device in: {reason}", None)
        return [online, Check("clock", wrong is None, clock_sentence, clock_advice)]

    async def _network(self) -> list[Check]:
        agent = await self.reach.gather(Allowed(direct=True, relay=True))
        try:
            kind, lines = agent.local.nat_kind, agent.local.lines
        finally:
            await agent.close()
        fine, sentence, advice = NETWORKS[kind]
        relayed = any(" typ relay" in line for line in lines)
        relay = Check(
            "relay", relayed, "The relay works." if relayed else "No relay can be used now.",
            None if relayed else "Where no direct path exists, messages are stored at the recipient's server.",
        )  # fmt: skip
        return [Check(f"network_{kind.value}", fine, sentence, advice), relay]
