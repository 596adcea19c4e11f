/** From messages to what the eye reads: day separators, the new-messages line, bubbles in groups. */

import type { Message } from "./api";

/** Bubbles of one sender closer than this stand together. */
export const GROUP_WITHIN_MS = 3 * 60_000;

/** An own message that the node has not answered for yet, or that it refused. */
export type Outgoing = {
  clientId: string;
  text: string;
  atMs: number;
  state: "sending" | "waiting" | "refused";
  error: { code: string; message: string } | null;
};

export type Row =
  | { kind: "day"; key: string; atMs: number }
  | { kind: "new"; key: string; count: number }
  | { kind: "message"; key: string; message: Message; isMine: boolean; isFirst: boolean; isLast: boolean }
  | { kind: "outgoing"; key: string; outgoing: Outgoing; isFirst: boolean; isLast: boolean };

type Bubble = { key: string; sender: string; atMs: number; message: Message | null; outgoing: Outgoing | null };

/** Local midnight decides; `dayOf` is an argument so that a test can choose the zone. */
export function localDay(atMs: number): string {
  const date = new Date(atMs);
  return `${date.getFullYear()}-${date.getMonth()}-${date.getDate()}`;
}

export function timeline(
  messages: readonly Message[],
  outgoing: readonly Outgoing[],
  me: string,
  newFrom: { id: string; count: number } | null,
  keyOf: (message: Message) => string = (message) => message.id,
  dayOf: (atMs: number) => string = localDay,
): Row[] {
  const bubbles: Bubble[] = [
    ...messages.map((message) => ({
      key: keyOf(message), sender: message.sender, atMs: message.sent_at_ms, message, outgoing: null,
    })),
    ...outgoing.map((out) => ({ key: out.clientId, sender: me, atMs: out.atMs, message: null, outgoing: out })),
  ];
  const startsNew = (bubble: Bubble | undefined) => newFrom !== null && bubble?.message?.id === newFrom.id;
  const isTogether = (one: Bubble | undefined, next: Bubble | undefined) =>
    one !== undefined && next !== undefined && one.sender === next.sender && !startsNew(next)
    && Math.abs(next.atMs - one.atMs) <= GROUP_WITHIN_MS && dayOf(one.atMs) === dayOf(next.atMs);

  const rows: Row[] = [];
  bubbles.forEach((bubble, at) => {
    const before = bubbles[at - 1];
    if (before === undefined || dayOf(before.atMs) !== dayOf(bubble.atMs)) {
      rows.push({ kind: "day", key: `day ${bubble.key}`, atMs: bubble.atMs });
    }
    if (newFrom !== null && startsNew(bubble)) rows.push({ kind: "new", key: "new", count: newFrom.count });
    const place = { key: bubble.key, isFirst: !isTogether(before, bubble), isLast: !isTogether(bubble, bubbles[at + 1]) };
    if (bubble.message) rows.push({ kind: "message", message: bubble.message, isMine: bubble.sender === me, ...place });
    if (bubble.outgoing) rows.push({ kind: "outgoing", outgoing: bubble.outgoing, ...place });
  });
  return rows;
}

/**
 * Put a message where the screen wants it: after what is there, but within one sender by `sender_seq`.
 * Returns a new list; a message whose id is known replaces the old one.
 */
export function withMessage(messages: readonly Message[], message: Message): Message[] {
  const known = messages.findIndex((one) => one.id === message.id);
  if (known >= 0) return messages.with(known, message);
  const later = messages.findIndex((one) => one.sender === message.sender && one.sender_seq > message.sender_seq);
  return later >= 0 ? messages.toSpliced(later, 0, message) : [...messages, message];
}

export type Day = { key: string; atMs: number; rows: Exclude<Row, { kind: "day" }>[] };

/** The same by days, so that each day's name can stay in sight until its last bubble has left. */
export function byDay(rows: readonly Row[]): Day[] {
  const days: Day[] = [];
  for (const row of rows) {
    if (row.kind === "day") days.push({ key: row.key, atMs: row.atMs, rows: [] });
    else days.at(-1)?.rows.push(row);
  }
  return days;
}
