import { describe, expect, it } from "vitest";
import { digitGroups, isEmojiOnly, looksLikeCard, pieces, plainLine, utf8Bytes } from "../src/model/text";

const shown = (text: string) => pieces(text).map((piece) => (piece.kind === "mark" ? `[${piece.code}]` : piece.text)).join("");

describe("what people wrote", () => {
  it("shows markup as text", () => {
    expect(pieces("<b onclick=x>&amp;")).toEqual([{ kind: "text", text: "<b onclick=x>&amp;" }]);
  });

  it("shows overrides, isolates and zero-width characters as marks, a run of the same as one", () => {
    expect(shown("a\u202eb\u2066c\u200b\u200b\u200bd\ufeff")).toBe("a[U+202E]b[U+2066]c[U+200B]d[U+FEFF]");
  });

  it("drops direction hints, which an isolated line does not need", () => {
    expect(shown("a\u200e\u200f\u061cb")).toBe("ab");
  });

  it("keeps the joiners that emoji and Persian need, and marks the others", () => {
    expect(shown("👩‍👩‍👧‍👦")).toBe("👩‍👩‍👧‍👦");
    expect(shown("می\u200cخواهم")).toBe("می\u200cخواهم");
    expect(shown("pay\u200dpal")).toBe("pay[U+200D]pal");
  });

  it("keeps the tags of a flag, and marks them anywhere else", () => {
    const england = "\u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}";
    expect(shown(england)).toBe(england);
    expect(shown("a\u{e0061}")).toBe("a[U+E0061]");
  });

  it("keeps line breaks and tabs, not other control characters", () => {
    expect(shown("a\r\nb\tc\u0007")).toBe("a\nb\tc[U+0007]");
  });

  it("says one plain line for titles and screen readers", () => {
    expect(plainLine("  a\n\n\u202e b ")).toBe("a \ufffd b");
  });

  it("never hides nor invents a character that is not on the list", () => {
    for (let start = 0x20; start < 0x26f; start++) {
      const text = Array.from({ length: 12 }, (_, at) => String.fromCodePoint(0x20 + ((start * 31 + at * 97) % 0x24f))).join("");
      const visible = text.replace(/[\u007f-\u009f\u00ad]/gu, "");
      expect(pieces(text).flatMap((piece) => (piece.kind === "mark" ? [] : piece.text)).join("")).toBe(visible);
    }
  });
});

describe("web links", () => {
  const links = (text: string) => pieces(text, { links: true }).flatMap((piece) => (piece.kind === "link" ? piece.href : []));

  it("are found without the full stop and bracket of the sentence", () => {
    expect(links("(veja https://exemplo.org/a(b).) e http://exemplo.org!")).toEqual(["https://exemplo.org/a(b)", "http://exemplo.org/"]);
  });

  it("are only http and https, and none that hides its host behind a user name", () => {
    expect(links("javascript:alert(1) data:text/html,x ftp://x https://banco.com@mal.example/")).toEqual([]);
  });

  it("leave all text in place", () => {
    const text = "a https://exemplo.org/?q=1&r=2, b";
    expect(pieces(text, { links: true }).map((piece) => ("text" in piece ? piece.text : "")).join("")).toBe(text);
  });
});

describe("measures", () => {
  it("counts bytes of UTF-8", () => expect(utf8Bytes("aé€😀")).toBe(1 + 2 + 3 + 4));
  it("splits 60 digits into twelve groups", () => expect(digitGroups("1".repeat(60))).toHaveLength(12));
  it("knows one to three emoji from other short texts", () => {
    expect(["👍🏽", "👩‍👩‍👧‍👦🎉", "🇧🇷", "👍🏽 🎉  🏴󠁧󠁢󠁥󠁮󠁧󠁿"].every(isEmojiOnly)).toBe(true);
    expect(["", "12", "a👍", "👍👍👍👍", "#"].some(isEmojiOnly)).toBe(false);
  });
  it("knows a card by its form", () => {
    expect(["https://casa.org/i#abc", " mepassa://add/abc ", "http://127.0.0.1:8080/i#x"].every(looksLikeCard)).toBe(true);
    expect(["", "casa.org", "https://casa.org/", "https://casa.org/i", "javascript:x/i#y"].some(looksLikeCard)).toBe(false);
  });
});
