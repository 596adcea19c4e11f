/** Everything the page knows of its node: who one is, the chats, the connection; fed by reads and events. */

import type { AlarmEvent, Chat, ErrorBody, Home, Me, NodeApi } from "./api";
import { Conversation, type World } from "./conversation.svelte";
import { asApiError } from "./errors";
import { EventStream, type StreamEvent, type StreamWorld } from "./stream";
import { plainLine } from "./text";

/** `closed`: the node asks for a log-in (`mepassa open`). `unreachable`: it does not answer. */
export type Standing = "starting" | "ready" | "closed" | "unreachable";

/** Chats read at the same time when the page starts. */
const READ_AT_ONCE = 4;
const START_AGAIN_MS = 1_500;

export class Node {
  standing = $state<Standing>("starting");
  /** The event socket is up: what is shown is what is. */
  isLive = $state(false);
  me = $state.raw<Me | null>(null);
  home = $state.raw<Home | null>(null);
  problems = $state.raw<readonly ErrorBody[]>([]);
  conversations = $state.raw<readonly Conversation[]>([]);
  /** What a person must know, until they have waved it away. */
  alarms = $state.raw<readonly AlarmEvent[]>([]);
  /** The last incoming message, for the screen reader's ear. */
  heard = $state.raw<{ chatId: string; messageId: string } | null>(null);

  readonly api: NodeApi;
  #stream: EventStream;
  /** Chats that look blocked while one may still think better of it, as the node really has them. */
  #setAside = new Map<string, Chat>();

  constructor(
    private readonly world: World & { stream: StreamWorld },
    private readonly drafts: { read(chatId: string): string },
  ) {
    this.api = world.api;
    this.#stream = new EventStream(world.stream, {
      up: (fresh) => {
        this.isLive = true;
        if (fresh || this.standing !== "ready") void this.#readAll();
      },
      down: () => {
        this.isLive = false;
        void this.#ask();
      },
      event: (event) => this.#receive(event),
    });
  }

  start(): void {
    this.#stream.start();
  }

  stop(): void {
    this.#stream.stop();
  }

  hurry(): void {
    this.#stream.hurry();
  }

  // --- views ---

  find(chatId: string | null): Conversation | null {
    return this.conversations.find((one) => one.id === chatId) ?? null;
  }

  /** People one talks with, the newest first. */
  get contacts(): Conversation[] {
    return this.#inOrder(["accepted", "requested"]);
  }

  get requests(): Conversation[] {
    return this.#inOrder(["request"]);
  }

  get blocked(): Conversation[] {
    return this.#inOrder(["blocked"]);
  }

  get unread(): number {
    return this.contacts.reduce((sum, one) => sum + one.chat.unread, 0);
  }

  #inOrder(states: Chat["state"][]): Conversation[] {
    return this.conversations
      .filter((one) => states.includes(one.chat.state))
      .sort((one, other) => other.lastAtMs - one.lastAtMs || plainLine(one.chat.name).localeCompare(plainLine(other.chat.name)));
  }

  dismissAlarm(seq: number): void {
    this.alarms = this.alarms.filter((one) => one.seq !== seq);
  }

  // --- reading ---

  async #readAll(): Promise<void> {
    try {
      const [me, health, chats] = await Promise.all([this.api.me(), this.api.health(), this.api.chats()]);
      this.me = me;
      this.home = health.home;
      this.problems = health.problems;
      const old = new Map(this.conversations.map((one) => [one.id, one]));
      this.conversations = chats.map((chat) => this.#conversation(chat, old.get(chat.id)));
      await this.#readMessages();
      this.standing = "ready";
    } catch (failure) {
      this.#failed(failure);
      this.world.later(START_AGAIN_MS, () => {
        if (this.isLive && this.standing !== "ready") void this.#readAll();
      });
    }
  }

  async #readMessages(): Promise<void> {
    const waiting = [...this.conversations];
    const worker = async () => {
      for (let one = waiting.shift(); one; one = waiting.shift()) await one.readNewest();
    };
    await Promise.all(Array.from({ length: READ_AT_ONCE }, worker));
  }

  /** The socket is down and does not say why: ask. */
  async #ask(): Promise<void> {
    try {
      const me = await this.api.me();
      this.me = me;
      this.home = me.home;
    } catch (failure) {
      this.#failed(failure);
    }
  }

  #failed(failure: unknown): void {
    const error = asApiError(failure);
    if (error.code === "Unauthorized") this.standing = "closed";
    else if (this.standing !== "ready") this.standing = "unreachable";
  }

  async #readProblems(): Promise<void> {
    try {
      this.problems = (await this.api.health()).problems;
    } catch {
      // The next event or reconnection asks again.
    }
  }

  #conversation(chat: Chat, known: Conversation | undefined): Conversation {
    if (this.#setAside.has(chat.id)) {
      this.#setAside.set(chat.id, chat);
      chat = asBlocked(chat);
    }
    if (known) {
      known.chat = chat;
      return known;
    }
    const made = new Conversation(chat, this.me?.account_id ?? "", this.world);
    made.draft = this.drafts.read(chat.id);
    return made;
  }

  /** Show a chat as blocked although the node does not know of it yet. */
  setAside(chatId: string): void {
    const one = this.find(chatId);
    if (!one || this.#setAside.has(chatId)) return;
    this.#setAside.set(chatId, one.chat);
    one.chat = asBlocked(one.chat);
  }

  takeBack(chatId: string): void {
    const real = this.#setAside.get(chatId);
    this.#setAside.delete(chatId);
    if (real) this.put(real);
  }

  /** Throws `ApiError`. */
  async block(chatId: string): Promise<void> {
    const chat = await this.api.block(chatId);
    this.#setAside.delete(chatId);
    this.put(chat);
  }

  /** A chat as an answer or an event gives it. */
  put(chat: Chat): Conversation {
    const known = this.find(chat.id);
    const one = this.#conversation(chat, known ?? undefined);
    if (!known) this.conversations = [...this.conversations, one];
    return one;
  }

  // --- events ---

  #receive(event: StreamEvent): void {
    switch (event.type) {
      case "message": {
        const one = this.find(event.message.chat_id);
        one?.receiveMessage(event.message);
        if (one && !one.isMine(event.message)) this.heard = { chatId: one.id, messageId: event.message.id };
        break;
      }
      case "status":
        this.find(event.chat_id)?.receiveStatus(event);
        break;
      case "path": {
        const one = this.find(event.chat_id);
        if (one) this.put({ ...(this.#setAside.get(one.id) ?? one.chat), path: event.path });
        break;
      }
      case "chat": {
        const isNew = this.find(event.chat.id) === null;
        const one = this.put(event.chat);
        if (isNew) void one.readNewest().catch(() => undefined);
        break;
      }
      case "home":
        this.home = event.home;
        void this.#readProblems();
        break;
      case "gone":
        this.find(event.chat_id)?.forget(event.message_id);
        break;
      case "alarm":
        this.alarms = [...this.alarms.filter((one) => one.chat_id !== event.chat_id || one.note !== event.note), event];
        break;
      case "other":
        break;
    }
  }
}

function asBlocked(chat: Chat): Chat {
  return { ...chat, state: "blocked", path: null, unread: 0 };
}
