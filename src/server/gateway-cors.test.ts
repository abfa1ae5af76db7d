import assert from "node:assert/strict";
import { test } from "node:test";
import { startRig } from "./gateway-rig.testkit.js";

const PAGE = "https://app.example";

test("pages that may connect may use HTTP too, others may not", async (t) => {
  const { port } = await startRig(t, {
    origins: [PAGE],
    http: async () => ({ status: 200, headers: {}, body: "here" }),
  });
  const ask = async (path: string, method: string, origin: string, asks = true) => {
    const headers = { origin, ...(asks && { "access-control-request-method": "POST" }) };
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { method, headers });
    await response.body?.cancel();
    const told = (name: string) => response.headers.get(`access-control-${name}`);
    return [
      response.status,
      told("allow-origin"),
      told("allow-methods"),
      told("allow-headers")?.includes("fanwire-key"),
    ];
  };
  for (const path of ["/v1/messages", "/v1/events"]) {
    assert.deepEqual(await ask(path, "OPTIONS", PAGE), [204, PAGE, "GET, POST", true]);
    const [, origin, methods] = await ask(path, "OPTIONS", "https://other.example");
    assert.deepEqual([origin, methods], [null, null]);
  }
  assert.deepEqual(await ask("/v1/messages", "GET", PAGE, false), [200, PAGE, null, undefined]);
  assert.deepEqual(await ask("/v1/messages", "GET", "https://other.example", false), [
    200,
    null,
    null,
    undefined,
  ]);
  // Also what is refused, or a page would not know why.
  assert.deepEqual(await ask("/v1/events", "GET", PAGE, false), [400, PAGE, null, undefined]);
});
