import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { test } from "node:test";
import { freePort } from "./port-probe.js";

test("port 0 is any free one", async () => {
  const port = await freePort("127.0.0.1", 0);
  assert.ok(port > 0);
  assert.equal(await freePort("127.0.0.1", port), port);
});

test("a taken port is said to be taken, with what to do", async (t) => {
  const holder = createServer().listen(0, "127.0.0.1");
  t.after(() => holder.close());
  await once(holder, "listening");
  const address = holder.address();
  assert.ok(typeof address === "object" && address !== null);
  await assert.rejects(
    freePort("127.0.0.1", address.port, 0),
    /cannot listen on 127\.0\.0\.1:\d+: the port is taken\. Stop/,
  );
});

test("a port that is let go of in time is taken", async () => {
  const holder = createServer().listen(0, "127.0.0.1");
  await once(holder, "listening");
  const address = holder.address();
  assert.ok(typeof address === "object" && address !== null);
  const probing = freePort("127.0.0.1", address.port, 10_000);
  holder.close();
  assert.equal(await probing, address.port);
});
