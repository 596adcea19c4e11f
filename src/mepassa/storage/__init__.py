"""The device's encrypted database: one function = one transaction; and where its key lies."""

from mepassa.storage.database import InlineDb, SqlDb, open_database
from mepassa.storage.errors import NewerDatabaseError, StorageError
from mepassa.storage.key import (
    KeyFile,
    KeyPlace,
    Keyring,
    database_key_file,
    key_place,
    load_key,
    make_key,
    root_key_file,
)

__all__ = [
    "InlineDb",
    "KeyFile",
    "KeyPlace",
    "Keyring",
    "NewerDatabaseError",
    "SqlDb",
    "StorageError",
    "database_key_file",
    "key_place",
    "load_key",
    "make_key",
    "open_database",
    "root_key_file",
]
