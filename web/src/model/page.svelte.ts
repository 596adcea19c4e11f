/** The whole page: the node it shows, and where one is in it. */

import type { Conversation } from "./conversation.svelte";
import type { Node } from "./node.svelte";
import type { Notices } from "./notices.svelte";
import { HOME_PLACE, readPlace, type Place, type Tab } from "./place";
import type { Settings, Shelf } from "./settings.svelte";
import { plainLine } from "./text";
import { t } from "./words.svelte";

export type Sheet = "add" | "link" | "settings" | "keys";
const REVOCABLE_KEY = "mepassa.links";

/** A link that can still be cancelled: its id only, never the link, since this shelf is not encrypted. */
export type Revocable = { id: string; expires_at_ms: number };

export class Page {
  place = $state.raw<Place>(HOME_PLACE);
  sheet = $state<Sheet | null>(null);
  areDetailsOpen = $state(false);
  /** Dialogs that are open now: while there are any, nothing behind them can be pressed. */
  dialogs = $state(0);
  sought = $state("");
  onlyUnread = $state(false);
  revocable = $state.raw<readonly Revocable[]>([]);

  constructor(
    readonly node: Node,
    readonly settings: Settings,
    readonly notices: Notices,
    private readonly shelf: Shelf,
    private readonly now: () => number,
    /** Moves the browser to a place; it answers through `arrived`. */
    private readonly travel: (place: Place, replaces: boolean) => void,
  ) {
    const kept = shelf.read(REVOCABLE_KEY);
    this.#keepRevocable(Array.isArray(kept) ? (kept as Revocable[]) : []);
  }

  // --- where one is ---

  arrived(fragment: string): void {
    this.place = readPlace(fragment);
  }

  go(place: Partial<Place>, replaces = false): void {
    this.travel({ ...this.place, chatId: null, ...place }, replaces);
  }

  openChat(chatId: string, replaces = false): void {
    const state = this.node.find(chatId)?.chat.state;
    this.go({ tab: state === "request" ? "requests" : "chats", chatId }, replaces);
  }

  /** The chat that is shown: one of the present tab. */
  get conversation(): Conversation | null {
    const one = this.node.find(this.place.chatId);
    return one && tabOf(one) === this.place.tab ? one : null;
  }

  // --- the list ---

  /** Rows of the present tab, as sought and filtered. */
  get rows(): Conversation[] {
    if (this.place.tab === "requests") return this.node.requests;
    const wanted = folded(this.sought);
    return this.node.contacts
      .filter((one) => !wanted || folded(one.chat.name).includes(wanted))
      .filter((one) => !this.onlyUnread || one.chat.unread > 0 || one === this.conversation);
  }

  /** Opens the row after or before the present one. */
  step(by: 1 | -1): void {
    const rows = this.rows;
    const at = rows.findIndex((one) => one === this.conversation);
    const next = rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : at + by];
    if (next) this.openChat(next.id);
  }

  // --- what can be taken back for a moment ---

  /** Refuse a request or block a contact. */
  block(conversation: Conversation): void {
    const { id, chat } = conversation;
    const back = this.place;
    this.node.setAside(id);
    this.notices.undoable(
      t(chat.state === "request" ? "request.refused" : "block.done"),
      () => this.node.block(id),
      () => {
        this.node.takeBack(id);
        this.travel(back, false);
      },
    );
  }

  /** Cancel a link or code: it is gone from the page at once. `undo` puts it back where it was shown. */
  revoke(inviteId: string, undo: () => void): void {
    const kept = this.revocable.find((one) => one.id === inviteId);
    this.revokedLink(inviteId);
    this.notices.undoable(
      t("link.revoked"),
      () => this.node.api.revokeInvite(inviteId),
      () => {
        if (kept) this.madeLink(kept);
        undo();
      },
    );
  }

  // --- links that can be cancelled ---

  madeLink(link: Revocable): void {
    this.#keepRevocable([...this.revocable, { id: link.id, expires_at_ms: link.expires_at_ms }]);
  }

  revokedLink(id: string): void {
    this.#keepRevocable(this.revocable.filter((one) => one.id !== id));
  }

  #keepRevocable(links: readonly Revocable[]): void {
    this.revocable = links.filter((one) => typeof one?.id === "string" && one.expires_at_ms > this.now());
    this.shelf.write(REVOCABLE_KEY, this.revocable.length > 0 ? this.revocable : null);
  }
}

export function tabOf(conversation: Conversation): Tab {
  return conversation.chat.state === "request" ? "requests" : "chats";
}

/** "joao" finds "João". */
export function folded(name: string): string {
  return plainLine(name).normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
}
