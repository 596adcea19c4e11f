import { afterEach, describe, expect, it } from "vitest";
import { ApiError } from "../src/model/api";
import { sentence } from "../src/model/errors";
import { AVATAR_COLOURS, avatarColour, initials } from "../src/model/people";
import { readPlace, writePlace } from "../src/model/place";
import { Settings } from "../src/model/settings.svelte";
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

describe("the language", () => {
  const shelf = (kept: unknown) => ({ read: () => kept, write: () => undefined });
  it("is the one chosen here, else the first of ours that the system asks for, else Portuguese", () => {
    const spoken = (kept: unknown, preferred: string[]) => new Settings(shelf(kept), preferred).language;
    expect(spoken(null, ["fr-FR", "en-GB", "pt-BR"])).toBe("en");
    expect(spoken(null, ["PT", "en"])).toBe("pt-BR");
    expect(spoken(null, ["fr-FR"])).toBe("pt-BR");
    expect(spoken({ language: "pt-BR" }, ["en-US"])).toBe("pt-BR");
    expect(spoken({ language: "xx" }, ["en-US"])).toBe("en");
  });
});

describe("times", () => {
  const now = new Date(2026, 10, 24, 15, 0).getTime();
  it("are near by name and far by date", () => {
    expect(dayName(now, now)).toBe("hoje");
    expect(dayName(now - 86_400_000, now)).toBe("ontem");
    expect(dayName(now - 3 * 86_400_000, now)).toBe("sábado");
    expect(shortWhen(now, now)).toBe("15:00");
    expect(shortWhen(now - 20 * 86_400_000, now)).toBe("4 nov");
    expect(shortWhen(now - 400 * 86_400_000, now)).toBe("20/10/2025");
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
  it("have colours on which white can be read, and which can be told from each other", () => {
    const channels = (hex: string) => [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16) / 255);
    const light = (hex: string) => channels(hex).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    const mixed = (rows: number[][], values: number[]) => rows.map((row) => row.reduce((sum, part, at) => sum + part * values[at]!, 0));
    const oklab = (hex: string) => {
      const cones = mixed([[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.63]], light(hex)).map(Math.cbrt);
      return mixed([[0.2105, 0.7936, -0.0041], [1.978, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]], cones);
    };
    for (const [at, one] of AVATAR_COLOURS.entries()) {
      const [luminance] = mixed([[0.2126, 0.7152, 0.0722]], light(one));
      expect(1.05 / (luminance! + 0.05), one).toBeGreaterThan(4.5);
      for (const other of AVATAR_COLOURS.slice(0, at)) {
        expect(Math.hypot(...oklab(one).map((part, i) => part - oklab(other)[i]!)), `${one} ${other}`).toBeGreaterThan(0.05);
      }
    }
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
