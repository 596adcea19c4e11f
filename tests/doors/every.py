"""All doors, room by room."""

from tests.doors.crypto import CRYPTO
from tests.doors.identity import IDENTITY
from tests.doors.network import NETWORK
from tests.doors.protocol import PROTOCOL
from tests.doors.wire import WIRE

DOORS = [*CRYPTO, *IDENTITY, *WIRE, *PROTOCOL, *NETWORK]
