/** Names are people's: initials, on a colour derived from the account id until there is a picture. */

import { plainLine } from "./text";

/**
 * Once around the hues in OKLCH, light and dark by turns, so that each can be told from each other. White on each is at
 * least 4.5 : 1 (web/tests/words.test.ts measures both).
 */
export const AVATAR_COLOURS = [
  "#b03d58", "#822d1e", "#a35303", "#674600", "#7b6c01", "#445504", "#1f812d", "#045b44",
  "#087c77", "#045764", "#0975a2", "#1c4c8d", "#5d5dbf", "#5a3982", "#95489b", "#792c59",
] as const;

/** Index of a colour: the same account has the same one everywhere. */
export function avatarColour(accountId: string): number {
  return Number.parseInt(accountId.slice(6, 12) || "0", 16) % AVATAR_COLOURS.length || 0;
}

/** The first letters of the first and last word that have one ("Dona Lúcia" → "DL", "Rafael (quadra)" → "RQ"), else "?". */
export function initials(name: string): string {
  const letters = plainLine(name)
    .split(" ")
    .flatMap((word) => /[\p{L}\p{N}]\p{M}*/u.exec(word)?.[0] ?? []);
  const shown = letters.length > 1 ? [letters[0], letters.at(-1)] : letters;
  return shown.join("").toLocaleUpperCase("pt-BR") || "?";
}
