"""Whether this device is still one of its account's (docs/protocol/identity.md, "Recovery").

Only the root key can say so: a home that lets nobody in is a home that is away.
"""

from mepassa.identity import verify_device_list
from mepassa.model.device_list import SignedDeviceList
from mepassa.model.errors import DeviceRemovedError
from mepassa.ports.stores import Tx
from mepassa.protocol.alarms import Alarm, raise_alarm
from mepassa.protocol.device_changes import drop_waiting

_REMOVED = "device-removed"
"""A setting that is there once a newer list of our root key names this device no longer."""


def is_removed(tx: Tx) -> bool:
    return tx.setting(_REMOVED) is not None


def check_not_removed(tx: Tx) -> None:
    """Before whatever would have to reach somebody: saying that it is done would be false.

    What concerns this screen alone (read marks, verification marks) is allowed. Raises `DeviceRemovedError`.
    """
    if is_removed(tx):
        raise DeviceRemovedError


def learn_own_list(tx: Tx, offered: SignedDeviceList) -> bool:
    """What our home shows as our account's list. True when this device has been removed: then nothing is sent any more.

    Raises `SignatureError` or `MalformedError` for a list that our root key has not signed.
    """
    own = tx.own()
    devices = verify_device_list(own.root_key, offered)
    listed = devices.lists(own.address.device, own.identity_key)
    if devices.version <= own.list_version or listed or is_removed(tx):
        return is_removed(tx)
    become_removed(tx)
    return True


def become_removed(tx: Tx) -> None:
    """A list of our root key, newer than ours, does not name this device: it falls silent, and says so."""
    tx.put_setting(_REMOVED, b"\x01")
    drop_waiting(tx)
    raise_alarm(tx, Alarm.DEVICE_REMOVED)
