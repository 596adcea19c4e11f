"""What each policy of a chat allows, and which NATs rule a direct path out: tables that one can print."""

from dataclasses import dataclass
from enum import StrEnum

from mepassa.model.route import NatKind, Policy


class Store(StrEnum):
    """When a person's message goes to the recipient's home."""

    INSURANCE = "when no path came in time"
    FIRST = "first"
    ASKED = "only when asked"


@dataclass(frozen=True, slots=True)
class PolicyRules:
    direct: bool
    relay: bool
    store: Store
    keep_paths: bool
    """Gather ahead, better a relayed path, hold an idle one."""


RULES: dict[Policy, PolicyRules] = {
    Policy.AUTO: PolicyRules(direct=True, relay=True, store=Store.INSURANCE, keep_paths=True),
    Policy.DIRECT_ONLY: PolicyRules(direct=True, relay=False, store=Store.ASKED, keep_paths=True),
    Policy.HIDE_MY_IP: PolicyRules(direct=False, relay=True, store=Store.INSURANCE, keep_paths=True),
    Policy.DATA_SAVER: PolicyRules(direct=True, relay=True, store=Store.FIRST, keep_paths=False),
}

NO_HOLE = frozenset({NatKind.SYMMETRIC, NatKind.UDP_BLOCKED})


def punching_is_hopeless(own: NatKind, peer: NatKind) -> bool:
    """Whether relay pairs need not wait for a direct one (the measured matrix in docs/protocol/routing.md).

    Symmetric towards anything but symmetric may work; where UDP is blocked, nothing does. Two behind one router still
    meet by their host candidates, which are tried at once whatever is said here.
    """
    if NatKind.UDP_BLOCKED in {own, peer}:
        return True
    return own in NO_HOLE and peer in NO_HOLE


def format_rules() -> str:
    """The table of `docs/protocol/routing.md`."""
    lines = ["| policy | direct | relayed | stored | keeps paths |", "|---|---|---|---|---|"]
    for policy, rules in RULES.items():
        yes_no = ["yes" if flag else "no" for flag in (rules.direct, rules.relay, rules.keep_paths)]
        lines.append(f"| `{policy.value}` | {yes_no[0]} | {yes_no[1]} | {rules.store.value} | {yes_no[2]} |")
    return "\n".join(lines)
