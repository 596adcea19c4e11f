import { describe, expect, it } from "vitest";
import { EventStream, readEvent, RETRY_CAP_MS, type SocketHandlers, type StreamEvent } from "../src/model/stream";

class Line {
  readonly opened: { after: number | null; handlers: SocketHandlers }[] = [];
  readonly waits: { ms: number; then: () => void }[] = [];
  readonly told: string[] = [];
  readonly stream = new EventStream(
    {
      open: (after, handlers) => {
        this.opened.push({ after, handlers });
        return { close: () => undefined };
      },
      later: (ms, then) => {
        this.waits.push({ ms, then });
        return () => undefined;
      },
      random: () => 1,
    },
    {
      up: (fresh) => this.told.push(fresh ? "up fresh" : "up"),
      down: () => this.told.push("down"),
      event: (event: StreamEvent) => this.told.push(`${event.type} ${event.seq}`),
    },
  );
  get last() {
    return this.opened.at(-1)!.handlers;
  }
}

const home = (seq: number) => JSON.stringify({ type: "home", seq, home: { url: "", connected: true, error: null } });

describe("the event socket", () => {
  it("resumes after the last event it saw, and passes no event twice", () => {
    const line = new Line();
    line.stream.start();
    line.last.onOpen();
    line.last.onText(home(5));
    line.last.onClose();
    line.waits.at(-1)!.then();
    expect(line.opened.map((one) => one.after)).toEqual([null, 5]);
    line.last.onOpen();
    line.last.onText(home(5));
    line.last.onText(home(6));
    expect(line.told).toEqual(["up fresh", "home 5", "down", "up", "home 6"]);
  });

  it("starts anew on reset", () => {
    const line = new Line();
    line.stream.start();
    line.last.onOpen();
    line.last.onText(home(5));
    line.last.onText('{"type":"reset"}');
    line.last.onOpen();
    expect(line.opened.map((one) => one.after)).toEqual([null, null]);
    expect(line.told.at(-1)).toBe("up fresh");
  });

  it("waits longer each time, up to a cap, and says so each time", () => {
    const line = new Line();
    line.stream.start();
    for (let round = 0; round < 9; round++) {
      line.last.onClose();
      line.waits.at(-1)!.then();
    }
    const waits = line.waits.map((one) => one.ms);
    expect(waits).toEqual([...waits].sort((a, b) => a - b));
    expect(waits.at(-1)).toBe(RETRY_CAP_MS);
    expect(line.told).toEqual(Array(9).fill("down"));
  });

  it("passes over kinds that it does not know, but counts them", () => {
    expect(readEvent('{"type":"call","seq":9}')).toEqual({ type: "other", seq: 9 });
    for (const bad of ["", "[]", "null", "{}", '{"type":"home"}', '{"type":"home","seq":"x"}', "{"]) expect(readEvent(bad)).toBeNull();
  });
});
