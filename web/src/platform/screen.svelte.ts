/** The window as the views need it: how wide, how pointed at, looked at or not. */

function matches(query: string): { readonly now: boolean } {
  const list = matchMedia(query);
  let now = $state(list.matches);
  list.addEventListener("change", () => (now = list.matches));
  return {
    get now() {
      return now;
    },
  };
}

const narrow = matches("(max-width: 759.98px)");
const wide = matches("(min-width: 1180px)");
const fine = matches("(pointer: fine)");

let isWatched = $state(!document.hidden && document.hasFocus());
const look = () => (isWatched = !document.hidden && document.hasFocus());
document.addEventListener("visibilitychange", look);
window.addEventListener("focus", look);
window.addEventListener("blur", look);

let minute = $state(Date.now());
setInterval(() => (minute = Date.now()), 30_000);

export const screen = {
  /** One column. */
  get isNarrow() {
    return narrow.now;
  },
  /** Room for the details beside the conversation. */
  get isWide() {
    return wide.now;
  },
  /** A mouse or the like: focusing a field brings no keyboard up. */
  get hasPointer() {
    return fine.now;
  },
  /** Somebody looks at this page now. */
  get isWatched() {
    return isWatched;
  },
  /** The time, accurate enough for "today" and "yesterday". */
  get now() {
    return minute;
  },
  /** Shown inside the demo page. */
  isFramed: window.parent !== window,
};
