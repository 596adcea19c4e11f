/** localStorage, which may be closed, full or spoilt: then the page simply forgets. */

import type { Shelf } from "../model/settings.svelte";

export const shelf: Shelf = {
  read(key) {
    try {
      return JSON.parse(localStorage.getItem(key) ?? "null");
    } catch {
      return null;
    }
  },
  write(key, value) {
    try {
      if (value === null || value === "") localStorage.removeItem(key);
      else localStorage.setItem(key, JSON.stringify(value));
    } catch {
      // Nothing to do: it will be asked for again.
    }
  },
};

/** Drafts live as long as the tab: they survive a reload, and nothing unencrypted stays behind. */
export const drafts = {
  read(chatId: string): string {
    try {
      return sessionStorage.getItem(`mepassa.draft.${chatId}`) ?? "";
    } catch {
      return "";
    }
  },
  write(chatId: string, text: string): void {
    try {
      if (text) sessionStorage.setItem(`mepassa.draft.${chatId}`, text);
      else sessionStorage.removeItem(`mepassa.draft.${chatId}`);
    } catch {
      // The draft lives in memory then.
    }
  },
};
