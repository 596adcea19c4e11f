"""A home server as a device sees it: its own (logged in) and a recipient's (sealed, no log-in). docs/protocol/home.md"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from mepassa.model.device_list import SignedDeviceList
from mepassa.model.envelope import SealedEnvelope
from mepassa.model.ids import AccountId, Address, EnvelopeId, RunId, Timestamp
from mepassa.model.keys import HomeKey
from mepassa.model.prekeys import PrekeyBundle, PrekeyUpload
from mepassa.model.secret import SecretBytes


@dataclass(frozen=True, slots=True)
class HomeAddress:
    """Where a home is and whose answer counts."""

    url: str
    key: HomeKey


class DepositOutcome(StrEnum):
    STORED = "stored"
    """Synced to the home's disk."""
    DELIVERED = "delivered"
    """Acknowledged by the recipient's device."""


class SignalOutcome(StrEnum):
    FORWARDED = "forwarded"
    NO_DEVICE = "no_device"
    """The device is not connected to its home now."""
    UNKNOWN = "unknown"
    """Wrong token or unknown account, deliberately one and the same."""


@dataclass(frozen=True, slots=True)
class FetchedAccount:
    """What a home hands out about an account. Nothing in it is to be believed before the root signature is checked."""

    device_list: SignedDeviceList
    bundles: tuple[PrekeyBundle, ...]


@dataclass(frozen=True, slots=True)
class TurnCredentials:
    """Ephemeral TURN credentials of our own home. `servers`: "turn:HOST:PORT?transport=udp" forms (RFC 7065)."""

    servers: tuple[str, ...]
    stun_servers: tuple[str, ...]
    username: str
    password: SecretBytes
    expires_at_ms: Timestamp


class RecipientHome(Protocol):
    """The sealed side of any home: its own TLS connection, never shared with a log-in.

    Every call raises `HomeUnreachableError`, `BusyError` (carries retry_after_s) or `MalformedError`.
    """

    async def deposit(self, to: Address, envelope: SealedEnvelope, token: bytes | None) -> DepositOutcome:
        """Idempotent by envelope id. Also raises `TokenRefusedError` and `MailboxFullError`."""
        ...

    async def signal(self, to: Address, sealed: SealedEnvelope, token: bytes) -> SignalOutcome: ...

    async def fetch_account(
        self, account: AccountId, token: bytes | None, *, prekeys: bool = True, devices: tuple[int, ...] = ()
    ) -> FetchedAccount:
        """Device list and, with `prekeys`, one bundle a device: of those `devices`, or of all where none is named.

        A bundle spends one-time prekeys. Raises `TokenRefusedError`.
        """
        ...


class OwnHomeHandler(Protocol):
    """What the connection to our own home tells. Calls come in order."""

    async def envelope_delivered(self, envelope: SealedEnvelope) -> None:
        """Returns after the commit; only then does the adapter acknowledge. Raising means: not acknowledged, kept."""
        ...

    async def signal_received(self, sealed: SealedEnvelope) -> None: ...

    async def prekeys_low(self, one_time_left: int, kyber_left: int) -> None: ...

    async def logged_in(self, turn: TurnCredentials | None) -> None: ...

    async def logged_out(self, reason: str) -> None: ...


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """What a home keeps of a token. `rights` is "delivery", "previous", "invite" or "signal"."""

    sha256: bytes
    rights: str
    expires_at_ms: Timestamp | None = None


class OwnHome(Protocol):
    """The logged-in side of our own home; every call raises `HomeUnreachableError` while it is away."""

    async def acknowledge(self, ids: tuple[EnvelopeId, ...]) -> None: ...

    async def put_tokens(self, add: tuple[TokenRecord, ...], remove: tuple[bytes, ...] = ()) -> None: ...

    async def put_device_list(self, signed: SignedDeviceList) -> None: ...

    async def put_prekeys(self, upload: PrekeyUpload) -> None: ...


class RunCounter(Protocol):
    """Which run of this device's database speaks: what a log-in tells its home (docs/protocol/home.md)."""

    @property
    def run_id(self) -> RunId:
        """16 random bytes of this start."""
        ...

    async def rise(self) -> int:
        """The next run counter, committed to disk before it is told: at each start and every ten minutes."""
        ...

    async def rolled_back(self, counter: int) -> int:
        """The home knows the later run `counter`: sessions are archived and prekeys replaced, in one commit.

        Returns the counter above the home's to log in with; nothing may be sent before this has returned.
        Raises a `MepassaError`, and changes nothing, when the home says so without end; then there is no log-in.
        """
        ...
