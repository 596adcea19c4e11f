"""A contact card: what makes a contact, as a link or a QR code (docs/protocol/contacts.md)."""

from typing import Annotated

import msgspec

from mepassa.model.device_list import HomeUrl
from mepassa.model.keys import HomeKey, RootPublicKey
from mepassa.model.secret import silent

TOKEN_BYTES = 16
"""Delivery, signal and invite tokens: 128 random bits."""

Token = Annotated[bytes, msgspec.Meta(min_length=TOKEN_BYTES, max_length=TOKEN_BYTES)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class Card(msgspec.Struct, frozen=True, array_like=True):
    home_url: HomeUrl
    home_key: HomeKey
    root_key: RootPublicKey
    name: Name
    invite_token: Token | None = None
    in_person: bool = False
    """Shown as a QR code to someone present: the contact is asked for at once, without a text."""

    __repr__ = silent
