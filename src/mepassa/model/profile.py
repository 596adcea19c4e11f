"""What an account shows of itself to its contacts (docs/protocol/blobs.md, "Profile")."""

import msgspec

from mepassa.model.card import Name


class Profile(msgspec.Struct, frozen=True, array_like=True):
    """A later version adds a reference to an avatar; today's readers pass over it."""

    name: Name
