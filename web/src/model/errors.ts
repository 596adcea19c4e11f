/** Errors by code, in the reader's language: what happened, what it means, what to do. */

import { ApiError, type AlarmEvent } from "./api";
import { isWordKey, t, type WordKey } from "./words.svelte";

/** What one code says in several ways, by the node's English sentence (tests/browser compares them with the node's). */
const SAID: Readonly<Record<string, WordKey>> = {
  "This is your own link; give it to somebody else.": "said.own_link",
  "This is not a MePassa contact link.": "said.no_link",
  "This contact link is damaged; ask for a new one.": "said.damaged_link",
  "That server has an address inside a private network; it can't be reached from here.": "said.private_server",
  "Hiding your internet address works only with contacts of the same home server yet.": "said.other_server",
  "Accept the request before you answer.": "said.accept_first",
  "There is no request to accept in this chat.": "said.no_request",
  "This contact is blocked.": "said.blocked",
  "This link shows another key for somebody whom you know already; it was not used.": "said.other_key",
  "That is not this contact's safety number; compare it again.": "said.other_number",
};

/** One sentence for a person. What has no words of its own here shows the node's sentence. */
export function sentence(error: { code: string; message: string }): string {
  const said = Object.hasOwn(SAID, error.message) ? SAID[error.message] : undefined;
  if (said) return t(said);
  const key = `error.${error.code}`;
  return isWordKey(key) ? t(key) : error.message || t("error.unknown");
}

export function asApiError(error: unknown): ApiError {
  return error instanceof ApiError ? error : new ApiError({ code: "unknown", message: String(error), field: null });
}

/** What an alarm says; `name` is the contact's, when it is about one. */
export function alarmWords(alarm: AlarmEvent, name: string): string {
  const key = `alarm.${alarm.note}`;
  return t(isWordKey(key) ? key : "alarm.other", { name });
}
