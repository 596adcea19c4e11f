"""Who has an account here, what hands out its prekeys, and which tokens open what."""

from mepassa.server.directory.accounts import AccountEntry, DeviceRow, Directory, LoginState
from mepassa.server.directory.invites import RegistrationInvites
from mepassa.server.directory.prekeys import PrekeyCounts, Prekeys
from mepassa.server.directory.tokens import Grant, find_grant

__all__ = [
    "AccountEntry",
    "DeviceRow",
    "Directory",
    "Grant",
    "LoginState",
    "PrekeyCounts",
    "Prekeys",
    "RegistrationInvites",
    "find_grant",
]
