/** What people wrote, made safe to look at: nothing invisible passes unseen, nothing turns the line around. */

const encoder = new TextEncoder();

/** Bytes of UTF-8, as the node counts them. */
export function utf8Bytes(text: string): number {
  return encoder.encode(text).length;
}

export type Piece =
  | { kind: "text"; text: string }
  | { kind: "mark"; code: string }
  | { kind: "link"; text: string; href: string };

/** Marks of direction that only hint: isolated lines need none of them, so they are left out. */
const HINTS = /[\u200e\u200f\u061c]/gu;

/**
 * Characters that nobody sees: bidi embeddings, overrides and isolates; zero-width and blank "letters"; control
 * characters; tags. Joiners are judged by their neighbours, since emoji, Arabic and Indic scripts need them.
 */
const UNSEEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b\u200c\u200d\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\u{e0000}-\u{e0fff}]/u;

const JOINING_LETTER =
  /[\p{Script=Arabic}\p{Script=Syriac}\p{Script=Devanagari}\p{Script=Bengali}\p{Script=Gurmukhi}\p{Script=Gujarati}\p{Script=Oriya}\p{Script=Tamil}\p{Script=Telugu}\p{Script=Kannada}\p{Script=Malayalam}\p{Script=Sinhala}\p{Script=Khmer}\p{Script=Mongolian}]/u;
const EMOJI_PART = /[\p{Extended_Pictographic}\p{Emoji_Modifier}\ufe0f]/u;

function belongs(character: string, before: string | undefined, after: string | undefined, inFlag: boolean): boolean {
  if (character === "\u200d" || character === "\u200c") {
    if (before === undefined || after === undefined) return false;
    if (character === "\u200d" && EMOJI_PART.test(before) && /[\p{Extended_Pictographic}♀♂⚕]/u.test(after)) return true;
    return JOINING_LETTER.test(before) && JOINING_LETTER.test(after);
  }
  return inFlag && character >= "\u{e0020}" && character <= "\u{e007f}";
}

/** Split a text into what is shown as it is, marks for what would be unseen (`U+202E`), and web links. */
export function pieces(text: string, options: { links: boolean } = { links: false }): Piece[] {
  const characters = [...text.replaceAll("\r\n", "\n").replace(HINTS, "")];
  const out: Piece[] = [];
  let plain = "";
  let inFlag = false;
  const flush = () => {
    if (plain) out.push(...(options.links ? withLinks(plain) : [{ kind: "text", text: plain } as const]));
    plain = "";
  };
  characters.forEach((character, at) => {
    if (!UNSEEN.test(character) || belongs(character, characters[at - 1], characters[at + 1], inFlag)) {
      // U+1F3F4 is the black flag that tag characters turn into those of England, Scotland and Wales.
      inFlag = character === "\u{1f3f4}" || (inFlag && character >= "\u{e0020}" && character <= "\u{e007f}");
      plain += character;
      return;
    }
    inFlag = false;
    flush();
    const code = "U+" + character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0");
    const last = out.at(-1);
    if (!(last?.kind === "mark" && last.code === code)) out.push({ kind: "mark", code });
  });
  flush();
  return out;
}

/** The same for one line without marks-up: a title, a label for a screen reader. */
export function plainLine(text: string): string {
  return pieces(text)
    .map((piece) => (piece.kind === "mark" ? "\ufffd" : piece.text))
    .join("")
    .replace(/\s+/gu, " ")
    .trim();
}

const WEB_LINK = /\bhttps?:\/\/[^\s<>"'`{}|\\^]+/giu;

function withLinks(text: string): Piece[] {
  const out: Piece[] = [];
  let end = 0;
  for (const match of text.matchAll(WEB_LINK)) {
    const shown = withoutTail(match[0]);
    const href = webAddress(shown);
    if (href === null) continue;
    if (match.index > end) out.push({ kind: "text", text: text.slice(end, match.index) });
    out.push({ kind: "link", text: shown, href });
    end = match.index + shown.length;
  }
  if (end < text.length) out.push({ kind: "text", text: text.slice(end) });
  return out;
}

/** Full stops and an unmatched bracket after a link belong to the sentence. */
function withoutTail(link: string): string {
  let kept = link;
  for (;;) {
    const isUnmatched = kept.endsWith(")") && kept.split(")").length > kept.split("(").length;
    const shorter = isUnmatched ? kept.slice(0, -1) : kept.replace(/[.,;:!?…'"]+$/u, "");
    if (shorter === kept) return kept;
    kept = shorter;
  }
}

/** Only plain web addresses become links; one that hides its host behind a user name does not. */
function webAddress(text: string): string | null {
  try {
    const url = new URL(text);
    const isWeb = url.protocol === "https:" || url.protocol === "http:";
    return isWeb && url.username === "" && url.password === "" ? url.href : null;
  } catch {
    return null;
  }
}

/** One to three emoji and nothing but spaces besides: shown large. */
export function isEmojiOnly(text: string): boolean {
  const together = text.slice(0, 61).replace(/ +/gu, "");
  const graphemes = [...new Intl.Segmenter(undefined, { granularity: "grapheme" }).segment(together)];
  const isEmoji = (part: string) => /^(?:\p{Extended_Pictographic}|\p{Regional_Indicator}{2})/u.test(part) && !UNSEEN.test(part[0]!);
  return text.length <= 60 && graphemes.length >= 1 && graphemes.length <= 3 && graphemes.every((g) => isEmoji(g.segment));
}

/** 60 digits as twelve groups of five. */
export function digitGroups(digits: string): string[] {
  return digits.match(/\d{1,5}/g) ?? [];
}

/** A card is `https://HOME/i#…` (http on this computer) or `mepassa://add/…`. */
export function looksLikeCard(text: string): boolean {
  const link = text.trim();
  return /^https?:\/\/[^/\s]+\/i#\S+$/iu.test(link) || /^mepassa:\/\/add\/\S+$/iu.test(link);
}
