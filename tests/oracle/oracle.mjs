// The official library behind JSON lines: one request a line on stdin, one answer a line on stdout; or an array of
// requests and an array of answers, carried out in their order. The package to run is named on the command line.
// A black box for tests only. Bytes travel as base64; an error comes back as {"error", "code", "name"}.
import { createInterface } from 'node:readline';
import { groupCommands } from './groups.mjs';

const signal = await import(process.argv[2]);

const encode = (bytes) => Buffer.from(bytes).toString('base64');
const decode = (text) => new Uint8Array(Buffer.from(text, 'base64'));
const publicKey = (text) => signal.PublicKey.deserialize(decode(text));
const address = ([name, device]) => signal.ProtocolAddress.new(name, device);
// Newer versions are told who they are, too, wherever a session is used.
const own = signal.signalEncrypt.length > 4 ? (me) => [me.address] : () => [];

// --- stores: in memory, serialised like real ones; an unknown id throws ------------------------------------------------

class Sessions extends signal.SessionStore {
  records = new Map();
  async saveSession(name, record) { this.records.set(name.toString(), record.serialize()); }
  async getSession(name) {
    const saved = this.records.get(name.toString());
    return saved ? signal.SessionRecord.deserialize(saved) : null;
  }
  async getExistingSessions(names) { return Promise.all(names.map((name) => this.getSession(name))); }
}

class Identities extends signal.IdentityKeyStore {
  known = new Map();
  constructor(key, registrationId) { super(); this.key = key; this.registrationId = registrationId; }
  async getIdentityKey() { return this.key; }
  async getLocalRegistrationId() { return this.registrationId; }
  async saveIdentity(name, key) { this.known.set(name.toString(), key); return 0; }
  async isTrustedIdentity() { return true; }
  async getIdentity(name) { return this.known.get(name.toString()) ?? null; }
}

const take = (map, id) => {
  if (!map.has(id)) throw new Error(`unknown prekey ${id}`);
  return map.get(id);
};

class Prekeys extends signal.PreKeyStore {
  keys = new Map();
  async savePreKey(id, record) { this.keys.set(id, record); }
  async getPreKey(id) { return take(this.keys, id); }
  async removePreKey(id) { this.keys.delete(id); }
}

class SignedPrekeys extends signal.SignedPreKeyStore {
  keys = new Map();
  async saveSignedPreKey(id, record) { this.keys.set(id, record); }
  async getSignedPreKey(id) { return take(this.keys, id); }
}

class KyberPrekeys extends signal.KyberPreKeyStore {
  keys = new Map();
  async saveKyberPreKey(id, record) { this.keys.set(id, record); }
  async getKyberPreKey(id) { return take(this.keys, id); }
  async markKyberPreKeyUsed(id) { this.keys.delete(id); } // all of them are for one use
}

// --- people ------------------------------------------------------------------------------------------------------------

const people = new Map();
const find = (id) => people.get(id);
const when = (now) => (now === undefined ? new Date() : new Date(now));

function makeBundle(b) {
  return signal.PreKeyBundle.new(
    b.registration_id, b.device,
    b.one_time_id ?? null, b.one_time ? publicKey(b.one_time) : null,
    b.signed_id, publicKey(b.signed), decode(b.signed_signature),
    publicKey(b.identity_key),
    b.kyber_id, signal.KEMPublicKey.deserialize(decode(b.kyber)), decode(b.kyber_signature),
  );
}

async function decryptMessage(me, peer, type, body) {
  const { sessions, identities } = me;
  if (type === 3) {
    const message = signal.PreKeySignalMessage.deserialize(decode(body));
    return signal.signalDecryptPreKey(
      message, address(peer), ...own(me), sessions, identities, me.prekeys, me.signedPrekeys, me.kyberPrekeys);
  }
  return signal.signalDecrypt(signal.SignalMessage.deserialize(decode(body)), address(peer), ...own(me), sessions, identities);
}

const commands = {
  async create({ id, name, device }) {
    const key = signal.PrivateKey.generate();
    people.set(id, {
      address: signal.ProtocolAddress.new(name, device),
      account: signal.PrivateKey.generate(),
      sessions: new Sessions(), identities: new Identities(key, 1234),
      prekeys: new Prekeys(), signedPrekeys: new SignedPrekeys(), kyberPrekeys: new KyberPrekeys(), nextId: 1,
    });
    const me = find(id);
    return { identity_key: encode(key.getPublicKey().serialize()), root: encode(me.account.getPublicKey().serialize()) };
  },

  async bundle({ id, one_time }) {
    const me = find(id), number = me.nextId++, key = me.identities.key;
    const once = signal.PrivateKey.generate(), signed = signal.PrivateKey.generate(), kyber = signal.KEMKeyPair.generate();
    const signedSignature = key.sign(signed.getPublicKey().serialize());
    const kyberSignature = key.sign(kyber.getPublicKey().serialize());
    await me.prekeys.savePreKey(number, signal.PreKeyRecord.new(number, once.getPublicKey(), once));
    await me.signedPrekeys.saveSignedPreKey(
      number, signal.SignedPreKeyRecord.new(number, 1, signed.getPublicKey(), signed, signedSignature));
    await me.kyberPrekeys.saveKyberPreKey(number, signal.KyberPreKeyRecord.new(number, 1, kyber, kyberSignature));
    return {
      registration_id: 1234, device: me.address.deviceId(), identity_key: encode(key.getPublicKey().serialize()),
      signed_id: number, signed: encode(signed.getPublicKey().serialize()), signed_signature: encode(signedSignature),
      kyber_id: number, kyber: encode(kyber.getPublicKey().serialize()), kyber_signature: encode(kyberSignature),
      ...(one_time === false ? {} : { one_time_id: number, one_time: encode(once.getPublicKey().serialize()) }),
    };
  },

  async initiate({ id, peer, bundle, now }) {
    const me = find(id);
    await signal.processPreKeyBundle(makeBundle(bundle), address(peer), ...own(me), me.sessions, me.identities, when(now));
    return {};
  },

  async encrypt({ id, peer, plaintext, now }) {
    const me = find(id);
    const message = await signal.signalEncrypt(
      decode(plaintext), address(peer), ...own(me), me.sessions, me.identities, when(now));
    return { type: message.type(), body: encode(message.serialize()) };
  },

  async decrypt({ id, peer, type, body }) {
    return { plaintext: encode(await decryptMessage(find(id), peer, type, body)) };
  },

  async archive({ id, peer }) {
    const me = find(id), record = await me.sessions.getSession(address(peer));
    record?.archiveCurrentState();
    if (record) await me.sessions.saveSession(address(peer), record);
    return {};
  },

  async lose({ id, peer }) {
    find(id).sessions.records.delete(address(peer).toString());
    return {};
  },

  async current_key_is({ id, peer, key }) {
    const record = await find(id).sessions.getSession(address(peer));
    return { yes: record.currentRatchetKeyMatches(publicKey(key)) };
  },

  // --- sealed sender and certificates ---

  async certificate({ id, expires }) {
    const me = find(id), key = me.identities.key;
    const server = signal.ServerCertificate.new(me.address.deviceId(), key.getPublicKey(), me.account);
    const sender = signal.SenderCertificate.new(
      me.address.name(), null, me.address.deviceId(), key.getPublicKey(), expires, server, key);
    return { certificate: encode(sender.serialize()) };
  },

  async validate({ certificate, root, now }) {
    return { yes: signal.SenderCertificate.deserialize(decode(certificate)).validate(publicKey(root), now) };
  },

  async seal({ id, peer, plaintext, certificate }) {
    const me = find(id);
    const sealed = await signal.sealedSenderEncryptMessage(
      decode(plaintext), address(peer), signal.SenderCertificate.deserialize(decode(certificate)), me.sessions, me.identities);
    return { sealed: encode(sealed) };
  },

  async open({ id, sealed, root, now, listed }) {
    const me = find(id);
    if (listed) { // the sender's key by its signed device list; the library itself would take an earlier one, too
      const content = await signal.sealedSenderDecryptToUsmc(decode(sealed), me.identities);
      if (encode(content.senderCertificate().key().serialize()) !== listed) throw new Error('key mismatch');
    }
    const result = await signal.sealedSenderDecryptMessage(
      decode(sealed), publicKey(root), now, null, me.address.name(), me.address.deviceId(),
      me.sessions, me.identities, me.prekeys, me.signedPrekeys, me.kyberPrekeys);
    return { plaintext: encode(result.message()), sender: result.senderUuid(), device: result.deviceId() };
  },

  async unseal({ id, sealed }) {
    const content = await signal.sealedSenderDecryptToUsmc(decode(sealed), find(id).identities);
    return {
      type: content.msgType(), body: encode(content.contents()), hint: content.contentHint(),
      sender: content.senderCertificate().senderUuid(), device: content.senderCertificate().senderDeviceId(),
    };
  },

  async seal_error({ id, peer, type, body, timestamp, device, certificate }) {
    const error = signal.DecryptionErrorMessage.forOriginal(decode(body), type, timestamp, device);
    const content = signal.UnidentifiedSenderMessageContent.new(
      signal.PlaintextContent.from(error).asCiphertextMessage(),
      signal.SenderCertificate.deserialize(decode(certificate)), 2, null);
    return { sealed: encode(await signal.sealedSenderEncrypt(content, address(peer), find(id).identities)) };
  },

  // --- what a device does about a message that would not open: ask for it again, and answer who asks ---

  async complain({ id, peer, sealed, certificate }) {
    const me = find(id), failed = await signal.sealedSenderDecryptToUsmc(decode(sealed), me.identities);
    const error = signal.DecryptionErrorMessage.forOriginal(
      failed.contents(), failed.msgType(), 0, failed.senderCertificate().senderDeviceId());
    const content = signal.UnidentifiedSenderMessageContent.new(
      signal.PlaintextContent.from(error).asCiphertextMessage(),
      signal.SenderCertificate.deserialize(decode(certificate)), 2, null);
    return { sealed: encode(await signal.sealedSenderEncrypt(content, address(peer), me.identities)) };
  },

  async heed({ id, peer, sealed }) {
    const me = find(id), content = await signal.sealedSenderDecryptToUsmc(decode(sealed), me.identities);
    const plaintext = signal.PlaintextContent.deserialize(content.contents());
    const error = signal.DecryptionErrorMessage.extractFromSerializedBody(plaintext.body());
    const key = error.ratchetKey(), record = await me.sessions.getSession(address(peer));
    const named = key && record && error.deviceId() === me.address.deviceId() && record.currentRatchetKeyMatches(key);
    if (named) {
      record.archiveCurrentState();
      await me.sessions.saveSession(address(peer), record);
    }
    return { archived: Boolean(named) };
  },

  async forget({ id }) { // all prekeys but the newest, as if they had been replaced long ago
    const me = find(id), newest = me.nextId - 1;
    for (const { keys } of [me.prekeys, me.signedPrekeys, me.kyberPrekeys])
      for (const number of [...keys.keys()]) if (number !== newest) keys.delete(number);
    return {};
  },

  async read_error({ content }) {
    const plaintext = signal.PlaintextContent.deserialize(decode(content));
    const error = signal.DecryptionErrorMessage.extractFromSerializedBody(plaintext.body());
    const key = error.ratchetKey();
    return { timestamp: error.timestamp(), device: error.deviceId(), ratchet_key: key ? encode(key.serialize()) : null };
  },

  // --- keys ---

  async fingerprint({ iterations, own_id, own_key, other_id, other_key }) {
    const print = signal.Fingerprint.new(
      iterations, 2, decode(own_id), publicKey(own_key), decode(other_id), publicKey(other_key));
    return { digits: print.displayableFingerprint().toString(), scannable: encode(print.scannableFingerprint().toBuffer()) };
  },

  async compare_fingerprints({ own, scanned }) {
    const [ours, theirs] = [own, scanned].map((code) => signal.ScannableFingerprint._fromBuffer(decode(code)));
    return { yes: ours.compare(theirs) };
  },

  async sign({ id, message }) { return { signature: encode(find(id).identities.key.sign(decode(message))) }; },

  async verify({ key, message, signature }) { return { yes: publicKey(key).verify(decode(message), decode(signature)) }; },
};

Object.assign(commands, groupCommands({ signal, find, encode, decode, address, publicKey }));

async function carryOut(request) {
  try {
    return await commands[request.command](request);
  } catch (error) {
    return { error: String(error.message ?? error), code: error.code ?? null, name: signal.ErrorCode[error.code] ?? error.name };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  const answer = Array.isArray(request) ? [] : await carryOut(request);
  if (Array.isArray(request)) for (const one of request) answer.push(await carryOut(one));
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
