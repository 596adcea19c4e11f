/** Where in the page one is, as the fragment of its address tells it: reload and "back" work by themselves. */

export type Tab = "chats" | "requests";
export type Place = { tab: Tab; chatId: string | null };

export const HOME_PLACE: Place = { tab: "chats", chatId: null };

export function readPlace(fragment: string): Place {
  const [, kind, id] = /^#\/(chats|requests)(?:\/([0-9a-f]{1,64}))?$/u.exec(fragment) ?? [];
  return kind === "chats" || kind === "requests" ? { tab: kind, chatId: id ?? null } : HOME_PLACE;
}

export function writePlace(place: Place): string {
  return `#/${place.tab}${place.chatId ? `/${place.chatId}` : ""}`;
}
