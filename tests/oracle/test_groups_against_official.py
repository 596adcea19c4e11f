"""docs/protocol/groups.md and sealed-sender.md, version 2, against the official library: one side is always the oracle."""

import random
from dataclasses import dataclass, field

import pytest

from mepassa.crypto.budget import WorkBudget
from mepassa.crypto.errors import AuthenticationError
from mepassa.crypto.kept_keys import NO_KEYS
from mepassa.crypto.keys import SigningKeyPair
from mepassa.crypto.messages import MessageType
from mepassa.crypto.multi_recipient import SentMessage, decode_sent_message, encode_sent_message
from mepassa.crypto.primitives import hmac_sha256
from mepassa.crypto.sealed_sender import SealedContent, encode_content
from mepassa.crypto.sealed_sender_v2 import Recipient, open_sealed, seal
from mepassa.crypto.sender_key_messages import (
    SenderKeyDistributionMessage,
    decode_sender_key_distribution_message,
    decode_sender_key_message,
    encode_sender_key_distribution_message,
)
from mepassa.crypto.sender_keys import (
    LAST_ITERATION,
    MAX_JUMP,
    SenderKeyChain,
    SenderKeyRecord,
    create,
    decrypt,
    distribution_message,
    encrypt,
    process_distribution,
)
from mepassa.identity import trust_root
from mepassa.model.errors import DecryptionError
from mepassa.model.ids import AccountId, Address, DistributionId
from mepassa.testing.chance import SeededRng
from tests.crypto.people import DAY_MS, NOW_MS, Person
from tests.oracle.official import OfficialError, OfficialPerson, Oracle, unpack


@pytest.fixture
def ours(seed: int) -> Person:
    return Person("ours", rng=SeededRng(seed))


@pytest.fixture
def theirs(oracle: Oracle, ours: Person) -> OfficialPerson:
    return oracle.person(ours.rng.token(16))


@pytest.fixture
def group(ours: Person) -> DistributionId:
    return DistributionId.from_random(ours.rng.token(16))


def distribution_of(speaker: OfficialPerson, group: DistributionId, *, anew: bool = False) -> bytes:
    return unpack(speaker.ask("rotate" if anew else "distribution", distribution=str(group.uuid))["message"])


def said_by(speaker: OfficialPerson, group: DistributionId, text: bytes) -> bytes:
    return unpack(speaker.ask("group_encrypt", distribution=str(group.uuid), plaintext=text)["message"])


def learn(record: SenderKeyRecord, distribution: bytes) -> SenderKeyRecord:
    return process_distribution(record, decode_sender_key_distribution_message(distribution))


def hear(record: SenderKeyRecord, message: bytes) -> tuple[SenderKeyRecord, bytes]:
    return decrypt(record, decode_sender_key_message(message), WorkBudget(MAX_JUMP))


def heard_by(listener: OfficialPerson, speaker: Address, message: bytes) -> bytes:
    return unpack(listener.ask("group_decrypt", peer=speaker, message=message)["plaintext"])


# --- sender keys -------------------------------------------------------------------------------------------------------


def test_an_official_sender_key_is_read_repeated_and_rotated(theirs: OfficialPerson, group: DistributionId) -> None:
    record = learn(SenderKeyRecord(group), distribution_of(theirs, group))
    for text in (b"", b"one", bytes(300)):
        record, read = hear(record, said_by(theirs, group, text))
        assert read == text
    again = decode_sender_key_distribution_message(distribution_of(theirs, group))
    assert (again.chain_id, again.iteration) == (record.chains[0].chain_id, 3)
    record = learn(record, distribution_of(theirs, group, anew=True))
    assert record.chains[0].chain_id != again.chain_id
    assert hear(record, said_by(theirs, group, b"anew"))[1] == b"anew"


def test_our_sender_key_is_read_officially_and_says_the_same_of_itself(
    ours: Person, theirs: OfficialPerson, group: DistributionId
) -> None:
    record = create(group, ours.rng.token)
    for text in (b"", b"one", bytes(300)):
        message = encode_sender_key_distribution_message(distribution_message(record))
        theirs.ask("take_distribution", peer=ours.own.address, message=message)
        record, said = encrypt(record, text)
        assert heard_by(theirs, ours.own.address, said) == text
        with pytest.raises(OfficialError):
            heard_by(theirs, ours.own.address, said)


@dataclass
class Speaker:
    """A device of ours whose chains are all at hand: it can say any iteration of any of them."""

    rng: SeededRng
    group: DistributionId
    chains: list[SenderKeyChain] = field(default_factory=list)

    def begin(self) -> SenderKeyChain:
        self.chains.append(create(self.group, self.rng.token).chains[0])
        return self.chains[-1]

    def at(self, chain: SenderKeyChain, iteration: int) -> SenderKeyChain:
        chain_key = chain.chain_key
        for _ in range(chain.next_iteration, iteration):
            chain_key = hmac_sha256(chain_key, b"\x02")
        return SenderKeyChain(chain.chain_id, iteration, chain_key, chain.signing_key, chain.signing_pair, NO_KEYS)

    def say(self, chain: SenderKeyChain, iteration: int, text: bytes = b"text") -> bytes:
        return encrypt(SenderKeyRecord(self.group, (self.at(chain, iteration),)), text)[1]

    def distribution(self, chain: SenderKeyChain, iteration: int = 0) -> bytes:
        record = SenderKeyRecord(self.group, (self.at(chain, iteration),))
        return encode_sender_key_distribution_message(distribution_message(record))


@dataclass
class TwoReaders:
    """Ours and the official one: told the same, they must come to the same."""

    speaker: Address
    official: OfficialPerson
    record: SenderKeyRecord
    outcomes: dict[str, int] = field(default_factory=dict)

    def learn(self, distribution: bytes) -> None:
        self.official.ask("take_distribution", peer=self.speaker, message=distribution)
        self.record = learn(self.record, distribution)

    def hear(self, message: bytes) -> bytes | None:
        """None: both refuse it, and our record has not changed."""
        ours: bytes | None
        saved = self.record.to_bytes()
        try:
            self.record, ours = hear(SenderKeyRecord.from_bytes(saved), message)
            outcome = "opened"
        except DecryptionError as error:
            ours, outcome = None, type(error).__name__
            assert self.record.to_bytes() == saved
        try:
            official: bytes | None = heard_by(self.official, self.speaker, message)
        except OfficialError:
            official = None
        assert ours == official, outcome
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        return ours


@pytest.fixture
def readers(ours: Person, theirs: OfficialPerson, group: DistributionId) -> TwoReaders:
    return TwoReaders(ours.own.address, theirs, SenderKeyRecord(group))


@pytest.fixture
def speaker(seed: int, group: DistributionId) -> Speaker:
    return Speaker(SeededRng(seed), group)


def test_both_readers_agree_on_whatever_comes(readers: TwoReaders, speaker: Speaker, seed: int) -> None:
    """New chains, old ones told again earlier or later, known ids with other keys; messages lost, late, twice, damaged."""
    dice = random.Random(seed)
    for _ in range(600):
        kind = dice.random()
        if kind < 0.06 or not speaker.chains:
            readers.learn(speaker.distribution(speaker.begin(), dice.randrange(5)))
            continue
        chain = speaker.chains[max(0, len(speaker.chains) - 1 - int(dice.expovariate(0.5)))]
        if kind < 0.14:
            readers.learn(speaker.distribution(chain, dice.randrange(40)))
        elif kind < 0.17:
            pair = SigningKeyPair.generate(speaker.rng.token)
            usurped = SenderKeyChain(chain.chain_id, 0, speaker.rng.token(32), pair.public, pair, NO_KEYS)
            speaker.chains.append(usurped)
            readers.learn(speaker.distribution(usurped))
        else:
            message = bytearray(speaker.say(chain, dice.randrange(40)))
            if kind < 0.3:
                message[dice.randrange(1, len(message))] ^= 1 << dice.randrange(8)
            readers.hear(bytes(message))
    print(readers.outcomes)
    assert readers.outcomes["opened"] >= 50
    assert {"DuplicateMessageError", "SenderKeyMissingError", "AuthenticationError"} <= readers.outcomes.keys()


def test_both_readers_have_the_same_limits(readers: TwoReaders, speaker: Speaker) -> None:
    chain = speaker.begin()
    readers.learn(speaker.distribution(chain))
    assert readers.hear(speaker.say(chain, 10)) is not None
    assert readers.hear(speaker.say(chain, 11 + 1_995)) is not None  # 2 005 would be kept: five too many
    assert readers.hear(speaker.say(chain, 4)) is None
    assert readers.hear(speaker.say(chain, 5)) is not None
    assert readers.hear(speaker.say(chain, 2_007 + 25_001)) is None
    assert readers.hear(speaker.say(chain, 2_007 + 25_000)) is not None
    assert readers.hear(speaker.say(chain, 2_007 + 25_000 - 2_001)) is None
    assert readers.hear(speaker.say(chain, 2_007 + 25_000 - 2_000)) is not None


def test_both_readers_stop_at_the_last_iteration(readers: TwoReaders, speaker: Speaker) -> None:
    chain = speaker.begin()
    last = SenderKeyChain(
        chain.chain_id, LAST_ITERATION, chain.chain_key, chain.signing_key, chain.signing_pair, NO_KEYS
    )
    readers.learn(speaker.distribution(last, LAST_ITERATION))
    beyond = SenderKeyDistributionMessage(speaker.group, 5, 2**32 - 1, chain.chain_key, chain.signing_key)
    readers.learn(encode_sender_key_distribution_message(beyond))
    assert readers.hear(speaker.say(last, LAST_ITERATION)) == b"text"
    assert readers.hear(speaker.say(last, LAST_ITERATION)) is None


def test_a_signed_message_that_does_not_decrypt_costs_nothing_on_either_side(
    readers: TwoReaders, speaker: Speaker
) -> None:
    chain = speaker.begin()
    readers.learn(speaker.distribution(chain))
    other_key = SenderKeyChain(chain.chain_id, 0, bytes(32), chain.signing_key, chain.signing_pair, NO_KEYS)
    damaged = next(
        said for size in range(64) if (said := speaker.say(other_key, 0, bytes(size))) and _unreadable(readers, said)
    )
    assert readers.hear(damaged) is None
    assert readers.hear(speaker.say(chain, 0)) == b"text"


def _unreadable(readers: TwoReaders, message: bytes) -> bool:
    """Under the wrong key one in 256 has proper padding by chance."""
    try:
        hear(readers.record, message)
    except DecryptionError:
        return True
    return False


# --- sealed sender 2 ---------------------------------------------------------------------------------------------------

GROUP_ID = b"group id"


@dataclass
class OurDevice:
    """One of our devices that an official sender knows."""

    person: Person
    address: Address

    def open(self, received: bytes) -> SealedContent:
        return open_sealed(self.person.own.key, received)


def our_device(account: AccountId, number: int, rng: SeededRng, registration_id: int) -> OurDevice:
    person = Person("device", rng=rng, device=number, registration_id=registration_id)
    return OurDevice(person, Address(account, number))


def met_by(official: OfficialPerson, device: OurDevice) -> None:
    official.initiate(device.address, device.person.bundle())


def official_seals(
    theirs: OfficialPerson, group: DistributionId, recipients: list[Address], excluded: list[AccountId] | None = None
) -> bytes:
    certificate = unpack(theirs.ask("certificate", expires=NOW_MS + DAY_MS)["certificate"])
    answer = theirs.ask(
        "seal_to_many",
        distribution=str(group.uuid),
        plaintext=b"to all",
        recipients=[[str(address.account.uuid), address.device] for address in recipients],
        excluded=[str(account.uuid) for account in excluded or []],
        certificate=certificate,
        group_id=GROUP_ID,
    )
    return unpack(answer["sent"])


def received_by(sent: SentMessage, address: Address) -> bytes:
    [copy] = [c for c in sent.copies if (c.service_id, c.device) == (address.service_id, address.device)]
    return sent.received_by(copy)


def test_what_an_official_creator_seals_in_mixed_order_opens_on_every_device(
    ours: Person, theirs: OfficialPerson, group: DistributionId
) -> None:
    """Two accounts of two devices with keys of their own: mixed, each device has its own entry."""
    rng = SeededRng(ours.rng.token(8).hex())
    beto, caio, dora = (AccountId(ours.rng.token(16)) for _ in range(3))
    devices = [our_device(account, number, rng, 100 * number) for number in (1, 2) for account in (beto, caio)]
    for device in devices:
        met_by(theirs, device)
    record = learn(SenderKeyRecord(group), distribution_of(theirs, group))
    sent = decode_sent_message(official_seals(theirs, group, [device.address for device in devices], [dora]))
    assert [(c.service_id, c.device, c.registration_id) for c in sent.copies] == [
        (d.address.service_id, d.address.device, 100 * d.address.device) for d in devices
    ]
    assert sent.excluded == (b"\x00" + dora.raw,)
    for device in devices:
        content = device.open(received_by(sent, device.address))
        assert (content.type, content.hint, content.group_id) == (MessageType.SENDER_KEY, 1, GROUP_ID)
        assert content.certificate.sender == theirs.address
        assert hear(record, content.message)[1] == b"to all"
    assert encode_sent_message(sent) == encode_sent_message(decode_sent_message(encode_sent_message(sent)))


def test_an_official_creator_gives_neighbouring_devices_the_first_ones_key(
    ours: Person, theirs: OfficialPerson, group: DistributionId
) -> None:
    """Why nothing of ours is sealed by account: the second device cannot open its copy."""
    rng = SeededRng(ours.rng.token(8).hex())
    first, second = (our_device(AccountId(ours.rng.token(16)), number, rng, 7) for number in (1, 2))
    second = OurDevice(second.person, Address(first.address.account, 2))
    for device in (first, second):
        met_by(theirs, device)
    distribution_of(theirs, group)
    sent = decode_sent_message(official_seals(theirs, group, [first.address, second.address]))
    assert [c.device for c in sent.copies] == [1, 2]
    assert sent.copies[0].sealed_key == sent.copies[1].sealed_key
    assert first.open(received_by(sent, first.address)).group_id == GROUP_ID
    with pytest.raises(AuthenticationError):
        second.open(received_by(sent, second.address))


def test_official_devices_open_their_copies_of_what_we_seal(
    ours: Person, oracle: Oracle, group: DistributionId
) -> None:
    """One account with two identity keys among them: our split, their one-step and two-step opening."""
    account = ours.rng.token(16)
    devices = [oracle.person(account, 1), oracle.person(account, 2), oracle.person(ours.rng.token(16), 1)]
    record = create(group, ours.rng.token)
    distribution = encode_sender_key_distribution_message(distribution_message(record))
    for device in devices:
        device.ask("take_distribution", peer=ours.own.address, message=distribution)
    record, message = encrypt(record, b"to all")
    sent = decode_sent_message(seal_to(ours, devices, message))
    root = trust_root(ours.root.public).raw
    for device in devices:
        facts = {"sealed": received_by(sent, device.address), "root": root, "now": NOW_MS}
        opened = device.ask("open_from_group", **facts)
        assert unpack(opened["plaintext"]) == b"to all"
        assert (opened["type"], opened["hint"], unpack(opened["group_id"])) == (7, 1, GROUP_ID)
        assert (opened["sender"], opened["device"]) == (str(ours.own.address.account.uuid), ours.own.address.device)
        with pytest.raises(OfficialError):
            device.ask("open", **facts)  # the one-call API takes no group messages
        others = [other for other in devices if other is not device]
        for other in others:
            with pytest.raises(OfficialError):
                other.ask("open_from_group", **facts)


def seal_to(
    ours: Person, devices: list[OfficialPerson], message: bytes, kind: MessageType = MessageType.SENDER_KEY
) -> bytes:
    content = encode_content(kind, ours.certificate, message, hint=1, group_id=GROUP_ID)
    recipients = [Recipient(device.address, 1234, device.identity_key) for device in devices]
    return encode_sent_message(seal(ours.own.key, recipients, content, ours.rng.token))


def test_the_older_library_reads_ours_and_is_read(ours: Person, older_oracle: Oracle, group: DistributionId) -> None:
    older = older_oracle.person(ours.rng.token(16))
    record = learn(SenderKeyRecord(group), distribution_of(older, group))
    for text in (b"one", b"two"):
        record, read = hear(record, said_by(older, group, text))
        assert read == text
    own = create(group, ours.rng.token)
    distribution = encode_sender_key_distribution_message(distribution_message(own))
    older.ask("take_distribution", peer=ours.own.address, message=distribution)
    _, message = encrypt(own, b"to all")
    sent = decode_sent_message(seal_to(ours, [older], message))
    root = trust_root(ours.root.public).raw
    opened = older.ask("open_from_group", sealed=received_by(sent, older.address), root=root, now=NOW_MS)
    assert unpack(opened["plaintext"]) == b"to all"


def test_the_official_parser_splits_what_we_send_to_one(ours: Person, theirs: OfficialPerson) -> None:
    sent = seal_to(ours, [theirs], b"message")
    received = unpack(theirs.oracle.ask("for_single_recipient", sent=sent)["received"])
    assert received == received_by(decode_sent_message(sent), theirs.address)


def test_version_2_carries_pairwise_messages_to_an_official_device(ours: Person, theirs: OfficialPerson) -> None:
    ours.initiate(theirs.remote, theirs.bundle())
    for text in (b"first", b"second"):
        ciphertext = ours.encrypt(theirs.remote, text)
        sent = decode_sent_message(seal_to(ours, [theirs], ciphertext.body, ciphertext.type))
        root = trust_root(ours.root.public).raw
        opened = theirs.ask("open", sealed=received_by(sent, theirs.address), root=root, now=NOW_MS)
        assert unpack(opened["plaintext"]) == text


def test_the_official_parser_and_ours_come_to_the_same_over_damage(
    ours: Person, theirs: OfficialPerson, seed: int
) -> None:
    """For one account, where the official package shows its parser. What it takes we take, but for three things: the older
    form, a count in a longer form than it needs, a device named twice."""
    sample, dice = seal_to(ours, [theirs], b"message"), random.Random(seed)
    outcomes = {"both": 0, "neither": 0, "only excluded": 0, "theirs alone": 0}
    for _ in range(400):
        data = bytearray(sample)
        if dice.random() < 0.3:
            del data[dice.randrange(len(data)) :]
        else:
            data[dice.randrange(24)] = dice.choice([0, 1, 0x22, 0x23, 0x7F, 0x80, 0xFF, dice.randrange(256)])
        try:
            official = unpack(theirs.oracle.ask("for_single_recipient", sent=bytes(data))["received"])
        except OfficialError:
            official = b""
        try:
            read = decode_sent_message(bytes(data))
        except DecryptionError:
            read = SentMessage((), (), b"")
        split = {read.received_by(copy) for copy in read.copies}  # one entry, perhaps of several devices
        if split:
            assert {official} == split, data.hex()
            outcomes["both"] += 1
        elif read.excluded:  # counted as the one recipient there, and given a message without a key
            assert official == b"\x22" + read.shared
            outcomes["only excluded"] += 1
        elif official:
            several_devices = data[20:21] >= b"\x80"
            assert data[0] == 0x22 or data[1] >= 0x80 or several_devices, data.hex()
            outcomes["theirs alone"] += 1
        else:
            outcomes["neither"] += 1
    print(outcomes)
    assert outcomes["both"] >= 20
    assert outcomes["neither"] >= 20
