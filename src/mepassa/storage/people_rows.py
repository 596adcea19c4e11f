"""Contacts, invites, and where devices were last reached."""

from dataclasses import replace
from typing import Any

from mepassa.model.ids import AccountId, Address, Timestamp
from mepassa.model.keys import HomeKey, PresencePublicKey, RootPublicKey
from mepassa.model.route import Policy
from mepassa.model.status import ChatState, Verification
from mepassa.ports.mailbox import HomeAddress
from mepassa.ports.stores import Contact, Invite, InviteKind
from mepassa.storage.rows import SIGNED_LIST, Rows, from_secret, to_secret, to_time

_CONTACT = (
    "account, root_key, name, state, home_url, home_key, policy, device_list, list_version, list_wanted, profile_key,"
    " presence_key, invite_token, last_sender_seq, added_ms, verification, verified_ms,"
    " changed_ms"
)

_MARKS = ", ".join("?" for _ in _CONTACT.split(","))
_RENEWED = ", ".join(f"{name} = excluded.{name}" for name in _CONTACT.split(", ")[1:])
"""In place: a message changes its contact's number, and a row taken out and put back would change its index, too."""


def _to_contact(row: tuple[Any, ...]) -> Contact:
    return Contact(
        account=AccountId(row[0]),
        root_key=RootPublicKey(row[1]),
        name=row[2],
        state=ChatState(row[3]),
        home=HomeAddress(row[4], HomeKey(row[5])),
        policy=Policy(row[6]),
        device_list=SIGNED_LIST.decode(row[7]) if row[7] is not None else None,
        list_version=row[8],
        list_wanted=row[9],
        profile_key=to_secret(row[10]),
        presence_key=PresencePublicKey(row[11]) if row[11] is not None else None,
        invite_token=row[12],
        last_sender_seq=row[13],
        added_ms=to_time(row[14]),
        verification=Verification(row[15]),
        verified_ms=to_time(row[16]),
        changed_ms=to_time(row[17]),
    )


class ContactRows(Rows):
    def contact(self, account: AccountId) -> Contact | None:
        found = self._remembered.contacts.get(account)
        if found is None:
            row = self._one(f"SELECT {_CONTACT} FROM contacts WHERE account = ?", account.raw)
            found = self._remembered.contacts.keep(account, _to_contact(row)) if row else None
        return found

    def put_sender_seq(self, account: AccountId, seq: int) -> None:
        self._do("UPDATE contacts SET last_sender_seq = ? WHERE account = ?", seq, account.raw)
        if (known := self._remembered.contacts.get(account)) is not None:
            self._remembered.contacts.keep(account, replace(known, last_sender_seq=seq))

    def put_contact(self, contact: Contact) -> None:
        self._remembered.contacts.pop(contact.account, None)
        self._do(
            f"INSERT INTO contacts ({_CONTACT}) VALUES ({_MARKS}) ON CONFLICT DO UPDATE SET {_RENEWED}",
            contact.account.raw,
            contact.root_key.raw,
            contact.name,
            contact.state.value,
            contact.home.url,
            contact.home.key.raw,
            contact.policy.value,
            SIGNED_LIST.encode(contact.device_list) if contact.device_list is not None else None,
            contact.list_version,
            contact.list_wanted,
            from_secret(contact.profile_key),
            contact.presence_key.raw if contact.presence_key is not None else None,
            contact.invite_token,
            contact.last_sender_seq,
            contact.added_ms,
            contact.verification.value,
            contact.verified_ms,
            contact.changed_ms,
        )

    def contacts(self) -> tuple[Contact, ...]:
        rows = self._all(
            f"SELECT {_CONTACT} FROM contacts ORDER BY max(added_ms, coalesce((SELECT sent_at_ms FROM messages"
            " WHERE chat = account ORDER BY position DESC, sender_seq DESC LIMIT 1), 0)) DESC, account"
        )
        return tuple(_to_contact(row) for row in rows)

    def put_invite(self, invite: Invite) -> None:
        self._do(
            "INSERT OR REPLACE INTO invites VALUES (?, ?, ?, ?, ?, ?)",
            invite.token,
            invite.kind.value,
            invite.created_ms,
            invite.expires_ms,
            invite.uses_left,
            invite.revoked,
        )

    def invite(self, token: bytes) -> Invite | None:
        return next((invite for invite in self.invites() if invite.token == token), None)

    def invites(self) -> tuple[Invite, ...]:
        rows = self._all("SELECT token, kind, created_ms, expires_ms, uses_left, revoked FROM invites ORDER BY rowid")
        return tuple(
            Invite(row[0], InviteKind(row[1]), to_time(row[2]), to_time(row[3]), row[4], bool(row[5])) for row in rows
        )

    def use_invite(self, token: bytes, account: AccountId) -> bool:
        return self._do("INSERT OR IGNORE INTO invite_uses VALUES (?, ?)", token, account.raw) > 0


class AddressRows(Rows):
    def put_known_addresses(self, peer: Address, addresses: tuple[str, ...], now_ms: Timestamp) -> None:
        self._do(
            "INSERT OR REPLACE INTO known_addresses VALUES (?, ?, ?, ?)",
            peer.account.raw,
            peer.device,
            "\n".join(addresses),
            now_ms,
        )

    def known_addresses(self, peer: Address) -> tuple[str, ...]:
        row = self._one(
            "SELECT addresses FROM known_addresses WHERE account = ? AND device = ?", peer.account.raw, peer.device
        )
        return tuple(row[0].split("\n")) if row and row[0] else ()

    def forget_known_addresses(self, peer: Address | None = None) -> None:
        if peer is None:
            self._do("DELETE FROM known_addresses")
        else:
            self._do("DELETE FROM known_addresses WHERE account = ? AND device = ?", peer.account.raw, peer.device)
