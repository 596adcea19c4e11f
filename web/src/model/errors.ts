/** Errors by code, in the reader's language: what happened, what it means, what to do. */

import { ApiError, type AlarmEvent } from "./api";
import { isWordKey, t } from "./words.svelte";

/** One sentence for a person. A code without own words shows the node's sentence. */
export function sentence(error: { code: string; message: string }): string {
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
