/** One chat: its messages as far as they are read, what is on its way out, and the draft. */

import { MAX_REQUEST_TEXT_BYTES, MAX_TEXT_BYTES, type Chat, type Message, type NodeApi, type StatusEvent } from "./api";
import { asApiError } from "./errors";
import { withStatus } from "./status";
import { timeline, withMessage, type Outgoing, type Row } from "./timeline";

export interface World {
  api: NodeApi;
  now(): number;
  /** 16 random bytes, hex. */
  randomId(): string;
  later(ms: number, then: () => void): () => void;
}

/** Messages in one read; the first read shows the list's last line too. */
export const PAGE = 50;
const RETRY_MS = [500, 1_000, 2_000, 4_000, 8_000];

export class Conversation {
  chat = $state.raw<Chat>()!;
  messages = $state.raw<readonly Message[]>([]);
  outgoing = $state.raw<readonly Outgoing[]>([]);
  draft = $state("");
  /** `none`: not read yet; `all`: nothing older exists. */
  read = $state<"none" | "some" | "all">("none");
  isReading = $state(false);
  /** The first message that was unread when the chat was opened: the new-messages line stands above it. */
  newFrom = $state.raw<{ id: string; count: number } | null>(null);

  /** message id → client id, so that a bubble stays the same one when the node has answered. */
  #clientIds = new Map<string, string>();
  /** Own messages that came as events while a POST was under way: they may be its answer. */
  #heldBack: Message[] = [];
  /** News about messages that are not here yet. */
  #early = new Map<string, StatusEvent>();
  /** What came while the newest messages were being read: the answer may not hold it yet. */
  #meanwhile: Message[] = [];
  #isPumping = false;

  constructor(
    chat: Chat,
    private readonly me: string,
    private readonly world: World,
  ) {
    this.chat = chat;
  }

  get id(): string {
    return this.chat.id;
  }

  get last(): Message | null {
    return this.messages.at(-1) ?? null;
  }

  /** When something last happened, for the order of the list. */
  get lastAtMs(): number {
    return Math.max(this.last?.sent_at_ms ?? 0, this.outgoing.at(-1)?.atMs ?? 0);
  }

  /** Bytes of UTF-8 that one text may have. */
  get limitBytes(): number {
    return this.chat.state === "accepted" ? MAX_TEXT_BYTES : MAX_REQUEST_TEXT_BYTES;
  }

  get rows(): Row[] {
    return timeline(this.messages, this.outgoing, this.me, this.newFrom, (m) => this.#clientIds.get(m.id) ?? m.id);
  }

  isMine(message: Message): boolean {
    return message.sender === this.me;
  }

  // --- reading ---

  /** Read the newest messages (again, after a reset). Throws `ApiError`. */
  async readNewest(): Promise<void> {
    if (this.isReading) return;
    this.isReading = true;
    this.#meanwhile = [];
    try {
      const newest = await this.world.api.messages(this.id, PAGE);
      const missing = this.#meanwhile.filter((message) => !newest.some((known) => known.id === message.id));
      this.messages = [...newest.map((message) => this.#withEarly(message)), ...missing];
      this.read = newest.length < PAGE ? "all" : "some";
    } finally {
      this.isReading = false;
    }
  }

  /** Read what is older than the first message here. Throws `ApiError`. */
  async readOlder(): Promise<void> {
    const oldest = this.messages[0];
    if (this.isReading || this.read !== "some" || !oldest) return;
    this.isReading = true;
    try {
      const older = await this.world.api.messages(this.id, PAGE, oldest.id);
      const known = new Set(this.messages.map((message) => message.id));
      this.messages = [...older.filter((message) => !known.has(message.id)), ...this.messages];
      this.read = older.length < PAGE ? "all" : "some";
    } finally {
      this.isReading = false;
    }
  }

  /** The chat was opened: remember where the new messages begin. */
  opened(): void {
    const incoming = this.messages.filter((message) => message.sender !== this.me);
    const count = Math.min(this.chat.unread, incoming.length);
    const first = incoming[incoming.length - count];
    this.newFrom = count > 0 && first ? { id: first.id, count } : null;
  }

  closed(): void {
    this.newFrom = null;
  }

  /** Tell the node that everything here was seen. Throws `ApiError`. */
  async markRead(): Promise<void> {
    const last = this.messages.findLast((message) => message.sender !== this.me);
    if (this.chat.unread > 0 && last && this.chat.state === "accepted") {
      this.chat = await this.world.api.markRead(this.id, last.id);
    }
  }

  // --- events ---

  receiveMessage(message: Message): void {
    if (message.sender === this.me && this.outgoing.some((out) => out.state !== "refused")) {
      this.#heldBack.push(message);
      return;
    }
    this.#put(message);
  }

  /** The row is no more. */
  forget(messageId: string): void {
    this.messages = this.messages.filter((message) => message.id !== messageId);
  }

  receiveStatus(event: StatusEvent): void {
    const at = this.messages.findIndex((message) => message.id === event.message_id);
    const message = this.messages[at];
    if (message) this.messages = this.messages.with(at, withStatus(message, event.status, event.route));
    else this.#early.set(event.message_id, event);
  }

  #put(message: Message): void {
    if (this.isReading) this.#meanwhile.push(message);
    this.messages = withMessage(this.messages, this.#withEarly(message));
  }

  #withEarly(message: Message): Message {
    const event = this.#early.get(message.id);
    this.#early.delete(message.id);
    return event ? withStatus(message, event.status, event.route) : message;
  }

  // --- sending ---

  /** Shows the text at once and sends it; the same client id makes every retry the same message. */
  send(text: string): void {
    const outgoing: Outgoing = { clientId: this.world.randomId(), text, atMs: this.world.now(), state: "sending", error: null };
    this.outgoing = [...this.outgoing, outgoing];
    void this.#pump();
  }

  /** Once more, after a refusal. */
  tryAgain(clientId: string): void {
    this.#change(clientId, { state: "sending", error: null });
    void this.#pump();
  }

  /** Takes a refused message back into the composer. */
  takeBack(clientId: string): void {
    const out = this.outgoing.find((one) => one.clientId === clientId);
    if (!out) return;
    this.outgoing = this.outgoing.filter((one) => one !== out);
    this.draft = this.draft ? `${out.text}\n${this.draft}` : out.text;
  }

  /** Through the home server, whatever the policy: for one message that waits or failed. Throws `ApiError`. */
  async sendByServer(messageId: string): Promise<void> {
    const message = await this.world.api.sendByServer(messageId);
    this.messages = withMessage(this.messages, message);
  }

  /** One at a time, in the order of typing. What the node could not answer is asked again until it does. */
  async #pump(): Promise<void> {
    if (this.#isPumping) return;
    this.#isPumping = true;
    let tries = 0;
    for (;;) {
      const out = this.outgoing.find((one) => one.state !== "refused");
      if (!out) break;
      try {
        const message = await this.world.api.send(this.id, out.clientId, out.text);
        tries = 0;
        this.#answered(out.clientId, message);
      } catch (failure) {
        const error = asApiError(failure);
        if (error.isTransient) {
          this.#change(out.clientId, { state: "waiting" });
          const pause = RETRY_MS[Math.min(tries++, RETRY_MS.length - 1)]!;
          await new Promise<void>((resume) => this.world.later(pause, resume));
        } else {
          this.#change(out.clientId, { state: "refused", error: { code: error.code, message: error.message } });
        }
      }
    }
    this.#isPumping = false;
    this.#releaseHeldBack();
  }

  #answered(clientId: string, message: Message): void {
    this.#clientIds.set(message.id, clientId);
    this.outgoing = this.outgoing.filter((one) => one.clientId !== clientId);
    this.#heldBack = this.#heldBack.filter((one) => one.id !== message.id);
    this.#put(message);
  }

  #releaseHeldBack(): void {
    const held = this.#heldBack.filter((message) => !this.messages.some((known) => known.id === message.id));
    this.#heldBack = [];
    held.forEach((message) => this.#put(message));
  }

  #change(clientId: string, change: Partial<Outgoing>): void {
    this.outgoing = this.outgoing.map((out) => (out.clientId === clientId ? { ...out, ...change } : out));
  }
}
