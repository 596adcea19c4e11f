/** Status only rises; news may come late or twice (the node's table is `protocol.delivery.TRANSITIONS`). */

import type { Message, MessageStatus, Route } from "./api";

const HEIGHT: Record<MessageStatus, number> = { queued: 0, failed: 1, sent: 2, stored: 2, delivered: 3, read: 4 };

/** Whether `next` may replace `now`. "Send again" takes a failed message back to queued. */
export function mayFollow(now: MessageStatus, next: MessageStatus): boolean {
  if (next === "failed") return HEIGHT[now] < HEIGHT.delivered;
  if (next === "queued") return now === "failed" || now === "queued";
  return HEIGHT[next] >= HEIGHT[now] && !(now === "stored" && next === "sent");
}

export function withStatus(message: Message, status: MessageStatus, route: Route | null): Message {
  return mayFollow(message.status, status) ? { ...message, status, route: route ?? message.route } : message;
}
