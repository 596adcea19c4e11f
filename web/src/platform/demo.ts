/** The demo process, same origin. */

import type { Demo, DemoApi } from "../model/demo.svelte";
import { request } from "./http";
import { openSocket } from "./socket";
import { later } from "./time";

export const demoApi: DemoApi = {
  flip: (what, on) => request("POST", "/api/demo/switch", { what, on }),
  tour: () => request("POST", "/api/demo/tour", {}),
  open: (who) => request("POST", "/api/demo/open", { who }),
};

const AGAIN_MS = 1_000;

/** Keeps the demo told; its first frame is the whole state, so nothing needs to be resumed. */
export function watchDemo(demo: Demo): void {
  openSocket("/api/demo/events", {
    onOpen: () => (demo.isLive = true),
    onText: (text) => demo.receive(text),
    onClose: () => {
      demo.isLive = false;
      later(AGAIN_MS, () => watchDemo(demo));
    },
  });
}
