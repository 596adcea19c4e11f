import { describe, expect, it } from "vitest";
import { ApiError, type Chat, type Message, type NodeApi } from "../src/model/api";
import { Conversation, type World } from "../src/model/conversation.svelte";

const CHAT: Chat = { id: "c", name: "Bia", account_id: "bb", state: "accepted", unread: 0, path: null, policy: "auto", verification: "none", verified_at_ms: null };
const ME = "aa";

function message(id: string, text: string, sender = ME, seq = 1): Message {
  return { id, chat_id: "c", sender, sent_at_ms: seq, sender_seq: seq, content: { kind: "text", text }, status: "queued", route: null };
}

/** A node that answers when the test says so. */
class Slow {
  readonly asked: { clientId: string; text: string; answer: (message: Message) => void; refuse: (error: ApiError) => void }[] = [];
  readonly timers: (() => void)[] = [];
  newest: Message[] = [];
  #next = 1;

  world(): World {
    const api = {
      send: (_chat: string, clientId: string, text: string) =>
        new Promise<Message>((answer, refuse) => this.asked.push({ clientId, text, answer, refuse })),
      messages: async () => this.newest,
    } as unknown as NodeApi;
    return {
      api,
      now: () => 7,
      randomId: () => `client${this.#next++}`,
      later: (_ms, then) => {
        this.timers.push(then);
        return () => undefined;
      },
    };
  }
}

const settle = () => new Promise((resume) => setTimeout(resume, 0));
const texts = (one: Conversation) => one.messages.map((m) => (m.content.kind === "text" ? m.content.text : "?"));

describe("sending", () => {
  it("shows the text at once, and once when both the event and the answer have come", async () => {
    const node = new Slow();
    const one = new Conversation(CHAT, ME, node.world());
    one.send("oi");
    expect(one.rows.at(-1)).toMatchObject({ kind: "outgoing", key: "client1" });
    one.receiveMessage(message("m1", "oi"));
    expect(one.rows.filter((row) => row.kind !== "day")).toHaveLength(1);
    node.asked[0]!.answer(message("m1", "oi"));
    await settle();
    expect(texts(one)).toEqual(["oi"]);
    expect(one.rows.at(-1)).toMatchObject({ kind: "message", key: "client1" });
  });

  it("sends in the order of typing, one at a time", async () => {
    const node = new Slow();
    const one = new Conversation(CHAT, ME, node.world());
    one.send("um");
    one.send("dois");
    expect(node.asked.map((ask) => ask.text)).toEqual(["um"]);
    node.asked[0]!.answer(message("m1", "um"));
    await settle();
    expect(node.asked.map((ask) => ask.text)).toEqual(["um", "dois"]);
  });

  it.each(["Unreachable", "Unauthorized"])("asks again with the same client id until the node answers (%s)", async (code) => {
    const node = new Slow();
    const one = new Conversation(CHAT, ME, node.world());
    one.send("oi");
    node.asked[0]!.refuse(new ApiError({ code, message: "", field: null }));
    await settle();
    expect(one.outgoing[0]).toMatchObject({ state: "waiting" });
    node.timers.shift()!();
    await settle();
    expect(node.asked.map((ask) => ask.clientId)).toEqual(["client1", "client1"]);
    node.asked[1]!.answer(message("m1", "oi"));
    await settle();
    expect(texts(one)).toEqual(["oi"]);
  });

  it("keeps a refused text, lets the next one pass, and can take the text back", async () => {
    const node = new Slow();
    const one = new Conversation(CHAT, ME, node.world());
    one.send("longa");
    one.send("curta");
    node.asked[0]!.refuse(new ApiError({ code: "TextTooLongError", message: "", field: "text" }));
    await settle();
    expect(one.outgoing[0]).toMatchObject({ state: "refused", error: { code: "TextTooLongError" } });
    expect(node.asked.at(-1)!.text).toBe("curta");
    one.takeBack("client1");
    expect(one.draft).toBe("longa");
  });

  it("shows what another face of this node sent meanwhile, after the own answer", async () => {
    const node = new Slow();
    const one = new Conversation(CHAT, ME, node.world());
    one.send("da página");
    one.receiveMessage(message("m9", "da linha de comando", ME, 2));
    node.asked[0]!.answer(message("m1", "da página"));
    await settle();
    expect(texts(one)).toEqual(["da página", "da linha de comando"]);
  });
});

describe("reading", () => {
  it("remembers news that came before its message", () => {
    const one = new Conversation(CHAT, ME, new Slow().world());
    one.receiveStatus({ type: "status", seq: 1, chat_id: "c", message_id: "m1", status: "delivered", route: null });
    one.receiveMessage(message("m1", "oi"));
    expect(one.messages[0]?.status).toBe("delivered");
  });

  it("keeps what arrives while the newest messages are being read", async () => {
    const node = new Slow();
    node.newest = [message("m1", "velha", "bb")];
    const one = new Conversation(CHAT, ME, node.world());
    const reading = one.readNewest();
    one.receiveMessage(message("m2", "nova", "bb", 2));
    await reading;
    expect(texts(one)).toEqual(["velha", "nova"]);
  });

  it("draws the line above as many incoming messages as were unread", () => {
    const one = new Conversation({ ...CHAT, unread: 2 }, ME, new Slow().world());
    ["a", "b", "c"].forEach((id, at) => one.receiveMessage(message(id, id, "bb", at + 1)));
    one.opened();
    expect(one.newFrom).toEqual({ id: "b", count: 2 });
  });

  it("allows short texts only until the other side has accepted", () => {
    expect(new Conversation({ ...CHAT, state: "requested" }, ME, new Slow().world()).limitBytes).toBe(2_048);
  });
});
