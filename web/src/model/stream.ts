/**
 * Keeps the event socket up: resumes after the last seen event, tells when everything must be read anew.
 * Knows neither browser nor clock: both are given.
 */

import type { Event, ResetEvent } from "./api";

/** An event to act on; "other" is of a later version's kind and only moves the place in the stream. */
export type StreamEvent = Exclude<Event, ResetEvent> | { type: "other"; seq: number };

export interface EventSocket {
  close(): void;
}
export type SocketHandlers = { onOpen: () => void; onText: (text: string) => void; onClose: () => void };

export interface StreamWorld {
  /** Opens `/events`, with `after` when it is a number. */
  open(after: number | null, handlers: SocketHandlers): EventSocket;
  /** Runs `then` in `ms` and returns what takes it back. */
  later(ms: number, then: () => void): () => void;
  random(): number;
}

export const RETRY_FIRST_MS = 400;
export const RETRY_CAP_MS = 10_000;

export class EventStream {
  #seq: number | null = null;
  #tries = 0;
  #socket: EventSocket | null = null;
  #cancel: (() => void) | null = null;
  #stopped = true;

  constructor(
    private readonly world: StreamWorld,
    private readonly on: {
      /** Connected. `fresh`: nothing tells what was missed, so read everything anew. */
      up: (fresh: boolean) => void;
      /** The socket was lost, or a try to get it back failed: who asks learns why, and that can change (a new start). */
      down: () => void;
      event: (event: StreamEvent) => void;
    },
  ) {}

  start(): void {
    if (!this.#stopped) return;
    this.#stopped = false;
    this.#connect();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
    this.#socket?.close();
    this.#socket = null;
  }

  /** Try now instead of at the end of the wait (the page came back to the front). */
  hurry(): void {
    if (this.#stopped || this.#socket || !this.#cancel) return;
    this.#cancel();
    this.#cancel = null;
    this.#connect();
  }

  #connect(): void {
    const resumes = this.#seq;
    const isCurrent = () => this.#socket === socket && !this.#stopped;
    const socket: EventSocket = this.world.open(resumes, {
      onOpen: () => {
        if (!isCurrent()) return;
        this.#tries = 0;
        this.on.up(resumes === null);
      },
      onText: (text) => isCurrent() && this.#receive(text),
      onClose: () => {
        if (!isCurrent()) return;
        this.#socket = null;
        this.on.down();
        this.#retry();
      },
    });
    this.#socket = socket;
  }

  #retry(): void {
    const ceiling = Math.min(RETRY_CAP_MS, RETRY_FIRST_MS * 2 ** this.#tries++);
    this.#cancel = this.world.later(ceiling * (0.5 + this.world.random() / 2), () => {
      this.#cancel = null;
      this.#connect();
    });
  }

  #receive(text: string): void {
    const event = readEvent(text);
    if (event === null) return;
    if (event.type === "reset") {
      this.#seq = null;
      this.#socket?.close();
      this.#socket = null;
      this.#connect();
      return;
    }
    if (this.#seq !== null && event.seq <= this.#seq) return;
    this.#seq = event.seq;
    this.on.event(event);
  }
}

const KNOWN = new Set(["message", "status", "path", "chat", "home", "alarm", "gone"]);

/** null for what is no event. */
export function readEvent(text: string): StreamEvent | ResetEvent | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== "object" || value === null || !("type" in value)) return null;
  if (value.type === "reset") return { type: "reset" };
  if (!("seq" in value) || typeof value.seq !== "number") return null;
  return KNOWN.has(String(value.type)) ? (value as StreamEvent) : { type: "other", seq: value.seq };
}
