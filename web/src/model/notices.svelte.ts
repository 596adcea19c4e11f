/** Short notes at the edge: an error, or that something was done. */

import { asApiError, sentence } from "./errors";

export type Notice = { id: number; kind: "error" | "done"; text: string };
const SHOWN_MS = { error: 8_000, done: 3_000 };

export class Notices {
  list = $state.raw<readonly Notice[]>([]);
  #next = 1;

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
  }

  #show(kind: Notice["kind"], text: string): void {
    const notice = { id: this.#next++, kind, text };
    this.list = [...this.list.filter((one) => one.text !== text), notice].slice(-3);
    this.later(SHOWN_MS[kind], () => this.dismiss(notice.id));
  }
}
