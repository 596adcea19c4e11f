/** Names are people's: initials, on a colour derived from the account id until there is a picture. */

import { plainLine } from "./text";

/** White on each of these is at least 4.5 : 1. */
export const AVATAR_COLOURS = [
  "#0e7c86", "#6d4bc3", "#b0471e", "#2f6f3e", "#8a2f6b", "#2b63b8", "#8d5a00", "#a13a4a", "#486b1f", "#5a5f8a",
] as const;

/** Index of a colour: the same account has the same one everywhere. */
export function avatarColour(accountId: string): number {
  return Number.parseInt(accountId.slice(-6) || "0", 16) % AVATAR_COLOURS.length || 0;
}

/** The first letters of the first and last word that have one ("Dona Lúcia" → "DL", "Rafael (quadra)" → "RQ"), else "?". */
export function initials(name: string): string {
  const letters = plainLine(name)
    .split(" ")
    .flatMap((word) => /[\p{L}\p{N}]\p{M}*/u.exec(word)?.[0] ?? []);
  const shown = letters.length > 1 ? [letters[0], letters.at(-1)] : letters;
  return shown.join("").toLocaleUpperCase("pt-BR") || "?";
}
