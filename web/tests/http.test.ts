import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { request } from "../src/platform/http";

let server: Server | null = null;

/** Answers every request with so much of a body that is said to be 100 bytes, then falls away. */
async function fallingAway(part: string): Promise<string> {
  const made = createServer((_, response) => {
    response.writeHead(200, { "Content-Type": "application/json", "Content-Length": "100" });
    response.flushHeaders();
    if (part) response.write(part);
    setTimeout(() => response.destroy(), 20);
  });
  server = made;
  await new Promise<void>((listening) => made.listen(0, "127.0.0.1", listening));
  return `http://127.0.0.1:${(made.address() as AddressInfo).port}/`;
}

afterEach(() => {
  server?.close();
});

describe("an answer that is cut off", () => {
  it.each(["", '{"id": "1'])("is no answer, though its head said that all was well (%j)", async (part) => {
    const url = await fallingAway(part);
    await expect(request("POST", url, {})).rejects.toMatchObject({ code: "Unreachable" });
  });
});
