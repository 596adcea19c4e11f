"""PQXDH: how two devices agree without being online together (signal.org/docs, "The PQXDH Key Agreement Protocol").

The `initiator` starts from the other side's prekey bundle, the `responder` from the PreKey message that comes of it.
"""

from dataclasses import dataclass

from mepassa.crypto import kem
from mepassa.crypto.keys import EcKeyPair, agree, check_base_key
from mepassa.crypto.primitives import ZERO_SALT, RandomBytes, hkdf
from mepassa.identity.device_key import IdentityKeyPair, verify_xeddsa
from mepassa.model.prekeys import PrekeyBundle

_INFO = b"WhisperText_X25519_SHA-256_CRYSTALS-KYBER-1024"
_DISCONTINUITY = b"\xff" * 32
"""F of the specification: no X25519 output looks like it."""


@dataclass(frozen=True, slots=True, repr=False)
class SharedSecret:
    """What both sides have then, 32 bytes each. `chain_key` belongs to the signed prekey as first ratchet key."""

    root_key: bytes
    chain_key: bytes
    spqr_auth_key: bytes


@dataclass(frozen=True, slots=True, repr=False)
class Initiation:
    """`base_key` names the session; it and the ciphertext travel in every PreKey message."""

    secret: SharedSecret
    base_key: bytes
    kyber_ciphertext: bytes


def check_bundle(bundle: PrekeyBundle) -> None:
    """That the bundle's identity key signed its prekeys. Raises `SignatureError`."""
    verify_xeddsa(bundle.identity_key, bundle.signed_prekey.public, bundle.signed_prekey.signature)
    verify_xeddsa(bundle.identity_key, bundle.kyber_prekey.public, bundle.kyber_prekey.signature)


def initiate(own: IdentityKeyPair, bundle: PrekeyBundle, random: RandomBytes) -> Initiation:
    """Raises `SignatureError` for a bundle whose prekeys are not signed, `InvalidKeyError` for improper keys."""
    check_bundle(bundle)
    base_key = EcKeyPair.generate(random)
    signed_prekey = bundle.signed_prekey.public
    agreements = [
        agree(own, signed_prekey),
        base_key.agree(bundle.identity_key.raw),
        base_key.agree(signed_prekey),
    ]
    if bundle.one_time_prekey is not None:
        agreements.append(base_key.agree(bundle.one_time_prekey.public))
    kem_secret, ciphertext = kem.encapsulate(bundle.kyber_prekey.public)
    return Initiation(_derive(agreements, kem_secret), base_key.public, ciphertext)


def respond(
    own: IdentityKeyPair,
    *,
    signed_prekey: EcKeyPair,
    one_time_prekey: EcKeyPair | None,
    kyber_prekey: kem.KyberKeyPair,
    base_key: bytes,
    identity_key: bytes,
    kyber_ciphertext: bytes,
) -> SharedSecret:
    """Raises `InvalidKeyError`. A wrong identity key or ciphertext gives another secret, which the first MAC shows."""
    check_base_key(base_key)
    agreements = [
        signed_prekey.agree(identity_key),
        agree(own, base_key),
        signed_prekey.agree(base_key),
    ]
    if one_time_prekey is not None:
        agreements.append(one_time_prekey.agree(base_key))
    return _derive(agreements, kyber_prekey.decapsulate(kyber_ciphertext))


def _derive(agreements: list[bytes], kem_secret: bytes) -> SharedSecret:
    keys = hkdf(ZERO_SALT, _DISCONTINUITY + b"".join(agreements) + kem_secret, _INFO, 96)
    return SharedSecret(keys[:32], keys[32:64], keys[64:])
