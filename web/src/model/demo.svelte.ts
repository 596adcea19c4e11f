/** The demo page's state: what the demo process tells (whole state on each change), and messages that travel now. */

import type { ApiError, Path, Route, RouteKind } from "./api";
import { asApiError } from "./errors";

export type Who = "a" | "b";
export type SwitchName = "direct" | "relay" | "recipient" | "server";
export type Person = { who: Who; name: string; account_id: string | null; online: boolean; start: number };
export type TourStep = { step: string; ok: boolean; ms: number; route?: Route; evidence?: unknown };
export type DemoState = {
  people: Person[];
  switches: Record<SwitchName, boolean>;
  path: Path | null;
  server: { online: boolean; relay_bytes: number; mailbox_envelopes: number };
  tour: { running: boolean; now: string | null; steps: TourStep[] };
};
export type Travel = { from: Who; to: Who; kind: RouteKind; leg: "whole" | "in" | "out"; rtt_ms: number | null };

/** The tour's steps in the order of the demo process, told in six chapters. */
export const CHAPTERS = [
  { name: "meet", steps: ["start", "contact", "request", "accept"] },
  { name: "direct", steps: ["direct"] },
  { name: "relayed", steps: ["cut", "relayed"] },
  { name: "stored", steps: ["recipient_stopped", "stored"] },
  { name: "delivered", steps: ["recipient_back", "delivered"] },
  { name: "server", steps: ["server_down", "restored"] },
] as const;
export type ChapterName = (typeof CHAPTERS)[number]["name"];
export type StepName = (typeof CHAPTERS)[number]["steps"][number];
export type StepStanding = "ok" | "failed" | "now" | "ahead";

export interface DemoApi {
  flip(what: SwitchName, on: boolean): Promise<DemoState>;
  tour(): Promise<DemoState>;
  /** A page of that person's node, opened by a one-time code. */
  open(who: Who): Promise<{ url: string }>;
}

/** How long a packet is drawn on its way: slow enough to be seen, whatever the real round trip. */
export const TRAVEL_MS = 1_000;

export class Demo {
  state = $state.raw<DemoState | null>(null);
  travels = $state.raw<readonly (Travel & { id: number })[]>([]);
  /** The switch that was pressed and has not taken effect yet. */
  flipping = $state<SwitchName | null>(null);
  trouble = $state.raw<ApiError | null>(null);
  isLive = $state(false);
  #next = 1;

  constructor(
    readonly api: DemoApi,
    private readonly later: (ms: number, then: () => void) => () => void,
  ) {}

  person(who: Who): Person | null {
    return this.state?.people.find((one) => one.who === who) ?? null;
  }

  /** Whether a step is behind, under way, ahead, or went wrong. */
  standing(step: StepName | "done"): StepStanding {
    const tour = this.state?.tour;
    const taken = this.step(step);
    if (taken) return taken.ok ? "ok" : "failed";
    return tour?.running && tour.now === step ? "now" : "ahead";
  }

  step(name: string): TourStep | null {
    return this.state?.tour.steps.find((one) => one.step === name) ?? null;
  }

  async flip(what: SwitchName): Promise<void> {
    if (!this.state || this.flipping) return;
    this.flipping = what;
    await this.#ask(this.api.flip(what, !this.state.switches[what]));
    this.flipping = null;
  }

  async startTour(): Promise<void> {
    await this.#ask(this.api.tour());
  }

  async #ask(work: Promise<DemoState>): Promise<void> {
    this.trouble = null;
    try {
      this.state = await work;
    } catch (failure) {
      this.trouble = asApiError(failure);
    }
  }

  receive(text: string): void {
    let frame: unknown;
    try {
      frame = JSON.parse(text);
    } catch {
      return;
    }
    if (typeof frame !== "object" || frame === null || !("type" in frame)) return;
    if (frame.type === "state" && "state" in frame) this.state = frame.state as DemoState;
    if (frame.type === "travel") this.#travel(frame as unknown as Travel);
  }

  #travel(travel: Travel): void {
    const id = this.#next++;
    this.travels = [...this.travels, { ...travel, id }].slice(-12);
    this.later(TRAVEL_MS, () => (this.travels = this.travels.filter((one) => one.id !== id)));
  }
}
