import { describe, expect, it } from "vitest";
import { ApiError } from "../src/model/api";
import { Notices, UNDO_MS } from "../src/model/notices.svelte";

/** Notices on a clock that a test turns. */
function world() {
  const timers: { at: number; then: () => void }[] = [];
  let now = 0;
  const notices = new Notices((ms, then) => {
    timers.push({ at: now + ms, then });
    return () => undefined;
  });
  const done: string[] = [];
  return {
    notices,
    done,
    pass(ms: number) {
      now += ms;
      timers.splice(0).forEach((timer) => (timer.at <= now ? timer.then() : timers.push(timer)));
    },
    /** Something that can be taken back. */
    begin(name: string, failure?: ApiError) {
      const act = async () => {
        done.push(name);
        if (failure) throw failure;
      };
      notices.undoable(`${name}!`, act, () => done.push(`undo ${name}`));
    },
  };
}

describe("what can be taken back", () => {
  it("is done when the time is over, once", () => {
    const { notices, done, pass, begin } = world();
    begin("block");
    pass(UNDO_MS - 1);
    expect(done).toEqual([]);
    expect(notices.undoableNow).not.toBeNull();
    pass(1);
    pass(UNDO_MS);
    expect(done).toEqual(["block"]);
    expect(notices.undoableNow).toBeNull();
  });

  it("is never done once it was taken back", () => {
    const { notices, done, pass, begin } = world();
    begin("block");
    notices.list[0]!.undo!();
    pass(UNDO_MS);
    notices.settle();
    expect(done).toEqual(["undo block"]);
    expect(notices.list).toEqual([]);
  });

  it("is done at once when it is waved away, or when the page goes", () => {
    const { notices, done, begin } = world();
    begin("one");
    begin("two");
    notices.dismiss(notices.list[0]!.id);
    expect(done).toEqual(["one"]);
    notices.settle();
    expect(done).toEqual(["one", "two"]);
  });

  it("stays in sight however many other notices come", () => {
    const { notices, begin } = world();
    begin("one");
    for (const text of ["a", "b", "c", "d"]) notices.done(text);
    expect(notices.list.map((notice) => notice.text)).toEqual(["one!", "b", "c", "d"]);
  });

  it("comes back, with a sentence, when the node refuses", async () => {
    const { notices, done, pass, begin } = world();
    begin("block", new ApiError({ code: "DiskFullError", message: "", field: null }));
    pass(UNDO_MS);
    await Promise.resolve();
    await Promise.resolve();
    expect(done).toEqual(["block", "undo block"]);
    expect(notices.list.map((notice) => notice.kind)).toEqual(["error"]);
  });
});
