"""Keys and signatures of ours, the device list, the recovery phrase, ids and addresses as text."""

from mepassa.identity import (
    HomeKeyPair,
    IdentityKeyPair,
    Language,
    PresenceKeyPair,
    RootKey,
    decode_device_list,
    decode_recovery_phrase,
    encode_recovery_phrase,
    sign_device_list,
    verify_device_list,
    verify_xeddsa,
)
from mepassa.identity.curve import check_ec_public, edwards_from_montgomery, montgomery_from_edwards
from mepassa.identity.device_key import check_identity_key
from mepassa.identity.ed25519 import verify_ed25519
from mepassa.identity.home_key import verify_home
from mepassa.identity.labels import Label
from mepassa.identity.presence import open_presence, seal_presence, verify_blinded
from mepassa.identity.recovery_phrase import RecoveryPhraseError
from mepassa.identity.root_key import verify_recovery, verify_root
from mepassa.model.addresses import parse_ip
from mepassa.model.device_list import DeviceEntry, DeviceList, SignedDeviceList
from mepassa.model.errors import DecryptionError, MalformedError, SignatureError, TooLargeError
from mepassa.model.home_url import check_home_url, parse_home_url
from mepassa.model.ids import AccountId
from mepassa.model.secret import SecretBytes
from tests.doors.door import door, text

ROOT, DEVICE = RootKey(SecretBytes(bytes(range(32)))), IdentityKeyPair(SecretBytes(bytes(range(32))))
HOME, PRESENCE = HomeKeyPair(SecretBytes(bytes(range(32)))), PresenceKeyPair(SecretBytes(bytes(range(32))))
BLINDED = PRESENCE.blinded(20_000, 1)
LIST = sign_device_list(
    ROOT, DeviceList(1, bytes(32), (DeviceEntry(1, DEVICE.public, 7),), "https://home.example", HOME.public)
)
SIGNATURE = (SignatureError,)


def with_signature(data: bytes) -> SignedDeviceList:
    return SignedDeviceList(data[64:], data[:64])


KEYS = [
    door(check_ec_public, seeds=[DEVICE.public.raw], errors=(MalformedError,)),
    door(check_identity_key, seeds=[DEVICE.public.raw], errors=(MalformedError,)),
    door(
        montgomery_from_edwards,
        feed=lambda data: montgomery_from_edwards(data[:32].ljust(32, b"\xff")),
        seeds=[ROOT.public.raw, b""],
        errors=(MalformedError,),
    ),
    door(
        edwards_from_montgomery,
        feed=lambda data: edwards_from_montgomery(data[:32].ljust(32, b"\xff"), 0x80),
        seeds=[DEVICE.public.raw[1:], b""],
        errors=(MalformedError,),
    ),
    door(
        IdentityKeyPair.agree,
        feed=DEVICE.agree,
        seeds=[IdentityKeyPair(SecretBytes(bytes(32))).public.raw],
        errors=(MalformedError,),
    ),
    door(
        verify_xeddsa,
        feed=lambda data: verify_xeddsa(DEVICE.public, data[64:], data[:64]),
        seeds=[DEVICE.sign(b"mepassa said") + b"mepassa said"],
        errors=SIGNATURE,
    ),
    door(
        verify_ed25519,
        feed=lambda data: verify_ed25519(data[64:96], data[96:], data[:64]),
        seeds=[HOME.sign(b"said") + HOME.public.raw + b"said"],
        errors=SIGNATURE,
    ),
    door(
        verify_home,
        feed=lambda data: verify_home(HOME.public, data[64:], data[:64]),
        seeds=[HOME.sign(b"said") + b"said"],
        errors=SIGNATURE,
    ),
    door(
        verify_blinded,
        feed=lambda data: verify_blinded(BLINDED.public, data[64:], data[:64]),
        seeds=[BLINDED.sign(b"said") + b"said"],
        errors=SIGNATURE,
    ),
    door(
        verify_root,
        feed=lambda data: verify_root(ROOT.public, data[:64], Label.DEVICE_LIST, data[64:]),
        seeds=[ROOT.sign(Label.DEVICE_LIST, b"said") + b"said"],
        errors=SIGNATURE,
    ),
    door(
        verify_recovery,
        feed=lambda data: verify_recovery(ROOT.public, data[:64], HOME.public, data[64:96], data[96:]),
        seeds=[ROOT.sign_recovery(HOME.public, bytes(32), bytes(32)) + bytes(64)],
        errors=SIGNATURE,
    ),
]

LISTS = [
    door(decode_device_list, seeds=[LIST.body, bytes(5000)], errors=(MalformedError, TooLargeError)),
    door(
        verify_device_list,
        feed=lambda data: verify_device_list(ROOT.public, with_signature(data)),
        seeds=[LIST.signature + LIST.body, ROOT.sign(Label.DEVICE_LIST, b"no list") + b"no list"],
        errors=(SignatureError, MalformedError),
    ),
    door(
        open_presence,
        feed=lambda data: open_presence(PRESENCE.public, 20_000, 1, data),
        seeds=[seal_presence(PRESENCE.public, 20_000, 1, b"record")],
        errors=(DecryptionError,),
    ),
]

TEXTS = [
    door(
        decode_recovery_phrase,
        feed=lambda data: decode_recovery_phrase(text(data)),
        seeds=[encode_recovery_phrase(ROOT, language).encode() for language in Language],
        errors=(RecoveryPhraseError,),
    ),
    door(
        parse_ip,
        feed=lambda data: parse_ip(text(data)),
        seeds=[b"203.0.113.7", b"2001:db8::1", b"::ffff:10.0.0.1"],
        errors=(MalformedError,),
    ),
    door(
        parse_home_url,
        feed=lambda data: parse_home_url(text(data)),
        seeds=[b"https://home.example:8443", b"http://[::1]:80/", b"https://10.0.0.1"],
        errors=(MalformedError,),
    ),
    door(
        check_home_url,
        feed=lambda data: check_home_url(text(data)),
        seeds=[b"https://home.example:8443", b"http://[::1]"],
        errors=(MalformedError,),
    ),
    door(
        "mepassa.model.ids.FixedBytes.from_hex",
        feed=lambda data: AccountId.from_hex(text(data)),
        seeds=[b"00112233445566778899aabbccddeeff"],
        errors=(MalformedError,),
    ),
]

IDENTITY = [*KEYS, *LISTS, *TEXTS]
