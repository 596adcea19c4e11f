"""A device's side of homes: depositing at any (sealed), logged in at its own, and what comes before an account."""

from mepassa.transports.mailbox.account import (
    FetchedWellKnown,
    Recovery,
    Registration,
    fetch_well_known,
    recover,
    register,
    verify_well_known,
)
from mepassa.transports.mailbox.errors import (
    AccountUnknownError,
    LoginRefusedError,
    RegistrationRefusedError,
    WorkRefusedError,
)
from mepassa.transports.mailbox.own import HomeLogin, MailboxOwnHome
from mepassa.transports.mailbox.sealed import SealedHome, SealedHomes
from mepassa.transports.mailbox.sockets import DialHome, WebSocketDialer

__all__ = [
    "AccountUnknownError",
    "DialHome",
    "FetchedWellKnown",
    "HomeLogin",
    "LoginRefusedError",
    "MailboxOwnHome",
    "Recovery",
    "Registration",
    "RegistrationRefusedError",
    "SealedHome",
    "SealedHomes",
    "WebSocketDialer",
    "WorkRefusedError",
    "fetch_well_known",
    "recover",
    "register",
    "verify_well_known",
]
