import { describe, expect, it } from "vitest";
import type { Message, MessageStatus } from "../src/model/api";
import { mayFollow, withStatus } from "../src/model/status";
import { byDay, timeline, withMessage } from "../src/model/timeline";

const ME = "aa";
const day = (ms: number) => String(Math.floor(ms / 86_400_000));

export function message(id: string, sender: string, atMs: number, seq = 1, status: MessageStatus = "delivered"): Message {
  return { id, chat_id: "c", sender, sent_at_ms: atMs, sender_seq: seq, content: { kind: "text", text: id }, status, route: null };
}

const rows = (messages: Message[], newFrom: { id: string; count: number } | null = null) =>
  timeline(messages, [], ME, newFrom, (one) => one.id, day);

describe("bubbles", () => {
  it("stand in groups of one sender within three minutes", () => {
    const told = rows([message("a", "b", 0), message("b", "b", 170_000), message("c", "b", 400_000), message("d", ME, 400_001)]);
    const places = told.flatMap((row) => (row.kind === "message" ? [`${row.isFirst ? "(" : ""}${row.key}${row.isLast ? ")" : ""}`] : []));
    expect(places).toEqual(["(a", "b)", "(c)", "(d)"]);
  });

  it("have a separator for each day, and a group never crosses midnight", () => {
    const told = rows([message("a", "b", 86_399_000), message("b", "b", 86_401_000)]);
    expect(told.map((row) => row.kind)).toEqual(["day", "message", "day", "message"]);
    expect(byDay(told).map((one) => one.rows.length)).toEqual([1, 1]);
  });

  it("have the new-messages line above the first unread one, which begins a group", () => {
    const told = rows([message("a", "b", 0), message("b", "b", 1_000)], { id: "b", count: 1 });
    expect(told.map((row) => row.kind)).toEqual(["day", "message", "new", "message"]);
    expect(told.at(-1)).toMatchObject({ isFirst: true });
  });

  it("keep their key when the node has answered, so that nothing flickers", () => {
    const out = { clientId: "k", text: "x", atMs: 0, state: "sending", error: null } as const;
    expect(timeline([], [out], ME, null).at(-1)?.key).toBe("k");
    expect(timeline([message("m", ME, 0)], [], ME, null, () => "k").at(-1)?.key).toBe("k");
  });
});

describe("order", () => {
  it("follows sender_seq within one sender and arrival between senders", () => {
    let list: Message[] = [];
    for (const one of [message("2", "b", 5, 2), message("x", ME, 6, 1), message("1", "b", 4, 1)]) list = withMessage(list, one);
    expect(list.map((one) => one.id)).toEqual(["1", "2", "x"]);
  });

  it("shows an id once", () => {
    expect(withMessage([message("a", "b", 0)], message("a", "b", 0))).toHaveLength(1);
  });
});

describe("status", () => {
  it("only rises", () => {
    const steps: MessageStatus[] = ["queued", "sent", "stored", "delivered", "read"];
    for (const now of steps) for (const next of steps) {
      if (next === "queued" || now === next) continue;
      expect(mayFollow(now, next), `${now} → ${next}`).toBe(steps.indexOf(next) >= steps.indexOf(now));
    }
  });

  it("a late receipt lifts a failed message, and sending again queues it", () => {
    expect(mayFollow("failed", "delivered")).toBe(true);
    expect(mayFollow("failed", "queued")).toBe(true);
    expect(mayFollow("delivered", "failed")).toBe(false);
  });

  it("keeps the known route when news comes without one", () => {
    const route = { kind: "direct", transport: "libp2p", via: null, address_class: null, found_by: null, rtt_ms: 1 } as const;
    expect(withStatus({ ...message("a", ME, 0, 1, "sent"), route }, "delivered", null).route).toBe(route);
  });
});
