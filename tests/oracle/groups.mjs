// Commands for Sender Keys and sealed sender 2, beside those of oracle.mjs. Sender key records are kept serialised.
export function groupCommands({ signal, find, encode, decode, address, publicKey }) {
  class SenderKeys extends signal.SenderKeyStore {
    records = new Map();
    async saveSenderKey(sender, distribution, record) {
      this.records.set(`${sender}/${distribution}`, record.serialize());
    }
    async getSenderKey(sender, distribution) {
      const saved = this.records.get(`${sender}/${distribution}`);
      return saved ? signal.SenderKeyRecord.deserialize(saved) : null;
    }
  }

  const stores = new WeakMap();
  const keysOf = (me) => {
    if (!stores.has(me)) stores.set(me, new SenderKeys());
    return stores.get(me);
  };
  const certificateOf = (text) => signal.SenderCertificate.deserialize(decode(text));

  const commands = {
    async distribution({ id, distribution }) {
      const me = find(id);
      const message = await signal.SenderKeyDistributionMessage.create(me.address, distribution, keysOf(me));
      return {
        message: encode(message.serialize()), chain_id: message.chainId(), iteration: message.iteration(),
        chain_key: encode(message.chainKey()),
      };
    },

    async rotate({ id, distribution }) {
      const me = find(id);
      keysOf(me).records.delete(`${me.address}/${distribution}`);
      return commands.distribution({ id, distribution });
    },

    async take_distribution({ id, peer, message }) {
      await signal.processSenderKeyDistributionMessage(
        address(peer), signal.SenderKeyDistributionMessage.deserialize(decode(message)), keysOf(find(id)));
      return {};
    },

    async group_encrypt({ id, distribution, plaintext }) {
      const me = find(id);
      const message = await signal.groupEncrypt(me.address, distribution, keysOf(me), decode(plaintext));
      return { message: encode(message.serialize()) };
    },

    async group_decrypt({ id, peer, message }) {
      return { plaintext: encode(await signal.groupDecrypt(address(peer), keysOf(find(id)), decode(message))) };
    },

    // --- sealed sender 2 ---

    // `recipients`: addresses in the order in which the creator is told them; each needs a session.
    async seal_to_many({ id, distribution, plaintext, recipients, excluded, certificate, group_id }) {
      const me = find(id);
      const message = await signal.groupEncrypt(me.address, distribution, keysOf(me), decode(plaintext));
      const content = signal.UnidentifiedSenderMessageContent.new(message, certificateOf(certificate), 1, decode(group_id));
      return { sent: encode(await signal.sealedSenderMultiRecipientEncrypt({
        content, recipients: recipients.map(address),
        excludedRecipients: excluded.map((uuid) => signal.Aci.fromUuid(uuid)),
        identityStore: me.identities, sessionStore: me.sessions,
      })) };
    },

    async for_single_recipient({ sent }) {
      return { received: encode(signal.sealedSenderMultiRecipientMessageForSingleRecipient(decode(sent))) };
    },

    // The two-step way: open, validate, then the sender key of the address in the certificate.
    async open_from_group({ id, sealed, root, now }) {
      const me = find(id);
      const content = await signal.sealedSenderDecryptToUsmc(decode(sealed), me.identities);
      const certificate = content.senderCertificate();
      if (!certificate.validate(publicKey(root), now)) throw new Error('certificate');
      const sender = signal.ProtocolAddress.new(certificate.senderUuid(), certificate.senderDeviceId());
      return {
        type: content.msgType(), hint: content.contentHint(), group_id: encode(content.groupId()),
        sender: certificate.senderUuid(), device: certificate.senderDeviceId(),
        plaintext: encode(await signal.groupDecrypt(sender, keysOf(me), content.contents())),
      };
    },
  };
  return commands;
}
