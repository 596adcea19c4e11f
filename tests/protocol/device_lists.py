"""New device lists and new devices for phones of the tests."""

from dataclasses import replace

import msgspec

from mepassa.identity import IdentityKeyPair, decode_device_list, next_version, sign_device_list
from mepassa.model.device_list import DeviceEntry, DeviceList, SignedDeviceList
from mepassa.model.ids import Address
from mepassa.model.secret import SecretBytes
from mepassa.ports.stores import EventKind, Tx
from mepassa.protocol.sealing import issue_device_certificate
from tests.protocol.phones import Phone


def next_list(phone: Phone, *extra: DeviceEntry, drop: int | None = None, **changes: object) -> SignedDeviceList:
    """The phone's next list, signed by its root."""
    own = phone.db.run_now(lambda tx: tx.own())
    old = decode_device_list(own.device_list.body)
    fresh = DeviceList(
        version=next_version(old.version, phone.now),
        previous_hash=own.device_list.hash,
        devices=(*(entry for entry in old.devices if entry.device != drop), *extra),
        home_url=old.home_url,
        home_key=old.home_key,
    )
    return sign_device_list(phone.root, msgspec.structs.replace(fresh, **changes))


def become_second_device(phone: Phone) -> SignedDeviceList:
    """The phone goes on as device 2 with a new key, which only the returned list names."""
    own = phone.own
    key = IdentityKeyPair(SecretBytes(phone.rng.token(32)))
    signed = next_list(phone, DeviceEntry(2, key.public, 99))
    phone.own = replace(
        own,
        address=Address(own.address.account, 2),
        device_seed=key.seed,
        identity_key=key.public,
        registration_id=99,
        device_certificate=issue_device_certificate(phone.root, 2, key.public),
        device_list=signed,
        list_version=decode_device_list(signed.body).version,
    )

    def work(tx: Tx) -> None:
        tx.put_own(phone.own)
        tx.put_setting("sender-certificate", None)

    phone.db.run_now(work)
    return signed


def alarms(phone: Phone) -> list[str | None]:
    return [event.note for event in phone.db.run_now(lambda tx: tx.events_after(0)) if event.kind is EventKind.ALARM]
