/** WebSockets of the same origin, as the model wants them. */

import type { EventSocket, SocketHandlers, StreamWorld } from "../model/stream";
import { later } from "./time";

export function openSocket(path: string, handlers: SocketHandlers): EventSocket {
  const url = new URL(path, location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(url);
  let isClosed = false;
  socket.onopen = () => handlers.onOpen();
  socket.onmessage = (event) => typeof event.data === "string" && handlers.onText(event.data);
  socket.onclose = () => {
    if (!isClosed) handlers.onClose();
  };
  return {
    close: () => {
      isClosed = true;
      socket.close();
    },
  };
}

export const nodeStream: StreamWorld = {
  open: (after, handlers) => openSocket(`/api/v1/events${after === null ? "" : `?after=${after}`}`, handlers),
  later,
  random: Math.random,
};
