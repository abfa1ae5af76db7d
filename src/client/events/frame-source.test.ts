import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { test } from "node:test";
import { encode } from "../msgpack-writer.js";
import { decode } from "../wire.js";
import { FrameSource } from "./frame-source.js";
import { Http } from "./http.js";

test("where nothing answers it ends, long before a stream that has been heard would", {
  timeout: 20_000,
}, async (t) => {
  const taken: Socket[] = [];
  const listener = createServer((socket) => taken.push(socket.on("error", () => undefined)));
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  t.after(() => {
    listener.close();
    for (const socket of taken) socket.destroy();
  });
  const address = listener.address();
  assert.ok(typeof address === "object" && address !== null);
  const http = new Http(`ws://127.0.0.1:${address.port}/ws`, undefined, { decode, encode });
  const end = await new Promise<[number, string]>((resolve) => {
    new FrameSource(http, new Uint8Array(0), {
      frames: () => assert.fail("there are none"),
      ended: (code, reason) => resolve([code, reason]),
    });
  });
  assert.deepEqual(end, [1006, "nothing answers"]);
  assert.equal(taken.length, 1);
});
