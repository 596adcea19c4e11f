"""Each limit that the protocol's documents promise, as a figure: a test that reads the constant follows it wherever it goes."""

import importlib

import pytest

AS_WRITTEN = {
    "crypto.budget.OPENING_DERIVATIONS": 25_000,
    "crypto.budget.STRANGER_DERIVATIONS": 200,
    "crypto.budget.ARCHIVED_DERIVATIONS": 2_000,
    "crypto.double_ratchet.MAX_RECEIVING_CHAINS": 5,
    "crypto.double_ratchet.MAX_SKIPPED": 2_000,
    "crypto.double_ratchet.MAX_JUMP": 25_000,
    "crypto.spqr.chain.MAX_JUMP": 25_000,
    "crypto.spqr.chain.KEPT_KEYS": 2_000,
    "crypto.spqr.chain.MAX_EPOCHS": 3,
    "crypto.spqr.message.MAX_CHUNK_NUMBER": 65_535,
    "crypto.sender_keys.MAX_CHAINS": 5,
    "crypto.sender_keys.MAX_SKIPPED": 2_000,
    "crypto.sender_keys.MAX_JUMP": 25_000,
    "crypto.messages.ENVELOPE_ID_FIELD": 2021,
    "crypto.multi_recipient.MAX_DEVICE": 127,
    "crypto.multi_recipient.MAX_REGISTRATION_ID": 16_383,
    "crypto.padding.MAX_CONTENT_BYTES": 32_767,
    "crypto.blob_cipher.MAX_BLOB_BYTES": 4_294_967_296,
    "model.envelope.MAX_PLAINTEXT_BYTES": 32_768,
    "model.envelope.MAX_ENVELOPE_BYTES": 36_864,
    "model.envelope.MAX_REQUEST_ENVELOPE_BYTES": 8_192,
    "model.content.MAX_TEXT_BYTES": 16_384,
    "model.content.MAX_REQUEST_TEXT_BYTES": 2_048,
    "model.device_list.MAX_DEVICES": 16,
    "wire.link.MAX_RECORD_BYTES": 65_536,
    "wire.mailbox.MAX_FRAME_BYTES": 262_144,
    "wire.stun.message.MAX_ATTRIBUTES": 64,
    "protocol.contacts.MAX_PENDING_REQUESTS": 50,
    "protocol.inbound.MAX_REQUEST_TEXTS": 20,
    "protocol.inbound.ALIVE_MS": 10_000,
    "protocol.session_record.MAX_ARCHIVED": 40,
    "protocol.session_record.MAX_ARCHIVED_BYTES": 262_144,
    "protocol.sender_keys.MAX_PER_SENDER": 100,
    "protocol.healing.MAX_REQUESTS_PER_ENVELOPE": 3,
    "protocol.healing.MAX_UNANSWERED": 500,
    "protocol.healing.MAX_STAND_INS": 20,
    "protocol.signalling.MAX_CLOCK_DIFFERENCE_MS": 600_000,
    "client.inbox.MAX_HELD": 100,
    "client.api.gate.MAX_CODES": 8,
    "client.api.gate.CODE_LIFE_S": 60.0,
    "server.limits.MAX_KEYS": 50_000,
}


@pytest.mark.parametrize("name", AS_WRITTEN)
def test_a_limit_is_the_figure_that_was_promised(name: str) -> None:
    module, _, constant = name.rpartition(".")
    assert getattr(importlib.import_module(f"mepassa.{module}"), constant) == AS_WRITTEN[name]
