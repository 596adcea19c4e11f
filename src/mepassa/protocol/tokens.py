"""Which token opens whose mailbox, and which tokens our own home is to know (docs/protocol/contacts.md, "Tokens")."""

from dataclasses import dataclass, replace

from mepassa.identity import PresenceKeyPair, delivery_token, hash_token, signal_token
from mepassa.model.content import ProfileKey
from mepassa.model.ids import Timestamp
from mepassa.model.secret import SecretBytes
from mepassa.model.status import ChatState
from mepassa.ports.mailbox import TokenRecord
from mepassa.ports.rng import Rng
from mepassa.ports.stores import Contact, Tx, kept_number
from mepassa.wire.content import decode_content

PREVIOUS_KEPT_MS = 180 * 24 * 3600 * 1000
"""How long a replaced delivery token still works, at a tenth of the quota, for contacts who have not confirmed the new."""
MAX_PREVIOUS = 8
"""Replaced profile keys that are kept at once; the oldest falls."""

_PREVIOUS = "previous-profile-keys"
_KEYS_MS = "shared-keys-ms"
_ENTRY = 32 + 8


@dataclass(frozen=True, slots=True)
class PreviousKey:
    key: SecretBytes
    replaced_ms: Timestamp


@dataclass(frozen=True, slots=True)
class TokenChanges:
    """What the home must be told so that it knows what it should."""

    add: tuple[TokenRecord, ...]
    remove: tuple[bytes, ...]

    def __bool__(self) -> bool:
        return bool(self.add or self.remove)


def token_for(contact: Contact) -> bytes | None:
    """What a deposit to this contact shows; None while neither their answer nor an invite has given one."""
    if contact.profile_key is not None:
        return delivery_token(contact.profile_key.expose())
    return contact.invite_token


def signal_token_for(contact: Contact) -> bytes | None:
    return signal_token(contact.profile_key.expose()) if contact.profile_key is not None else None


def previous_keys(tx: Tx) -> tuple[PreviousKey, ...]:
    raw = tx.setting(_PREVIOUS) or b""
    entries = (raw[start : start + _ENTRY] for start in range(0, len(raw), _ENTRY))
    return tuple(PreviousKey(SecretBytes(e[:32]), Timestamp(int.from_bytes(e[32:], "big"))) for e in entries)


def rotate_profile(tx: Tx, now_ms: Timestamp, rng: Rng) -> None:
    """A new profile key and presence key: whoever is not told has lost both. Telling is the caller's."""
    own = tx.own()
    kept = (*previous_keys(tx), PreviousKey(own.profile_key, now_ms))[-MAX_PREVIOUS:]
    _keep_previous(tx, kept)
    tx.put_own(replace(own, profile_key=SecretBytes(rng.token(32))))
    rotate_presence(tx, now_ms, rng)


def rotate_presence(tx: Tx, now_ms: Timestamp, rng: Rng) -> None:
    """A new presence key alone. Telling is the caller's."""
    tx.put_own(replace(tx.own(), presence_seed=PresenceKeyPair(SecretBytes(rng.token(32))).seed))
    _put_keys_ms(tx, Timestamp(max(now_ms, keys_ms(tx) + 1)))


def keys_ms(tx: Tx) -> Timestamp:
    """When the keys that all own devices share were made; the newest count on all of them."""
    return Timestamp(kept_number(tx, _KEYS_MS))


def adopt_keys(tx: Tx, profile_key: SecretBytes, presence_seed: SecretBytes, made_ms: Timestamp) -> None:
    """Another device of ours has made these, told them to our contacts, and told our home what becomes of the old token:
    that is its business alone, so here the old ones are as if we had never told the home of them."""
    own = tx.own()
    old = (delivery_token(own.profile_key.expose()), signal_token(own.profile_key.expose()))
    tx.put_home_tokens((), tuple(hash_token(token) for token in old))
    tx.put_own(replace(own, profile_key=profile_key, presence_seed=presence_seed))
    _put_keys_ms(tx, made_ms)


def _put_keys_ms(tx: Tx, made_ms: Timestamp) -> None:
    tx.put_setting(_KEYS_MS, made_ms.to_bytes(8, "big"))


def drop_confirmed_keys(tx: Tx, now_ms: Timestamp) -> None:
    """Previous keys go once every accepted contact has confirmed the new one, at the latest after 180 days."""
    untold = any(isinstance(decode_content(renewal.content).body, ProfileKey) for renewal in tx.renewals())
    unanswered = [contact.added_ms for contact in tx.contacts() if contact.state is ChatState.REQUESTED]
    kept = tuple(
        previous
        for previous in previous_keys(tx)
        if now_ms < previous.replaced_ms + PREVIOUS_KEPT_MS
        and (untold or any(added_ms < previous.replaced_ms for added_ms in unanswered))
    )
    _keep_previous(tx, kept)


def token_changes(tx: Tx, now_ms: Timestamp) -> TokenChanges:
    """The difference between what our home was told and what it should know."""
    own = tx.own()
    wanted = [
        TokenRecord(hash_token(delivery_token(own.profile_key.expose())), "delivery"),
        TokenRecord(hash_token(signal_token(own.profile_key.expose())), "signal"),
    ]
    for previous in previous_keys(tx):
        until = Timestamp(previous.replaced_ms + PREVIOUS_KEPT_MS)
        wanted.append(TokenRecord(hash_token(delivery_token(previous.key.expose())), "previous", until))
    live = (invite for invite in tx.invites() if invite.live(now_ms))
    wanted += [TokenRecord(hash_token(invite.token), "invite", invite.expires_ms) for invite in live]
    told = {record.sha256: record for record in tx.home_tokens()}
    names = {record.sha256 for record in wanted}
    return TokenChanges(
        add=tuple(record for record in wanted if told.get(record.sha256) != record),
        remove=tuple(sha256 for sha256 in told if sha256 not in names),
    )


def tokens_told(tx: Tx, changes: TokenChanges) -> None:
    """The home has them on disk."""
    tx.put_home_tokens(changes.add, changes.remove)


def _keep_previous(tx: Tx, keys: tuple[PreviousKey, ...]) -> None:
    raw = b"".join(previous.key.expose() + previous.replaced_ms.to_bytes(8, "big") for previous in keys)
    tx.put_setting(_PREVIOUS, raw or None)
