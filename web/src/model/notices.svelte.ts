/** Short notes at the edge: an error, or that something was done. */

import { asApiError, sentence } from "./errors";

export type Notice = { id: number; kind: "error" | "done"; text: string; undo?: () => void };
const SHOWN_MS = { error: 8_000, done: 3_000 };
/** How long one may think better of it. Until then nothing has been done. */
export const UNDO_MS = 8_000;

type Act = () => Promise<unknown>;

export class Notices {
  list = $state.raw<readonly Notice[]>([]);
  #next = 1;
  /** What will be done unless it is taken back, by its notice's id. */
  #acts = new Map<number, { act: Act; undo: () => void }>();

  constructor(private readonly later: (ms: number, then: () => void) => () => void) {}

  done(text: string): void {
    this.#show("done", text);
  }

  trouble(text: string): void {
    this.#show("error", text);
  }

  failed(error: unknown): void {
    this.trouble(sentence(asApiError(error)));
  }

  /**
   * Says that it is done, and does it once nobody has taken it back: after `UNDO_MS`, when the notice is waved away, or
   * when the page goes. A refusal takes it back as well, and says so.
   */
  undoable(text: string, act: Act, undo: () => void): void {
    const id = this.#next;
    this.#acts.set(id, { act, undo });
    this.#show("done", text, () => this.undo(id));
  }

  undo(id: number): void {
    const waiting = this.#acts.get(id);
    this.#acts.delete(id);
    waiting?.undo();
    this.dismiss(id);
  }

  /** The last thing that can still be taken back; null when there is none. */
  get undoableNow(): number | null {
    return this.list.findLast((notice) => notice.undo !== undefined)?.id ?? null;
  }

  /** The page goes: what was said to be done is done now. */
  settle(): void {
    [...this.#acts.keys()].forEach((id) => this.dismiss(id));
  }

  /** Runs it; a refusal becomes a notice and null. */
  async guard<T>(work: Promise<T>): Promise<T | null> {
    try {
      return await work;
    } catch (error) {
      this.failed(error);
      return null;
    }
  }

  dismiss(id: number): void {
    this.list = this.list.filter((notice) => notice.id !== id);
    const waiting = this.#acts.get(id);
    if (!waiting) return;
    this.#acts.delete(id);
    waiting.act().catch((error: unknown) => {
      waiting.undo();
      this.failed(error);
    });
  }

  #show(kind: Notice["kind"], text: string, undo?: () => void): void {
    const notice: Notice = { id: this.#next++, kind, text, ...(undo ? { undo } : {}) };
    const others = this.list.filter((one) => one.undo !== undefined || one.text !== text);
    // What can be taken back stays; of the rest the last few.
    this.list = [...others.filter((one) => one.undo !== undefined), ...others.filter((one) => !one.undo).slice(-2), notice];
    this.later(undo ? UNDO_MS : SHOWN_MS[kind], () => this.dismiss(notice.id));
  }
}
