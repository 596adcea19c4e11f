"""What a database can add to `model.errors`."""

from mepassa.model.errors import LocalError


class StorageError(LocalError):
    sentence = "The database cannot be read or written; nothing was changed. Check the disk and try again."


class NewerDatabaseError(LocalError):
    sentence = "This database was written by a newer version of MePassa; use that version."
