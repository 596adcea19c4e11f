"""STYLE of the errors: a peer never learns which check failed (docs/protocol/session.md, "Healing")."""

from collections.abc import Iterator

import pytest

from mepassa.crypto import errors
from mepassa.model.envelope import SealedEnvelope
from mepassa.model.errors import DecryptionError
from mepassa.protocol import inbound
from mepassa.protocol.account import local_identity
from mepassa.protocol.inbound import Fate
from mepassa.protocol.sealing import ResendRequest, open_sealed, read_plaintext
from tests.protocol.phones import Phone, befriend, settle


def all_kinds(of: type[DecryptionError]) -> Iterator[type[DecryptionError]]:
    yield of
    for kind in of.__subclasses__():
        yield from all_kinds(kind)


KINDS = sorted(set(all_kinds(DecryptionError)), key=lambda kind: kind.__name__)


def raised(kind: type[DecryptionError]) -> DecryptionError:
    return errors.TooManySkippedError(30_000, 25_000) if kind is errors.TooManySkippedError else kind()


def answer_to_failing(
    ana: Phone, beto: Phone, monkeypatch: pytest.MonkeyPatch, kind: type[DecryptionError]
) -> SealedEnvelope:
    """What Beto sends when Ana's message fails in this way."""

    def fail(*_: object, **__: object) -> object:
        raise raised(kind)

    ana.write(beto, "oi")
    (envelope,) = ana.post(beto)
    with monkeypatch.context() as patched:
        patched.setattr(inbound, "open_content", fail)
        assert beto.take(envelope).fate is Fate.COULD_NOT_OPEN
    (answer,) = beto.post(ana)
    return answer


def test_every_failure_inside_the_seal_is_answered_alike(
    ana: Phone, beto: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(KINDS) >= 10
    befriend(ana, beto)
    settle(ana, beto)
    sizes, shapes = set(), set()
    for kind in KINDS:
        answer = answer_to_failing(ana, beto, monkeypatch, kind)
        sizes.add(len(answer.raw))
        request = read_plaintext(open_sealed(local_identity(ana.own), answer))
        assert isinstance(request, ResendRequest)
        shapes.add((request.envelope_id is None, request.ratchet_key is None, request.device))
    assert len(sizes) == len(shapes) == 1


def test_every_failure_of_the_seal_is_answered_by_nothing(
    ana: Phone, beto: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    befriend(ana, beto)
    settle(ana, beto)
    for kind in KINDS:

        def fail(*_: object, kind: type[DecryptionError] = kind) -> object:
            raise raised(kind)

        ana.write(beto, "oi")
        (envelope,) = ana.post(beto)
        with monkeypatch.context() as patched:
            patched.setattr(inbound, "open_sealed", fail)
            assert beto.take(envelope).fate is Fate.DROPPED
        assert beto.post(ana) == []


def test_every_kind_of_failure_says_one_plain_sentence_without_data() -> None:
    for kind in KINDS:
        sentence = raised(kind).message
        assert sentence.endswith(".")
        assert kind.sentence or kind is errors.TooManySkippedError
