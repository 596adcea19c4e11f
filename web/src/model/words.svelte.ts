/** Text through one typed `t()`: two JSON files with the same keys, Portuguese first. */

import en from "../words/en.json";
import pt from "../words/pt-BR.json";

export type Language = "pt-BR" | "en";
export type WordKey = keyof typeof pt;
type PluralKey = WordKey extends infer K ? (K extends `${infer Stem}.one` ? Stem : never) : never;
type Values = Record<string, string | number>;

const books: Record<Language, Record<WordKey, string>> = { "pt-BR": pt, en };

class Speech {
  language = $state<Language>("pt-BR");
}
export const speech = new Speech();

/** The words for `key`; `{name}` in them is replaced from `values`. */
export function t(key: WordKey, values: Values = {}): string {
  return books[speech.language][key].replace(/\{(\w+)\}/gu, (whole, name: string) => String(values[name] ?? whole));
}

/** The words for a number of things: `KEY.one` or `KEY.other`, with `{count}` in them. */
export function tn(key: PluralKey, count: number, values: Values = {}): string {
  const form = new Intl.PluralRules(speech.language).select(count) === "one" ? "one" : "other";
  return t(`${key}.${form}` as WordKey, { count: number(count), ...values });
}

export function isWordKey(key: string): key is WordKey {
  return Object.hasOwn(pt, key);
}

export function number(value: number, digits = 0): string {
  return new Intl.NumberFormat(speech.language, { maximumFractionDigits: digits }).format(value);
}

/** "11 ms", for what is under ten one decimal: "1,9 ms", and from a second on "1,4 s". */
export function milliseconds(ms: number): string {
  if (ms >= 1_000) return `${number(ms / 1_000, 1)} s`;
  return `${number(ms, ms < 10 ? 1 : 0)} ms`;
}

export function clockTime(atMs: number): string {
  return new Intl.DateTimeFormat(speech.language, { hour: "2-digit", minute: "2-digit", hour12: false }).format(atMs);
}

export function fullTime(atMs: number): string {
  return new Intl.DateTimeFormat(speech.language, { dateStyle: "long", timeStyle: "short" }).format(atMs);
}

function midnight(atMs: number): number {
  return new Date(atMs).setHours(0, 0, 0, 0);
}

/** Whole days from `atMs` to `nowMs`, by local midnights. */
function daysAgo(atMs: number, nowMs: number): number {
  return Math.round((midnight(nowMs) - midnight(atMs)) / 86_400_000);
}

/** A day separator: "hoje", "ontem", "quarta-feira", "3 de outubro", with the year when it is another one. */
export function dayName(atMs: number, nowMs: number): string {
  const days = daysAgo(atMs, nowMs);
  if (days === 0) return t("day.today");
  if (days === 1) return t("day.yesterday");
  if (days > 1 && days < 7) return new Intl.DateTimeFormat(speech.language, { weekday: "long" }).format(atMs);
  const isThisYear = new Date(atMs).getFullYear() === new Date(nowMs).getFullYear();
  const form: Intl.DateTimeFormatOptions = { day: "numeric", month: "long" };
  return new Intl.DateTimeFormat(speech.language, isThisYear ? form : { ...form, year: "numeric" }).format(atMs);
}

/** In the list: the time today, else "ontem", the weekday, or a short date, with the year when it is another one. */
export function shortWhen(atMs: number, nowMs: number): string {
  const days = daysAgo(atMs, nowMs);
  if (days <= 0) return clockTime(atMs);
  if (days === 1) return t("day.yesterday");
  if (days < 7) return new Intl.DateTimeFormat(speech.language, { weekday: "short" }).format(atMs).replace(".", "");
  const isThisYear = new Date(atMs).getFullYear() === new Date(nowMs).getFullYear();
  const form: Intl.DateTimeFormatOptions = isThisYear ? { day: "numeric", month: "short" } : { dateStyle: "short" };
  return new Intl.DateTimeFormat(speech.language, form).format(atMs).replace(".", "").replace(" de ", " ");
}

/** How long until then: "29 dias", "9 min 40 s", "40 s". */
export function timeLeft(ms: number): string {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  if (seconds >= 2 * 86_400) return tn("left.days", Math.floor(seconds / 86_400));
  if (seconds >= 2 * 3_600) return tn("left.hours", Math.floor(seconds / 3_600));
  const minutes = Math.floor(seconds / 60);
  const rest = String(seconds % 60).padStart(2, "0");
  return minutes > 0 ? `${minutes} min ${rest} s` : `${seconds} s`;
}
