"""The hello of a link: who speaks, proven on this very channel (docs/protocol/link.md, "Hello")."""

from hmac import compare_digest

from mepassa.identity import LinkRole, link_message, verify_xeddsa
from mepassa.model.errors import SignatureError
from mepassa.model.ids import Address
from mepassa.ports.transport import LinkIdentity
from mepassa.wire.link import Hello


def other_role(role: LinkRole) -> LinkRole:
    return LinkRole.LISTENER if role is LinkRole.DIALLER else LinkRole.DIALLER


def make_hello(identity: LinkIdentity, role: LinkRole, peer: Address, binding: bytes) -> Hello:
    """Our hello in `role` to `peer`, valid on the channel that `binding` names and nowhere else."""
    message = link_message(role=role, own=identity.own, peer=peer, binding=binding)
    return Hello(
        account=identity.own.account,
        device=identity.own.device,
        list_version=identity.list_version,
        signature=identity.sign(message),
    )


def hello_verifies(
    identity: LinkIdentity, hello: Hello, role: LinkRole, expected: Address | None, binding: bytes
) -> bool:
    """Whether `hello`, spoken in `role`, comes from a device that may talk to us on this channel.

    `expected` is the device that must have spoken, None where any listed one may. One answer for every way to fail.
    """
    peer = Address(hello.account, hello.device)
    if expected is not None and not compare_digest(_raw(peer), _raw(expected)):
        return False
    key = identity.peer_key(peer)
    if key is None:
        identity.unlisted_hello(peer)
        return False
    message = link_message(role=role, own=peer, peer=identity.own, binding=binding)
    try:
        verify_xeddsa(key, message, hello.signature)
    except SignatureError:
        return False
    return True


def _raw(address: Address) -> bytes:
    return address.account.raw + bytes([address.device])
