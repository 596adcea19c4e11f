"""docs/protocol/groups.md, "Whose key is where": whole devices over real databases, envelopes carried by hand."""

from dataclasses import dataclass, replace

import pytest

from mepassa.crypto.errors import AuthenticationError, InvalidMessageError, SenderKeyMissingError
from mepassa.crypto.kept_keys import NO_KEYS
from mepassa.crypto.messages import MessageType
from mepassa.crypto.padding import pad
from mepassa.crypto.primitives import kdf_ck
from mepassa.crypto.sender_key_messages import (
    decode_sender_key_distribution_message,
    encode_sender_key_distribution_message,
)
from mepassa.crypto.sender_keys import (
    LAST_ITERATION,
    MAX_SKIPPED,
    SenderKeyChain,
    SenderKeyRecord,
    create,
    distribution_message,
    encrypt,
)
from mepassa.identity import IdentityKeyPair
from mepassa.model.content import SenderKeyDistribution
from mepassa.model.device_list import DeviceEntry, SignedDeviceList
from mepassa.model.envelope import SealedEnvelope
from mepassa.model.errors import DecryptionError, DuplicateMessageError, TooLargeError
from mepassa.model.ids import AccountId, Address, DistributionId, MessageId, Timestamp
from mepassa.model.secret import SecretBytes
from mepassa.ports.stores import OutboxKind, OwnSenderKey, Tx
from mepassa.protocol import sender_keys
from mepassa.protocol.account import local_identity, roll_forward
from mepassa.protocol.devices import learn_list, listed_devices
from mepassa.protocol.inbound import Fate
from mepassa.protocol.outbound import Draft, address, make_content
from mepassa.protocol.sealing import Recipient, SenderVerdict, Unsealed, open_sealed, validate_sender
from mepassa.protocol.sender_keys import LIFETIME_MS, MAX_BYTES_PER_SENDER, MAX_PER_SENDER, GroupSealed, Renewed
from mepassa.testing import SeededRng
from mepassa.wire.content import decode_content
from tests.protocol.device_lists import next_list
from tests.protocol.phones import Phone, befriend

GROUP = DistributionId.from_random(b"a group of three")
GROUP_ID = b"group id"


def carry(one: Phone, two: Phone) -> list[Fate]:
    """What waits between these two, both ways, until nothing does; what one of them has for others stays."""
    fates = []
    for _ in range(12):
        for sender, reader in ((one, two), (two, one)):
            fates += [reader.take(envelope).fate for envelope in sender.post(reader)]
        if not any(row.to in {one.address, two.address} for row in (*one.outbox(), *two.outbox())):
            return fates
        one.clock.advance(6)
    raise AssertionError("two devices do not come to rest")


def member(phone: Phone) -> Recipient:
    return Recipient(phone.address, phone.own.registration_id, phone.own.identity_key)


def say(phone: Phone, text: bytes, *members: Recipient) -> GroupSealed:
    return phone.db.run_now(
        lambda tx: sender_keys.seal_to_group(
            tx, GROUP, members, text, group_id=GROUP_ID, now_ms=phone.now, rng=phone.rng
        )
    )


def unseal(phone: Phone, envelope: SealedEnvelope, sender: Phone) -> Unsealed:
    """Opened and validated as any envelope is."""
    unsealed = open_sealed(local_identity(phone.own), envelope)
    contact = phone.contact(sender)
    verdict = validate_sender(unsealed, contact.root_key, listed_devices(contact), phone.now)
    assert verdict is SenderVerdict.VALID
    assert (unsealed.type, unsealed.sender, unsealed.group_id) == (MessageType.SENDER_KEY, sender.address, GROUP_ID)
    return unsealed


def hear(phone: Phone, envelope: SealedEnvelope, sender: Phone) -> bytes:
    unsealed = unseal(phone, envelope, sender)
    opened = phone.db.run_now(lambda tx: sender_keys.open_from_group(tx, unsealed.sender, unsealed.body, phone.now))
    assert opened.distribution_id == GROUP
    return opened.plaintext


def kept(phone: Phone, sender: Phone) -> bytes | None:
    return phone.db.run_now(lambda tx: tx.sender_key(sender.address, GROUP))


def chain_id(phone: Phone) -> int:
    key = phone.db.run_now(lambda tx: tx.own_sender_key(GROUP))
    assert key is not None
    return SenderKeyRecord.from_bytes(key.record).chains[0].chain_id


@dataclass
class Three:
    """Ana knows Beto and Caio; who these two are to each other does not matter."""

    ana: Phone
    beto: Phone
    caio: Phone

    @property
    def all(self) -> tuple[Recipient, ...]:
        return member(self.ana), member(self.beto), member(self.caio)

    def say(self, text: bytes, *members: Recipient) -> dict[str, SealedEnvelope]:
        """What Ana says to these (None: to all), with the keys carried; by name."""
        sealed = say(self.ana, text, *(members or self.all))
        for other in (self.beto, self.caio):
            carry(self.ana, other)
        names = {self.beto.address: "beto", self.caio.address: "caio"}
        return {names[to]: envelope for to, envelope in sealed.copies}


@pytest.fixture
def three(ana: Phone, beto: Phone, caio: Phone) -> Three:
    befriend(ana, beto)
    befriend(ana, caio)
    return Three(ana, beto, caio)


# --- one message to all ------------------------------------------------------------------------------------------------


def test_a_group_message_is_encrypted_once_and_read_by_every_member(three: Three) -> None:
    sealed = say(three.ana, b"oi", *three.all)
    assert (sealed.renewed, sealed.untold) == (Renewed.FIRST, ())
    assert [to for to, _ in sealed.copies] == [three.beto.address, three.caio.address]
    rows = three.ana.outbox()
    assert [(row.to, row.kind, row.envelope is not None) for row in rows] == [
        (three.beto.address, OutboxKind.CONTROL, True),
        (three.caio.address, OutboxKind.CONTROL, True),
    ]
    for other in (three.beto, three.caio):
        assert set(carry(three.ana, other)) == {Fate.OPENED}
    bodies = set()
    for phone, (_, envelope) in zip((three.beto, three.caio), sealed.copies, strict=True):
        bodies.add(unseal(phone, envelope, three.ana).body)
        assert hear(phone, envelope, three.ana) == b"oi"
    assert len(bodies) == 1


def test_who_holds_the_key_is_told_once(three: Three) -> None:
    three.say(b"one")
    first = chain_id(three.ana)
    for number in range(3):
        sealed = say(three.ana, b"%d" % number, *three.all)
        assert (sealed.renewed, three.ana.waiting()) == (None, 0)
        assert hear(three.beto, sealed.copies[0][1], three.ana) == b"%d" % number
        three.ana.reopen()
        three.beto.reopen()
    assert chain_id(three.ana) == first


def test_a_new_member_reads_from_now_on_and_nothing_before(three: Three) -> None:
    before = three.say(b"before", member(three.beto))["beto"]
    now = three.say(b"now")
    assert (hear(three.beto, before, three.ana), hear(three.beto, now["beto"], three.ana)) == (b"before", b"now")
    assert hear(three.caio, now["caio"], three.ana) == b"now"
    key = SenderKeyRecord.from_bytes(kept(three.caio, three.ana) or b"").chains[0]
    assert (key.next_iteration, key.skipped_seeds.numbers()) == (2, [])
    body = unseal(three.beto, before, three.ana).body
    with pytest.raises(DuplicateMessageError):
        three.caio.db.run_now(lambda tx: sender_keys.open_from_group(tx, three.ana.address, body, three.caio.now))


def test_messages_may_overtake_each_other_and_their_key(three: Three) -> None:
    sealed = [say(three.ana, b"%d" % number, *three.all).copies[0][1] for number in range(4)]
    with pytest.raises(SenderKeyMissingError):
        hear(three.beto, sealed[3], three.ana)
    carry(three.ana, three.beto)
    for number in (3, 0, 2, 1):
        assert hear(three.beto, sealed[number], three.ana) == b"%d" % number
        with pytest.raises(DuplicateMessageError):
            hear(three.beto, sealed[number], three.ana)


def test_content_that_is_too_long_is_refused_before_anything_else(three: Three) -> None:
    with pytest.raises(TooLargeError):
        say(three.ana, bytes(32_768), *three.all)
    assert three.ana.db.run_now(lambda tx: tx.own_sender_key(GROUP)) is None
    longest = bytes(32_767)
    assert hear(three.beto, three.say(longest)["beto"], three.ana) == longest


# --- when the key is made anew -----------------------------------------------------------------------------------------


def test_who_leaves_cannot_read_on(three: Three) -> None:
    three.say(b"with caio")
    first = chain_id(three.ana)
    sealed = say(three.ana, b"without caio", member(three.ana), member(three.beto))
    assert (sealed.renewed, [to for to, _ in sealed.copies]) == (Renewed.HOLDER_LEFT, [three.beto.address])
    assert {row.to for row in three.ana.outbox()} == {three.beto.address}
    carry(three.ana, three.beto)
    assert chain_id(three.ana) != first
    assert hear(three.beto, sealed.copies[0][1], three.ana) == b"without caio"
    body = unseal(three.beto, sealed.copies[0][1], three.ana).body
    with pytest.raises(SenderKeyMissingError):
        three.caio.db.run_now(lambda tx: sender_keys.open_from_group(tx, three.ana.address, body, three.caio.now))


def members_of(phone: Phone, other: Phone) -> list[Recipient]:
    """As the list that `phone` has of the other's account names them."""
    devices = listed_devices(phone.contact(other))
    assert devices is not None
    return [
        Recipient(Address(other.account, entry.device), entry.registration_id, entry.identity_key)
        for entry in devices.devices
    ]


def learn(phone: Phone, other: Phone, signed: SignedDeviceList) -> None:
    contact = phone.contact(other)
    phone.db.run_now(lambda tx: learn_list(tx, contact, signed))


def test_a_removed_device_is_a_holder_that_left(three: Three) -> None:
    ana, caio = three.ana, three.caio
    key = IdentityKeyPair(SecretBytes(b"2" * 32)).public
    learn(ana, caio, next_list(caio, DeviceEntry(2, key, 7)))
    first = say(ana, b"to both", *members_of(ana, caio))
    assert [to.device for to, _ in first.copies] == [1, 2]
    with_two = say(ana, b"to both", *members_of(ana, caio))
    assert (with_two.renewed, len(with_two.copies)) == (None, 2)
    caio.db.run_now(lambda tx: tx.put_own(replace(caio.own, list_version=ana.contact(caio).list_version)))
    ana.clock.advance(1)
    learn(ana, caio, next_list(caio, version=ana.contact(caio).list_version + 1))
    assert [to.address.device for to in members_of(ana, caio)] == [1]
    assert say(ana, b"to one", *members_of(ana, caio)).renewed is Renewed.HOLDER_LEFT
    assert say(ana, b"to one", *members_of(ana, caio)).renewed is None


def test_another_identity_key_at_the_same_number_is_another_device(three: Three) -> None:
    three.say(b"first")
    usurper = replace(member(three.caio), identity_key=IdentityKeyPair(SecretBytes(b"u" * 32)).public)
    sealed = say(three.ana, b"x", member(three.beto), usurper)
    assert (sealed.renewed, sealed.untold) == (Renewed.HOLDER_LEFT, (usurper,))
    assert [to for to, _ in sealed.copies] == [three.beto.address]
    assert three.caio.address not in {row.to for row in three.ana.outbox()}


def test_a_key_is_made_anew_at_14_days_and_not_before(three: Three) -> None:
    three.say(b"first")
    first = chain_id(three.ana)
    begun = three.ana.db.run_now(lambda tx: tx.own_sender_key(GROUP))
    assert begun is not None
    three.ana.clock.advance((begun.created_ms + LIFETIME_MS - 1 - three.ana.now) / 1000)
    assert say(three.ana, b"still", *three.all).renewed is None
    assert chain_id(three.ana) == first
    three.ana.clock.advance(0.001)
    assert say(three.ana, b"anew", *three.all).renewed is Renewed.AGE
    assert chain_id(three.ana) != first
    assert {row.to for row in three.ana.outbox()} == {three.beto.address, three.caio.address}


def test_a_clock_that_went_back_does_not_prolong_a_keys_life(three: Three) -> None:
    three.say(b"first")

    def made_tomorrow(tx: Tx) -> None:
        key = tx.own_sender_key(GROUP)
        assert key is not None
        tx.put_own_sender_key(replace(key, created_ms=Timestamp(three.ana.now + 1)))

    three.ana.db.run_now(made_tomorrow)
    assert say(three.ana, b"x", *three.all).renewed is Renewed.AGE


def test_a_used_up_key_is_made_anew(three: Three) -> None:
    three.say(b"first")

    def at_the_end(tx: Tx, iteration: int) -> None:
        key = tx.own_sender_key(GROUP)
        assert key is not None
        chain = SenderKeyRecord.from_bytes(key.record).chains[0]
        moved = SenderKeyChain(
            chain.chain_id, iteration, chain.chain_key, chain.signing_key, chain.signing_pair, NO_KEYS
        )
        tx.put_own_sender_key(replace(key, record=SenderKeyRecord(GROUP, (moved,)).to_bytes()))

    three.ana.db.run_now(lambda tx: at_the_end(tx, LAST_ITERATION))
    assert say(three.ana, b"the last", *three.all).renewed is None
    assert say(three.ana, b"the first", *three.all).renewed is Renewed.USED_UP


def test_after_a_restored_backup_the_key_is_a_new_one(three: Three) -> None:
    """The lost run may have encrypted with this very iteration; the same key for two texts would open both."""
    three.say(b"first")
    first = chain_id(three.ana)
    three.ana.db.run_now(lambda tx: roll_forward(tx, 7))
    assert say(three.ana, b"x", *three.all).renewed is Renewed.FIRST
    assert chain_id(three.ana) != first


def test_a_damaged_key_of_ours_is_made_anew_and_one_of_theirs_is_missing(three: Three) -> None:
    envelope = three.say(b"first")["beto"]
    three.ana.db.run_now(lambda tx: tx.put_own_sender_key(OwnSenderKey(GROUP, b"damaged", three.ana.now)))
    three.beto.db.run_now(lambda tx: tx.put_sender_key(three.ana.address, GROUP, b"damaged", three.beto.now))
    with pytest.raises(SenderKeyMissingError):
        hear(three.beto, envelope, three.ana)
    assert say(three.ana, b"x", *three.all).renewed is Renewed.DAMAGED
    sealed = say(three.ana, b"y", *three.all)
    carry(three.ana, three.beto)
    assert hear(three.beto, sealed.copies[0][1], three.ana) == b"y"


def test_whoever_leaves_forgets_its_own_key(three: Three) -> None:
    three.say(b"first")
    three.ana.db.run_now(lambda tx: sender_keys.forget_own(tx, GROUP))
    assert three.ana.db.run_now(lambda tx: (tx.own_sender_key(GROUP), tx.sender_key_holders(GROUP))) == (None, ())


def test_a_device_that_could_not_read_is_told_a_new_key(three: Three) -> None:
    three.say(b"first")
    first = chain_id(three.ana)
    three.beto.db.run_now(lambda tx: tx.delete_sender_key(three.ana.address))
    three.ana.db.run_now(lambda tx: sender_keys.tell_again(tx, three.beto.address))
    sealed = say(three.ana, b"again", *three.all)
    assert sealed.renewed is Renewed.FIRST
    assert chain_id(three.ana) != first
    assert {row.to for row in three.ana.outbox()} == {three.beto.address, three.caio.address}
    carry(three.ana, three.beto)
    assert hear(three.beto, sealed.copies[0][1], three.ana) == b"again"


def test_who_asks_to_be_told_again_and_is_removed_then_reads_nothing_more(three: Three) -> None:
    """It may hold the old key all the same: asking must not take it off the list of those who do."""
    three.say(b"first")
    first = chain_id(three.ana)
    three.ana.db.run_now(lambda tx: sender_keys.tell_again(tx, three.caio.address))
    say(three.ana, b"without Caio", member(three.beto))
    assert chain_id(three.ana) != first


def test_strangers_and_the_blocked_are_told_nothing_and_get_no_copy(ana: Phone, beto: Phone, caio: Phone) -> None:
    befriend(ana, beto)
    befriend(ana, caio)
    ana.block(caio)
    stranger = Recipient(Address(AccountId(bytes(16)), 1), 1, IdentityKeyPair(SecretBytes(b"s" * 32)).public)
    carry(ana, beto)
    sealed = say(ana, b"x", member(beto), member(caio), stranger)
    assert sealed.untold == (member(caio), stranger)
    assert [to for to, _ in sealed.copies] == [beto.address]
    holders = ana.db.run_now(lambda tx: tx.sender_key_holders(GROUP))
    assert [holder.address for holder in holders] == [beto.address]


def test_what_was_sealed_is_undone_with_its_transaction(three: Three) -> None:
    """A crash before the commit repeats a send; it never uses an iteration twice."""
    three.say(b"first")
    before = three.ana.db.run_now(lambda tx: tx.own_sender_key(GROUP))

    def fails(tx: Tx) -> None:
        members = (*three.all[:2],)
        sender_keys.seal_to_group(tx, GROUP, members, b"x", group_id=GROUP_ID, now_ms=three.ana.now, rng=three.ana.rng)
        raise LookupError

    with pytest.raises(LookupError):
        three.ana.db.run_now(fails)
    assert three.ana.db.run_now(lambda tx: tx.own_sender_key(GROUP)) == before
    assert three.ana.waiting() == 0


# --- reading -----------------------------------------------------------------------------------------------------------


def test_a_refused_message_leaves_the_record_as_it_was(three: Three) -> None:
    envelope = three.say(b"text")["beto"]
    body = unseal(three.beto, envelope, three.ana).body
    saved = kept(three.beto, three.ana)
    for place in range(len(body)):
        tampered = bytearray(body)
        tampered[place] ^= 1 << place % 8
        with pytest.raises(DecryptionError):
            three.beto.db.run_now(
                lambda tx: sender_keys.open_from_group(tx, three.ana.address, bytes(tampered), three.beto.now)
            )
    assert kept(three.beto, three.ana) == saved
    assert hear(three.beto, envelope, three.ana) == b"text"


def test_a_signed_message_with_bad_padding_leaves_the_record_as_it_was(three: Three) -> None:
    three.say(b"first")
    key = three.ana.db.run_now(lambda tx: tx.own_sender_key(GROUP))
    assert key is not None
    _, body = encrypt(SenderKeyRecord.from_bytes(key.record), b"never padded")
    saved = kept(three.beto, three.ana)
    with pytest.raises(InvalidMessageError):
        three.beto.db.run_now(lambda tx: sender_keys.open_from_group(tx, three.ana.address, body, three.beto.now))
    assert kept(three.beto, three.ana) == saved


def tell(phone: Phone, other: Phone, message: bytes) -> list[Fate]:
    """A distribution of any bytes, over the true pairwise session."""
    contact = phone.contact(other)

    def work(tx: Tx) -> None:
        draft = Draft(SenderKeyDistribution(message), MessageId(phone.rng.token(16)))
        address(tx, contact, make_content(tx, contact, draft, phone.now), phone.now, phone.rng)

    phone.db.run_now(work)
    return carry(phone, other)


def test_a_distribution_counts_for_the_device_that_brought_it_alone(three: Three) -> None:
    """Caio tells Beto a key under the ids of Ana's: what Beto has of Ana stays, and Ana is not read with Caio's."""
    befriend(three.beto, three.caio)
    envelope = three.say(b"from ana")["beto"]
    saved = kept(three.beto, three.ana)
    assert saved is not None
    theirs = SenderKeyRecord.from_bytes(saved).chains[0]
    forged = create(GROUP, three.caio.rng.token).chains[0]
    usurped = SenderKeyChain(theirs.chain_id, 0, forged.chain_key, forged.signing_key, forged.signing_pair, NO_KEYS)
    record = SenderKeyRecord(GROUP, (usurped,))
    message = encode_sender_key_distribution_message(distribution_message(record))
    assert Fate.OPENED in tell(three.caio, three.beto, message)
    assert kept(three.beto, three.ana) == saved
    assert kept(three.beto, three.caio) is not None
    _, body = encrypt(record, b"not from ana")
    with pytest.raises(AuthenticationError):
        three.beto.db.run_now(lambda tx: sender_keys.open_from_group(tx, three.ana.address, body, three.beto.now))
    assert hear(three.beto, envelope, three.ana) == b"from ana"


def test_a_distribution_that_is_none_changes_nothing(three: Three) -> None:
    three.say(b"first")
    saved = kept(three.beto, three.ana)
    good = distribution_message(create(GROUP, three.ana.rng.token))
    message = encode_sender_key_distribution_message(good)
    for raw in (b"x", message[:-1], b"\x34" + message[1:]):
        assert Fate.OPENED in tell(three.ana, three.beto, raw)
    assert kept(three.beto, three.ana) == saved


def test_one_device_cannot_fill_the_disk_with_keys(ana: Phone, beto: Phone) -> None:
    dice = SeededRng("many groups")
    groups = [DistributionId.from_random(dice.token(16)) for _ in range(MAX_PER_SENDER + 1)]
    told = [
        SenderKeyDistribution(encode_sender_key_distribution_message(distribution_message(create(group, dice.token))))
        for group in groups
    ]

    def tell_all(tx: Tx) -> tuple[DistributionId, ...]:
        for place, body in enumerate(told[:-1]):
            assert sender_keys.take_distribution(tx, beto.address, body, Timestamp(ana.now + place))
        later = Timestamp(ana.now + MAX_PER_SENDER)
        sender_keys.take_distribution(tx, beto.address, told[0], later)  # told again: in use
        assert tuple(tx.sender_keys(beto.address)) == (*groups[1:-1], groups[0])
        sender_keys.take_distribution(tx, beto.address, told[-1], Timestamp(later + 1))
        return tuple(tx.sender_keys(beto.address))

    assert ana.db.run_now(tell_all) == (*groups[2:-1], groups[0], groups[-1])


def test_one_device_cannot_fill_the_disk_with_what_it_skips(ana: Phone, beto: Phone) -> None:
    """Chains that pass over as many messages as a record keeps the seeds of, in group after group."""
    dice = SeededRng("skipping")

    def skip_in(tx: Tx, place: int) -> DistributionId:
        record = create(DistributionId.from_random(dice.token(16)), dice.token)
        now_ms = Timestamp(ana.now + place)
        told = SenderKeyDistribution(encode_sender_key_distribution_message(distribution_message(record)))
        assert sender_keys.take_distribution(tx, beto.address, told, now_ms)
        chain = record.chains[0]
        for _ in range(MAX_SKIPPED):
            chain = replace(chain, chain_key=kdf_ck(chain.chain_key)[0], next_iteration=chain.next_iteration + 1)
        _, message = encrypt(SenderKeyRecord(record.distribution_id, (chain,)), pad(b"x"))
        sender_keys.open_from_group(tx, beto.address, message, now_ms)
        return record.distribution_id

    groups = [ana.db.run_now(lambda tx: skip_in(tx, place)) for place in range(40)]
    kept_bytes = ana.db.run_now(lambda tx: tx.sender_keys(beto.address))
    assert sum(kept_bytes.values()) <= MAX_BYTES_PER_SENDER
    assert tuple(kept_bytes) == tuple(groups[-len(kept_bytes) :]), "the newest stay"
    assert len(kept_bytes) > 20


def test_the_keys_of_a_device_that_is_gone_are_dropped(three: Three) -> None:
    three.say(b"first")
    assert kept(three.beto, three.ana) is not None
    learn(three.beto, three.ana, next_list(three.ana))
    assert kept(three.beto, three.ana) is not None
    own = three.ana.db.run_now(lambda tx: tx.own())
    entry = DeviceEntry(1, own.identity_key, own.registration_id % 16_380 + 1)
    three.ana.clock.advance(1)
    learn(three.beto, three.ana, next_list(three.ana, entry, drop=1))
    assert kept(three.beto, three.ana) is None


def test_a_group_message_in_the_inbox_leaves_the_pair_chat_alone(three: Three) -> None:
    """Groups are not spoken yet: it is acknowledged and dropped, and nothing says "could not be opened"."""
    envelope = three.say(b"first")["beto"]
    assert three.beto.take(envelope).fate is Fate.DROPPED
    assert three.beto.unopened(three.ana) == 0
    assert three.beto.take(envelope).fate is Fate.SEEN_BEFORE


def test_the_distribution_is_the_present_of_the_chain(three: Three) -> None:
    three.say(b"first", member(three.beto))
    contact = three.ana.contact(three.caio)
    say(three.ana, b"second", *three.all)
    [row] = [row for row in three.ana.outbox() if row.to.account == contact.account]
    body = decode_content(row.content).body
    assert isinstance(body, SenderKeyDistribution)
    message = decode_sender_key_distribution_message(body.message)
    assert (message.iteration, message.chain_id) == (1, chain_id(three.ana))
    assert repr(message).startswith("<")  # its chain key is not printed
