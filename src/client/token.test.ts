import assert from "node:assert/strict";
import { test } from "node:test";
import { WebSocket } from "ws";
import { nowSeconds, SECRET, tokenOf } from "../server/auth/tokens.testkit.js";
import { startTestServer } from "../server/bystander.testkit.js";
import { Client, type FanwireError } from "./index.js";

/** Waits for what the client tells, or fails. */
function told<T>(what: string, listen: (found: (value: T) => void) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    const limit = setTimeout(() => reject(new Error(`not told: ${what}`)), 20_000);
    listen((value) => {
      clearTimeout(limit);
      resolve(value);
    });
  });
}

const opened = (client: Client) =>
  told<void>("open", (found) => client.on("state", ({ kind }) => kind === "open" && found()));

test("a client renews its token on the open connection, and fetches anew when it was revoked", async (t) => {
  const server = await startTestServer(t, {
    auth: { secret: SECRET, toleranceSeconds: 0 },
    apiKeys: ["backend-key-0123456789"],
    namespaces: { chat: { publish: "client" } },
  });
  const made: string[] = [];
  const token = async (): Promise<string> => {
    // The first lives for a moment; each of the others is of after any revocation.
    const now = nowSeconds();
    const next = await tokenOf(
      made.length === 0 ? { exp: now + 8 } : { jti: `t${made.length}`, exp: now + 900 },
    );
    made.push(next);
    return next;
  };
  const client = new Client(`${server.url}/ws`, {
    WebSocket,
    token,
    backoffBaseMs: 10,
  });
  t.after(() => client.close());
  const states: string[] = [];
  client.on("state", ({ kind }) => states.push(kind));
  await opened(client);
  const room = client.subscribe("chat.a");
  await told<void>("live", (found) => room.on("live", () => found()));
  const endMs = Date.now() + 15_000;
  while (server.counters.authenticated === 0 && Date.now() < endMs)
    await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(server.counters.authenticated, 1);
  // Past the end of the first, when it would have been closed.
  const pastMs = Date.now() + 9_500;
  while (Date.now() < pastMs) await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual([states.filter((kind) => kind === "waiting"), made.length], [[], 2]);
  const again = opened(client);
  await fetch(`${server.url}/v1/revocations`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: "Bearer backend-key-0123456789" },
    body: JSON.stringify({ jti: "t1" }),
  });
  await again;
  assert.equal(made.length, 3);
  await client.publish("chat.a", 1);
});

test("a room that the new token does not allow fails, and the others go on", async (t) => {
  const server = await startTestServer(t, {
    auth: { secret: SECRET },
    namespaces: { chat: { publish: "client" } },
  });
  const client = new Client(`ws://127.0.0.1:${server.port}/ws`, {
    WebSocket,
    token: await tokenOf(),
  });
  t.after(() => client.close());
  const [a, b] = [client.subscribe("chat.a"), client.subscribe("chat.b")];
  await Promise.all([a, b].map((one) => told<void>("live", (found) => one.on("live", () => found()))));
  const failed = told<FanwireError>("the end of a", (found) => a.on("error", found));
  await client.authenticate(await tokenOf({ rooms: [["chat.b", "sp"]] }));
  assert.equal((await failed).code, "forbidden");
  assert.equal(a.state.kind, "failed");
  const arrived = told<unknown>("a message", (found) => b.on("message", ({ data }) => found(data)));
  await client.publish("chat.b", 7);
  assert.equal(await arrived, 7);
});
