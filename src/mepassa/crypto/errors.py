"""How opening can fail. Callers show and log `DecryptionError` alone; the classes below it are for tests and readers.

DecryptionError (model)          the bytes from outside do not open; nothing has changed
├── DuplicateMessageError (model)
├── InvalidKeyError              a public key or ciphertext is not proper
├── InvalidMessageError          not a message of a form and version that we speak
├── AuthenticationError          a MAC, tag or address binding does not match
├── TooManySkippedError          further ahead than we derive keys for
├── WorkBudgetError              the envelope has used up the work it may cause
├── SpqrError                    the post-quantum ratchet refuses (also: its field is absent)
├── PrekeyMissingError           names a prekey that is not there
├── SenderKeyMissingError        no sender key was distributed that opens it
└── NoOpeningSessionError        no session opens it
LocalError (model)
├── SenderKeyUsedUpError         our sender key has no iteration left
├── ForeignSenderKeyError        somebody else's sender key cannot send
└── CorruptRecordError           a saved state is not what we wrote
"""

from mepassa.model.errors import DecryptionError, LocalError


class InvalidKeyError(DecryptionError):
    sentence = "A key in this message is not a proper key."


class InvalidMessageError(DecryptionError):
    sentence = "This message is not of a form that is spoken here."


class AuthenticationError(DecryptionError):
    sentence = "This message does not prove where it comes from."


class TooManySkippedError(DecryptionError):
    """The header jumps further ahead than we are willing to derive keys for."""

    def __init__(self, gap: int, limit: int) -> None:
        super().__init__(f"A gap of {gap} messages is over the limit of {limit}.")
        self.gap, self.limit = gap, limit


class WorkBudgetError(DecryptionError):
    sentence = "This message asks for more work than one message may cause."


class SpqrError(DecryptionError):
    sentence = "The post-quantum ratchet does not accept this message."


class PrekeyMissingError(DecryptionError):
    sentence = "This message names a prekey that is not here any more."


class NoOpeningSessionError(DecryptionError):
    sentence = "No session opens this message."


class SenderKeyMissingError(DecryptionError):
    sentence = "The key for this group message has not arrived yet."


class SenderKeyUsedUpError(LocalError):
    sentence = "This group's sending key can send no more; a new one has to be distributed first."


class ForeignSenderKeyError(LocalError):
    sentence = "Only whoever made a sender key can send with it."


class SpentChainError(LocalError):
    sentence = "This session does not send any more; a new one has to be begun first."


class CorruptRecordError(LocalError):
    sentence = "A saved session is damaged."
