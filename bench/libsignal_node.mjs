// The official library in Node, measured as `./dev bench crypto` measures ours: the same work in one loop, records kept
// in memory as the library's own objects (nothing is serialised where nothing need be), the best part counts.
// One figure's name a line on stdin, its value a line on stdout. Time is the processor time of the whole process.
import { randomBytes, randomUUID } from 'node:crypto';
import { createInterface } from 'node:readline';

const signal = await import(process.argv[2]);
const TEXT = new Uint8Array(randomBytes(256));
const PARTS = 40;

// --- stores that do as little as they may ------------------------------------------------------------------------------

class Sessions extends signal.SessionStore {
  records = new Map();
  async saveSession(name, record) { this.records.set(name.toString(), record); }
  async getSession(name) { return this.records.get(name.toString()) ?? null; }
  async getExistingSessions(names) { return names.map((name) => this.records.get(name.toString())); }
}

class Identities extends signal.IdentityKeyStore {
  known = new Map();
  key = signal.PrivateKey.generate();
  async getIdentityKey() { return this.key; }
  async getLocalRegistrationId() { return 77; }
  async saveIdentity(name, key) { this.known.set(name.toString(), key); return 0; }
  async isTrustedIdentity() { return true; }
  async getIdentity(name) { return this.known.get(name.toString()) ?? null; }
}

class OneTime extends signal.PreKeyStore {
  async savePreKey() {}
  async getPreKey() { return this.record; }
  async removePreKey() {}
}

class Signed extends signal.SignedPreKeyStore {
  async saveSignedPreKey() {}
  async getSignedPreKey() { return this.record; }
}

class Kyber extends signal.KyberPreKeyStore {
  async saveKyberPreKey() {}
  async getKyberPreKey() { return this.record; }
  async markKyberPreKeyUsed() {}
}

class SenderKeys extends signal.SenderKeyStore {
  records = new Map();
  async saveSenderKey(sender, distribution, record) { this.records.set(distribution, record); }
  async getSenderKey(sender, distribution) { return this.records.get(distribution) ?? null; }
}

class Device {
  uuid = randomUUID();
  address = signal.ProtocolAddress.new(this.uuid, 1);
  sessions = new Sessions();
  identities = new Identities();
  oneTime = new OneTime();
  signed = new Signed();
  kyber = new Kyber();
  senderKeys = new SenderKeys();

  bundle() {
    const key = this.identities.key;
    const once = signal.PrivateKey.generate(), signed = signal.PrivateKey.generate(), kyber = signal.KEMKeyPair.generate();
    const signedSignature = key.sign(signed.getPublicKey().serialize());
    const kyberSignature = key.sign(kyber.getPublicKey().serialize());
    this.oneTime.record = signal.PreKeyRecord.new(1, once.getPublicKey(), once);
    this.signed.record = signal.SignedPreKeyRecord.new(1, 1, signed.getPublicKey(), signed, signedSignature);
    this.kyber.record = signal.KyberPreKeyRecord.new(1, 1, kyber, kyberSignature);
    return signal.PreKeyBundle.new(
      77, 1, 1, once.getPublicKey(), 1, signed.getPublicKey(), signedSignature, key.getPublicKey(),
      1, kyber.getPublicKey(), kyberSignature);
  }

  begin(peer, bundle) {
    return signal.processPreKeyBundle(bundle, peer.address, this.address, this.sessions, this.identities);
  }

  async encrypt(peer) {
    const made = await signal.signalEncrypt(TEXT, peer.address, this.address, this.sessions, this.identities);
    return made.serialize();
  }

  decryptFirst(peer, bytes) {
    return signal.signalDecryptPreKey(
      signal.PreKeySignalMessage.deserialize(bytes), peer.address, this.address,
      this.sessions, this.identities, this.oneTime, this.signed, this.kyber);
  }

  decrypt(peer, bytes) {
    return signal.signalDecrypt(
      signal.SignalMessage.deserialize(bytes), peer.address, this.address, this.sessions, this.identities);
  }
}

async function acquainted() {
  const ana = new Device(), bruno = new Device();
  await ana.begin(bruno, bruno.bundle());
  await bruno.decryptFirst(ana, await ana.encrypt(bruno));
  await ana.decrypt(bruno, await bruno.encrypt(ana));
  return [ana, bruno];
}

// --- measuring ---------------------------------------------------------------------------------------------------------

function busy() { // seconds
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

async function best(rounds, parts, work) { // seconds for one call
  let found = Infinity;
  for (let round = 1; round < rounds; round++) await work(); // warms up
  for (let part = 0; part < parts; part++) {
    const begun = busy();
    for (let round = 0; round < rounds; round++) await work();
    found = Math.min(found, (busy() - begun) / rounds);
  }
  return found;
}

async function jump(lost) {
  const [ana, bruno] = await acquainted();
  for (let number = 0; number < lost; number++) await ana.encrypt(bruno);
  const late = await ana.encrypt(bruno), before = bruno.sessions.records.get(ana.address.toString()).serialize();
  return 1000 * await best(1, 5, async () => {
    bruno.sessions.records.set(ana.address.toString(), signal.SessionRecord.deserialize(before));
    await bruno.decrypt(ana, late);
  });
}

const figures = {
  async pairs() {
    const [ana, bruno] = await acquainted();
    return 1 / await best(50, PARTS, async () => { await bruno.decrypt(ana, await ana.encrypt(bruno)); });
  },

  async ping_pong() {
    const [ana, bruno] = await acquainted();
    return 2 / await best(25, PARTS, async () => {
      await bruno.decrypt(ana, await ana.encrypt(bruno));
      await ana.decrypt(bruno, await bruno.encrypt(ana));
    });
  },

  async setup() {
    const ana = new Device(), bruno = new Device(), bundle = bruno.bundle();
    return 1 / await best(5, PARTS, async () => {
      ana.sessions.records.clear();
      bruno.sessions.records.clear();
      await ana.begin(bruno, bundle);
      await bruno.decryptFirst(ana, await ana.encrypt(bruno));
    });
  },

  async record_bytes() { // median over whole SPQR epochs
    const [ana, bruno] = await acquainted(), sizes = [];
    for (let turn = 0; turn < 200; turn++) {
      await bruno.decrypt(ana, await ana.encrypt(bruno));
      await ana.decrypt(bruno, await bruno.encrypt(ana));
      sizes.push(ana.sessions.records.get(bruno.address.toString()).serialize().length);
    }
    return sizes.sort((a, b) => a - b)[100];
  },

  async record_load_and_save() { // microseconds
    const [ana, bruno] = await acquainted(), saved = ana.sessions.records.get(bruno.address.toString()).serialize();
    return 1e6 * await best(50, PARTS, async () => signal.SessionRecord.deserialize(saved).serialize());
  },

  jump_2000: () => jump(2000),
  jump_25000: () => jump(24999),

  async sender_key() {
    const ana = new Device(), bruno = new Device(), group = randomUUID();
    const told = await signal.SenderKeyDistributionMessage.create(ana.address, group, ana.senderKeys);
    await signal.processSenderKeyDistributionMessage(ana.address, told, bruno.senderKeys);
    return 1 / await best(50, PARTS, async () => {
      const made = await signal.groupEncrypt(ana.address, group, ana.senderKeys, TEXT);
      await signal.groupDecrypt(ana.address, bruno.senderKeys, made.serialize());
    });
  },

  async multi_recipient_1000() { // milliseconds
    const ana = new Device(), account = signal.PrivateKey.generate(), key = ana.identities.key, recipients = [];
    for (let number = 0; number < 1000; number++) {
      const device = new Device();
      await ana.begin(device, device.bundle());
      recipients.push(device.address);
    }
    const server = signal.ServerCertificate.new(1, key.getPublicKey(), account);
    const certificate = signal.SenderCertificate.new(ana.uuid, null, 1, key.getPublicKey(), 2e12, server, key);
    const group = randomUUID();
    await signal.SenderKeyDistributionMessage.create(ana.address, group, ana.senderKeys);
    const message = await signal.groupEncrypt(ana.address, group, ana.senderKeys, new Uint8Array(randomBytes(400)));
    const content = signal.UnidentifiedSenderMessageContent.new(message, certificate, 1, new Uint8Array(randomBytes(16)));
    return 1000 * await best(1, 5, () => signal.sealedSenderMultiRecipientEncrypt({
      content, recipients, excludedRecipients: [], identityStore: ana.identities, sessionStore: ana.sessions,
    }));
  },
};

for await (const name of createInterface({ input: process.stdin })) {
  const measure = figures[name];
  process.stdout.write(`${measure ? await measure() : null}\n`);
}
