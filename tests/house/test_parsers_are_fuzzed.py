"""Whatever takes foreign bytes or text has a door in `tests/doors`, where random and mutated bytes are fed to it.

What counts is found in the sources, by signature: a public function or method of ours that is handed bytes, text, a saved
record's reader or something signed or sealed, and that either says by its name that it takes them in, or raises (or
documents) an error of those which blame the bytes.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.doors.every import DOORS

ROOT = Path(__file__).parents[2]

RAW = {"bytes", "str", "bytearray", "memoryview", "Reader", "SealedEnvelope", "SignedDeviceList", "Unsealed"}
"""Types of a parameter by which foreign bytes come, as bytes or as a shell around them."""
TAKES_IN = ("decode", "parse_", "open_", "read", "receive", "from_", "unpad", "verify_", "check_", "take_")
ENDS_IN = ("_received",)
"""Names that say so, whatever is raised. Events of asyncio's protocols and of ours end so."""
GIVES_OUT = ("encode_", "seal", "pad", "sign", "issue_", "create_", "make_", "put_")
"""What we write, sign, seal or send ourselves; its errors blame ourselves."""
BLAMES_THE_BYTES = {"RemoteError", "CorruptRecordError", "RecoveryPhraseError"}
"""Roots of the errors that say: these bytes are wrong. Their kinds are found in the sources."""
ROOMS_LEFT_OUT = {"testing", "cli"}
"""Tools of the tests, and the face that only reads what its own node and its own person say."""

THROUGH = {
    "client.account.recover_account": "identity.device_list.verify_device_list",
    "client.inbox.Inbox.receive": "protocol.inbound.receive",
    "client.messenger.Messenger.add_contact": "wire.card.decode_link",
    "client.paths.service.PathService.envelope_received": "protocol.inbound.receive",
    "crypto.double_ratchet.RatchetState.read": "protocol.session_record.SessionRecord.from_bytes",
    "crypto.kept_keys.KeptKeys.read": "protocol.session_record.SessionRecord.from_bytes",
    "crypto.keys.EcKeyPair.saved": "protocol.session_record.SessionRecord.from_bytes",
    "crypto.keys.SigningKeyPair.saved": "crypto.sender_keys.SenderKeyRecord.from_bytes",
    "crypto.sender_keys.SenderKeyChain.read": "crypto.sender_keys.SenderKeyRecord.from_bytes",
    "crypto.spqr.braid_record.read_braid": "protocol.session_record.SessionRecord.from_bytes",
    "crypto.spqr.chain.Chain.read": "protocol.session_record.SessionRecord.from_bytes",
    "crypto.spqr.erasure.Decoder.read": "protocol.session_record.SessionRecord.from_bytes",
    "crypto.spqr.erasure.Encoder.read": "protocol.session_record.SessionRecord.from_bytes",
    "crypto.spqr.ratchet.SpqrState.read": "protocol.session_record.SessionRecord.from_bytes",
    "protocol.account.recover_account": "identity.device_list.verify_device_list",
    "protocol.contacts.add_card": "identity.device_list.verify_device_list",
    "protocol.sealing.open_content": "protocol.session.decrypt",
    "protocol.session_record.SessionState.read": "protocol.session_record.SessionRecord.from_bytes",
    "server.directory.invites.take_invite": "wire.mailbox.decode_mailbox_to_home",
    "server.relay.tcp.TcpClient.data_received": "wire.stun.framing.StreamFramer.receive_data",
    "transports.libp2p.transport.Libp2pTransport.dial": "p2p.addresses.parse_multiaddr",
    "transports.mailbox.account.fetch_well_known": "transports.mailbox.account.verify_well_known",
    "transports.mailbox.sealed.SealedHome.deposit": "wire.mailbox.decode_deposit_to_client",
    "transports.mailbox.sealed.SealedHome.fetch_account": "wire.mailbox.decode_deposit_to_client",
    "transports.mailbox.sockets.WebSocketDialer.get": "transports.mailbox.account.verify_well_known",
}
"""It looks at the bytes by that parser alone, which has a door: as a part of it, or as what stands around it."""

ELSEWHERE = {
    "server.hello.Greeter.greet": "tests/server/test_home_bad_input.py::test_mutated_conversations_never_fail_the_home",
    "transports.ice.connection.CheckedProtocol.datagram_received": (
        "tests/transports/test_ice_junk.py::test_no_datagram_makes_a_socket_of_ours_raise"
    ),
    "transports.ice.connection.StagedConnection.payload_received": (
        "tests/transports/test_ice_junk.py::test_no_datagram_makes_a_socket_of_ours_raise"
    ),
}
"""Junk is fed to it by a test of its own, since it needs a socket or a whole program around it."""

NOT_FOREIGN = {
    "crypto.blob_cipher.BlobSealer.update": "our own file, on its way out",
    "identity.device_list.supersedes": "only lists that `verify_device_list` has passed are compared",
    "model.ids.DistributionId.from_random": "our own dice",
    "transports.ice.connection.StagedConnection.data_received": "looks at nothing: it drops what it is given",
}
"""What it is given is our own, or has been through a door before."""


@dataclass(frozen=True, slots=True)
class Parser:
    name: str
    """Dotted, below `mepassa`."""
    where: str


def parsers_in(source: str, module: str, blaming: set[str]) -> Iterator[Parser]:
    """Public functions, methods of public classes, and names that are given a decoder (`decode_card = _CARD.decode`)."""
    yield from _parsers_in(ast.parse(source), module, [], blaming)


def _parsers_in(node: ast.AST, module: str, within: list[str], blaming: set[str]) -> Iterator[Parser]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.ClassDef(name=name, bases=bases) if not name.startswith("_") and not _names_in(*bases) & {
                "Protocol"
            }:
                yield from _parsers_in(child, module, [*within, name], blaming)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if _takes_foreign_bytes(child, blaming):
                yield Parser(".".join([module, *within, name]), f"{module}:{child.lineno}")
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Attribute()) if name.startswith(TAKES_IN):
                yield Parser(".".join([module, *within, name]), f"{module}:{child.lineno}")
            case ast.If() | ast.Try():
                yield from _parsers_in(child, module, within, blaming)
            case _:
                pass


def _takes_foreign_bytes(function: ast.FunctionDef | ast.AsyncFunctionDef, blaming: set[str]) -> bool:
    name = function.name
    if name.startswith("_") or name.startswith(GIVES_OUT):
        return False
    parameters = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
    if not any(_plain_names(parameter.annotation) & RAW for parameter in parameters):
        return False
    if name.startswith(TAKES_IN) or name.endswith(ENDS_IN):
        return True
    raised = {name for raising in ast.walk(function) if isinstance(raising, ast.Raise) for name in _names_in(raising)}
    documented = ast.get_docstring(function) or ""
    return bool(raised & blaming) or any(error in documented for error in blaming)


def _plain_names(annotation: ast.expr | None) -> set[str]:
    """`bytes | None` names bytes; `tuple[bytes, ...]` and `Callable[[bytes], …]` do not: such lists are no parser's."""
    match annotation:
        case ast.Name(id=name):
            return {name}
        case ast.BinOp(left=left, right=right):
            return _plain_names(left) | _plain_names(right)
        case _:
            return set()


def _names_in(*nodes: ast.AST) -> set[str]:
    return {name.id for node in nodes for name in ast.walk(node) if isinstance(name, ast.Name)}


def kinds_below(roots: set[str], sources: dict[str, str]) -> set[str]:
    """The classes of these sources that inherit from one of `roots`, and the roots themselves."""
    bases = {
        node.name: _names_in(*node.bases)
        for source in sources.values()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ClassDef)
    }
    found, grown = set(roots), True
    while grown:
        more = {name for name, above in bases.items() if above & found} - found
        found |= more
        grown = bool(more)
    return found


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT / "src" / "mepassa").with_suffix("").parts)


SOURCES = {
    module_of(path): path.read_text()
    for path in sorted((ROOT / "src" / "mepassa").rglob("*.py"))
    if path.relative_to(ROOT / "src" / "mepassa").parts[0] not in ROOMS_LEFT_OUT
}
BLAMING = kinds_below(BLAMES_THE_BYTES, SOURCES)
PARSERS = [parser for module, source in SOURCES.items() for parser in parsers_in(source, module, BLAMING)]
FED = {name.removeprefix("mepassa.") for door in DOORS for name in door.names}
EXCEPTIONS = THROUGH | ELSEWHERE | NOT_FOREIGN


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
def test_what_takes_foreign_bytes_has_a_door(parser: Parser) -> None:
    assert parser.name in FED or parser.name in EXCEPTIONS, (
        f"{parser.where} {parser.name} has no door in tests/doors: nobody feeds it random and mutated bytes. "
        "The outcomes are a value or a documented error."
    )


def test_every_exception_is_needed_and_has_a_reason() -> None:
    found = {parser.name for parser in PARSERS}
    assert set(EXCEPTIONS) <= found, "gone, renamed, or no parser by the rule"
    assert not set(EXCEPTIONS) & FED, "has a door"
    assert len(EXCEPTIONS) == len(THROUGH) + len(ELSEWHERE) + len(NOT_FOREIGN), "two reasons for one"
    assert set(THROUGH.values()) <= FED
    for test in ELSEWHERE.values():
        path, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / path).read_text(), test


def test_every_door_leads_to_something_that_is_there() -> None:
    found = {parser.name for parser in PARSERS}
    assert {name.partition(",")[0] for name in FED} <= found, "renamed? a door names what the scan names"


def planted(source: str) -> list[str]:
    return [parser.name for parser in parsers_in(source, "m", {"MalformedError", "RemoteError"})]


def test_a_planted_parser_without_a_door_is_found() -> None:
    (found,) = parsers_in("def decode_secret_handshake(data: bytes) -> int: ...", "wire.planted", BLAMING)
    with pytest.raises(AssertionError, match=r"wire\.planted.*no door"):
        test_what_takes_foreign_bytes_has_a_door(found)


def test_the_rule_takes_names_and_signatures_and_errors() -> None:
    assert planted("def decode_a(data: bytes): ...") == ["m.decode_a"]
    assert planted("class C:\n    async def receive_data(self, data: bytes | None): ...") == ["m.C.receive_data"]
    assert planted("class C:\n    @classmethod\n    def from_bytes(cls, raw: memoryview): ...") == ["m.C.from_bytes"]
    assert planted("def judge(text: str):\n    raise MalformedError") == ["m.judge"]
    assert planted('def judge(text: str):\n    """Raises `RemoteError`."""') == ["m.judge"]
    assert planted("decode_c = CODEC.decode") == ["m.decode_c"]
    assert planted("class P:\n    def datagram_received(self, data: bytes, addr): ...") == ["m.P.datagram_received"]


def test_the_rule_leaves_out_what_is_private_outgoing_or_no_bytes() -> None:
    assert planted("def _decode_a(data: bytes): ...") == []
    assert planted("def encode_a(data: bytes):\n    raise MalformedError") == []
    assert planted("def open_b(path: Path): ...") == []
    assert planted("def add(text: str): ...") == []
    assert planted("class P(Protocol):\n    def decode_a(self, data: bytes): ...") == []


def test_kinds_of_errors_are_found_across_files() -> None:
    sources = {
        "a": "class BadError(RemoteError): ...",
        "b": "class WorseError(BadError): ...\nclass Fine(Exception): ...",
    }
    assert kinds_below({"RemoteError"}, sources) == {"RemoteError", "BadError", "WorseError"}
