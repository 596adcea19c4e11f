/** What one chose for this page on this device. */

import { speech, type Language } from "./words.svelte";

export type Theme = "system" | "light" | "dark";
export interface Shelf {
  read(key: string): unknown;
  write(key: string, value: unknown): void;
}

const KEY = "mepassa.settings";

export class Settings {
  theme = $state<Theme>("system");

  /** `preferred`: the languages that the system asks for, the dearest first; of ours none there means Portuguese. */
  constructor(
    private readonly shelf: Shelf,
    preferred: readonly string[] = [],
  ) {
    const ours = preferred.map((tag) => tag.slice(0, 2).toLowerCase()).find((tag) => tag === "pt" || tag === "en");
    speech.language = ours === "en" ? "en" : "pt-BR";
    const saved = shelf.read(KEY);
    if (typeof saved !== "object" || saved === null) return;
    if ("theme" in saved && isTheme(saved.theme)) this.theme = saved.theme;
    if ("language" in saved && isLanguage(saved.language)) speech.language = saved.language;
  }

  get language(): Language {
    return speech.language;
  }

  choose(choice: { theme?: Theme; language?: Language }): void {
    if (choice.theme) this.theme = choice.theme;
    if (choice.language) speech.language = choice.language;
    this.shelf.write(KEY, { theme: this.theme, language: speech.language });
  }
}

export function isTheme(value: unknown): value is Theme {
  return value === "system" || value === "light" || value === "dark";
}

export function isLanguage(value: unknown): value is Language {
  return value === "pt-BR" || value === "en";
}
