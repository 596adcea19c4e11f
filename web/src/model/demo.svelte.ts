/** The demo page's state: what the demo process tells (whole state on each change), and messages that travel now. */

import type { Path, Route, RouteKind } from "./api";

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

export const TOUR = [
  "start", "contact", "request", "accept", "direct", "cut", "relayed", "recipient_stopped", "stored",
  "recipient_back", "delivered", "server_down", "restored", "done",
] as const;
export type StepName = (typeof TOUR)[number];

export interface DemoApi {
  state(): Promise<DemoState>;
  flip(what: SwitchName, on: boolean): Promise<DemoState>;
  tour(): Promise<DemoState>;
  open(who: Who): Promise<{ url: string }>;
}

/** How long a packet is drawn on its way: slow enough to be seen, whatever the real round trip. */
export const TRAVEL_MS = 900;

export class Demo {
  state = $state.raw<DemoState | null>(null);
  travels = $state.raw<readonly (Travel & { id: number })[]>([]);
  /** The last route that carried a message stays lit. */
  lastKind = $state<RouteKind | null>(null);
  isLive = $state(false);
  #next = 1;

  constructor(private readonly later: (ms: number, then: () => void) => () => void) {}

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
    this.lastKind = travel.kind;
    this.travels = [...this.travels, { ...travel, id }].slice(-12);
    this.later(TRAVEL_MS, () => (this.travels = this.travels.filter((one) => one.id !== id)));
  }
}

/** Whether a step of the tour is behind, under way, ahead, or was not taken. */
export function stepStanding(state: DemoState, step: StepName): "ok" | "failed" | "now" | "ahead" {
  const done = state.tour.steps.find((one) => one.step === step);
  if (done) return done.ok ? "ok" : "failed";
  return state.tour.running && state.tour.now === step ? "now" : "ahead";
}
