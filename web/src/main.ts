import "./tokens.css";
import "./base.css";
import { mount } from "svelte";
import { Node } from "./model/node.svelte";
import { Notices } from "./model/notices.svelte";
import { Page } from "./model/page.svelte";
import { writePlace } from "./model/place";
import { isTheme, isLanguage, Settings } from "./model/settings.svelte";
import { httpApi } from "./platform/http";
import { screen } from "./platform/screen.svelte";
import { drafts, shelf } from "./platform/shelf";
import { nodeStream } from "./platform/socket";
import { later, randomId } from "./platform/time";
import App from "./view/App.svelte";

// The one place that wires: the model gets its world, the view gets the model.
const settings = new Settings(shelf, navigator.languages);
const node = new Node({ api: httpApi(), now: Date.now, randomId, later, stream: nodeStream }, drafts);
const page = new Page(node, settings, new Notices(later), shelf, Date.now, (place, replaces) => {
  const fragment = writePlace(place);
  if (replaces) history.replaceState(null, "", fragment);
  else history.pushState(null, "", fragment);
  page.arrived(fragment);
});
page.arrived(location.hash);
window.addEventListener("popstate", () => page.arrived(location.hash));
window.addEventListener("hashchange", () => page.arrived(location.hash));
window.addEventListener("online", () => node.hurry());
window.addEventListener("pagehide", () => page.notices.settle());
document.addEventListener("visibilitychange", () => !document.hidden && node.hurry());

if (screen.isFramed) {
  // The demo page around this one may choose theme and language, nothing else.
  window.addEventListener("message", (event) => {
    const wish: unknown = event.source === window.parent ? event.data?.mepassa : undefined;
    if (typeof wish !== "object" || wish === null) return;
    const { theme, language } = wish as { theme?: unknown; language?: unknown };
    settings.choose({ ...(isTheme(theme) ? { theme } : {}), ...(isLanguage(language) ? { language } : {}) });
  });
}

node.start();
mount(App, { target: document.getElementById("app")!, props: { page } });
