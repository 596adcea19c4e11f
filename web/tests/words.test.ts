import { afterEach, describe, expect, it } from "vitest";
import { ApiError } from "../src/model/api";
import { sentence } from "../src/model/errors";
import { avatarColour, initials } from "../src/model/people";
import { readPlace, writePlace } from "../src/model/place";
import { readQr } from "../src/model/qr";
import { dayName, milliseconds, shortWhen, speech, t, timeLeft, tn } from "../src/model/words.svelte";
import en from "../src/words/en.json";
import pt from "../src/words/pt-BR.json";

afterEach(() => (speech.language = "pt-BR"));

describe("both languages", () => {
  it("have the same keys and the same places to fill", () => {
    expect(Object.keys(en)).toEqual(Object.keys(pt));
    const places = (text: string) => [...text.matchAll(/\{(\w+)\}/gu)].map((match) => match[1]).sort();
    for (const [key, text] of Object.entries(pt)) expect(places(en[key as keyof typeof en]), key).toEqual(places(text));
  });

  it("count, and fill in", () => {
    expect(tn("new", 1)).toBe("1 mensagem nova");
    expect(tn("new", 1_200)).toBe("1.200 mensagens novas");
    speech.language = "en";
    expect(tn("new", 2)).toBe("2 new messages");
    expect(t("heard", { name: "Bia", text: "{name}" })).toBe("Bia wrote: {name}");
  });

  it("tell errors by code, and the node's sentence for a code without words", () => {
    expect(sentence(new ApiError({ code: "MailboxFullError", message: "x", field: null }))).toContain("cheia");
    expect(sentence({ code: "NewerError", message: "From the node." })).toBe("From the node.");
  });
});

describe("times", () => {
  const now = new Date(2026, 10, 24, 15, 0).getTime();
  it("are near by name and far by date", () => {
    expect(dayName(now, now)).toBe("hoje");
    expect(dayName(now - 86_400_000, now)).toBe("ontem");
    expect(dayName(now - 3 * 86_400_000, now)).toBe("sábado");
    expect(shortWhen(now, now)).toBe("15:00");
  });
  it("say figures so that they can be read", () => {
    expect([milliseconds(1.94), milliseconds(64.5), milliseconds(30_308), timeLeft(600_000), timeLeft(30 * 86_400_000)]).toEqual(["1,9 ms", "65 ms", "30,3 s", "10 min 00 s", "30 dias"]);
  });
});

describe("people and places", () => {
  it("have initials from letters only", () => {
    expect(["Bia", "Dona Lúcia", "Rafael (quadra)", "\u200b\u200b", "<script>", "ليلى حداد"].map(initials)).toEqual(["B", "DL", "RQ", "?", "S", "لح"]);
  });
  it("have one colour per account", () => {
    expect(avatarColour("00000000000000000000000000000001")).toBe(avatarColour("ff000000000000000000000000000001"));
    expect(avatarColour("")).toBe(0);
  });
  it("are written in the fragment, and nonsense leads home", () => {
    const place = { tab: "requests", chatId: "ab12" } as const;
    expect(readPlace(writePlace(place))).toEqual(place);
    for (const bad of ["", "#", "#/x", "#/chats/../x", "#/chats/<b>"]) expect(readPlace(bad)).toEqual({ tab: "chats", chatId: null });
  });
});

describe("a QR code", () => {
  it("is read as path data, drawn by the page itself", () => {
    const svg = '<svg viewBox="0 0 37 37"><path fill="#fff" d="M0 0h37v37h-37z"/><path class="qrline" stroke="#000" d="M4 4.5h7m1 0h1"/></svg>';
    expect(readQr(svg)).toEqual({ viewBox: "0 0 37 37", paths: [{ d: "M4 4.5h7m1 0h1", isLine: true, transform: undefined }] });
  });
  it("lets nothing but numbers and path letters pass", () => {
    for (const bad of ["", "<svg><script>x</script></svg>", '<svg viewBox="0 0 9 9"><path d="M0 0"onload="x"/></svg>'.replace("M0 0", "url(x)"), "x".repeat(300_000)]) {
      expect(readQr(bad)).toBeNull();
    }
  });
});
