import assert from "node:assert/strict";
import { test } from "node:test";
import { startTestServer } from "../bystander.testkit.js";
import type { RunningServer } from "../server.js";
import { WireClient } from "../wire-client.testkit.js";
import { digestOf } from "./api-keys.js";
import { knock, nowSeconds, SECRET, tokenOf } from "./tokens.testkit.js";

const ADMIN = "admin-key-0123456789";
const PLAIN = "plain-key-0123456789";

function start(t: Parameters<typeof startTestServer>[0], auth: object = {}): Promise<RunningServer> {
  return startTestServer(t, {
    auth: { secret: SECRET, ...auth },
    apiKeys: [
      { name: "ops", sha256: digestOf(ADMIN), rooms: [], admin: true },
      { name: "feed", sha256: digestOf(PLAIN), rooms: [["chat.>", "p"]] },
    ],
    namespaces: { chat: { publish: "client" } },
    limits: { connectionsPerSub: 0, handshakesPerSecond: 1_000_000, handshakeLagMs: 60_000 },
  });
}

function post(url: string, path: string, key: string, body: unknown): Promise<Response> {
  return fetch(`${url}/v1/${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
    body: JSON.stringify(body),
  });
}

const open = (server: RunningServer, token: string) =>
  WireClient.open(server.port, { headers: { Authorization: `Bearer ${token}` } });

test("a revoked token closes its connections with 4401 and opens no other; those of others stay", async (t) => {
  const server = await start(t);
  const iat = nowSeconds() - 100;
  const byId = await tokenOf({ sub: "ada", jti: "t1", iat });
  const bySubject = await tokenOf({ sub: "eve", iat });
  const other = await tokenOf({ sub: "ada", jti: "t2", iat });
  const clients = [await open(server, byId), await open(server, bySubject), await open(server, other)];
  assert.equal((await post(server.url, "revocations", ADMIN, { jti: "t1" })).status, 200);
  assert.equal((await clients[0]?.ws.closed)?.code, 4401);
  assert.equal((await post(server.url, "revocations", ADMIN, { sub: "eve" })).status, 200);
  assert.equal((await clients[1]?.ws.closed)?.code, 4401);
  await clients[2]?.subscribe("chat.a");
  assert.deepEqual(
    [(await knock(server.port, byId)).status, (await knock(server.port, bySubject)).status],
    [401, 401],
  );
  const replayed = await fetch(`${server.url}/v1/rooms/chat.a/messages`, {
    headers: { authorization: `Bearer ${bySubject}` },
  });
  assert.equal(replayed.status, 401);
  // A token of after it is good again.
  assert.equal((await knock(server.port, await tokenOf({ sub: "eve", iat: nowSeconds() + 3 }))).status, 101);
  assert.equal(
    (await post(server.url, "revocations", ADMIN, { issuedBefore: nowSeconds() - 50 })).status,
    200,
  );
  assert.equal((await clients[2]?.ws.closed)?.code, 4401);
  assert.equal(server.gatewayCounters.tokensRevoked, 3);
});

test("only a key with admin revokes, and what is wrong or too much is told", async (t) => {
  const server = await start(t, { revocations: 2 });
  const revoke = async (key: string, body: unknown) => {
    const answer = await post(server.url, "revocations", key, body);
    const { error } = await answer.json();
    return [answer.status, error?.code];
  };
  const token = await tokenOf({ rooms: [[">", "sphm"]] });
  assert.deepEqual(await revoke(PLAIN, { sub: "eve" }), [403, "forbidden"]);
  assert.deepEqual(await revoke(token, { sub: "eve" }), [403, "forbidden"]);
  assert.deepEqual(await revoke("wrong-key-0123456789", { sub: "eve" }), [401, "unauthenticated"]);
  assert.deepEqual(await revoke(ADMIN, {}), [400, "bad_request"]);
  assert.deepEqual(await revoke(ADMIN, { sub: "a" }), [200, undefined]);
  assert.deepEqual(await revoke(ADMIN, { jti: "b" }), [200, undefined]);
  assert.deepEqual(await revoke(ADMIN, { jti: "c" }), [503, "unavailable"]);
});

test("a named key may what its rooms say", async (t) => {
  const server = await start(t);
  const status = async (path: string, key: string) => (await post(server.url, path, key, 1)).status;
  assert.equal(await status("rooms/chat.a/messages", PLAIN), 200);
  assert.equal(await status("rooms/news.a/messages", PLAIN), 403);
  assert.equal(await status("rooms/chat.a/messages", ADMIN), 403);
  assert.equal(await status("rooms/chat.a/messages", digestOf(PLAIN)), 401);
});

test("thousands of connections of one subject are closed, and the loop turns meanwhile", async (t) => {
  const server = await start(t);
  const token = await tokenOf({ sub: "eve", iat: nowSeconds() - 10 });
  const clients = await Promise.all(Array.from({ length: 1_200 }, () => open(server, token)));
  const bystander = await open(server, await tokenOf({ sub: "ada" }));
  await post(server.url, "revocations", ADMIN, { sub: "eve" });
  const codes = await Promise.all(clients.map(async ({ ws }) => (await ws.closed).code));
  assert.deepEqual([...new Set(codes)], [4401]);
  await bystander.subscribe("chat.a");
});
