import assert from "node:assert/strict";
import { test } from "node:test";
import { encode } from "@msgpack/msgpack";
import { bodyValue, createRig, errorOf } from "./http-api.testkit.js";

const NAMESPACES = { lobby: { presence: "members" }, hall: { presence: "count" } } as const;
const PATH = "/v1/rooms/lobby.a/presence";

test("presence over HTTP: a count, or members page by page, as JSON or MessagePack", async () => {
  const { ask, occupants } = createRig({ namespaces: NAMESPACES });
  assert.deepEqual(bodyValue(await ask({ path: PATH })), { count: 0 });
  occupants.set("hall.a", { kind: "count", count: 1_204 });
  assert.deepEqual(bodyValue(await ask({ path: "/v1/rooms/hall.a/presence" })), { count: 1_204 });
  const bytes = Uint8Array.of(1, 2);
  const members = new Map([
    ["bob", { info: encode({ bytes }) }],
    ["ann", { info: undefined }],
    ["cat", { info: undefined }],
  ]);
  occupants.set("lobby.a", { kind: "list", members });
  assert.deepEqual(bodyValue(await ask({ path: PATH, query: "limit=2" })), {
    count: 3,
    members: ["ann", ["bob", { bytes: "AQI=" }]],
    more: true,
  });
  const packed = await ask({
    path: PATH,
    query: "after=ann&limit=1",
    headers: { accept: "application/msgpack" },
  });
  assert.deepEqual(bodyValue(packed), { count: 3, members: [["bob", { bytes }]], more: true });
});

test("presence over HTTP is refused where the namespace has none, and for what it does not know", async () => {
  const { ask } = createRig({ namespaces: NAMESPACES });
  const cases = [
    [{ path: "/v1/rooms/chat.a/presence" }, 400, /has no presence/],
    [{ path: PATH, query: "first=1" }, 400, /"first" is unknown; allowed are after, limit/],
    [{ path: PATH, query: "limit=0" }, 400, /limit is "0"/],
    [{ path: PATH, query: "after=a&after=b" }, 400, /given twice/],
    [{ path: "/v1/rooms/lobby..a/presence" }, 400, /room/],
    [{ path: PATH, method: "POST" }, 405, /POST is not allowed/],
  ] as const;
  for (const [request, status, text] of cases) {
    const reply = await ask(request);
    assert.equal(reply.status, status, JSON.stringify(request));
    assert.match(errorOf(reply).message, text);
  }
});
