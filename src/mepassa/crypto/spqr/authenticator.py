"""The authenticator: MACs over what the Braid carries, keyed by every secret so far (ML-KEM Braid, "Authenticator")."""

from mepassa.crypto.errors import SpqrError
from mepassa.crypto.primitives import ZERO_SALT, equal, hkdf, hmac_sha256
from mepassa.model.state import State

PROTOCOL_LABEL = b"Signal_PQCKA_V1_MLKEM768:"
MAC_BYTES = 32


def epoch_secret(epoch: int, shared_secret: bytes) -> bytes:
    """The 32 bytes that an epoch's plain ML-KEM secret gives to chain and authenticator."""
    return hkdf(ZERO_SALT, shared_secret, PROTOCOL_LABEL + b"SCKA Key" + epoch.to_bytes(8, "big"), 32)


class Authenticator(State, frozen=True):
    """`root` and `mac_key`, 32 bytes each."""

    root: bytes
    mac_key: bytes

    @classmethod
    def start(cls, auth_key: bytes) -> "Authenticator":
        return cls(ZERO_SALT, b"").update(1, auth_key)

    def update(self, epoch: int, secret: bytes) -> "Authenticator":
        info = PROTOCOL_LABEL + b"Authenticator Update" + epoch.to_bytes(8, "big")
        keys = hkdf(ZERO_SALT, self.root + secret, info, 64)
        return Authenticator(keys[:32], keys[32:])

    def header_mac(self, epoch: int, header: bytes) -> bytes:
        return self._mac(b"ekheader", epoch, header)

    def ciphertext_mac(self, epoch: int, ciphertext: bytes) -> bytes:
        return self._mac(b"ciphertext", epoch, ciphertext)

    def check_header(self, epoch: int, header: bytes, mac: bytes) -> None:
        """Raises `SpqrError`."""
        if not equal(self.header_mac(epoch, header), mac):
            raise SpqrError

    def check_ciphertext(self, epoch: int, ciphertext: bytes, mac: bytes) -> None:
        """Raises `SpqrError`."""
        if not equal(self.ciphertext_mac(epoch, ciphertext), mac):
            raise SpqrError

    def _mac(self, label: bytes, epoch: int, data: bytes) -> bytes:
        return hmac_sha256(self.mac_key, PROTOCOL_LABEL + label + epoch.to_bytes(8, "big") + data)
