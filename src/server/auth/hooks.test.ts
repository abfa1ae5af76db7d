import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { CODE } from "../../protocol/frames.js";
import { startTestServer } from "../bystander.testkit.js";
import { createConfig } from "../config.js";
import { RawWebSocket } from "../raw-socket.testkit.js";
import { type RunningServer, startServer } from "../server.js";
import { WireClient } from "../wire-client.testkit.js";
import { SECRET, tokenOf } from "./tokens.testkit.js";

function moduleOf(t: TestContext, text: string): string {
  const folder = mkdtempSync(join(tmpdir(), "fanwire-hooks-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, "hooks.mjs");
  writeFileSync(path, text);
  return path;
}

function start(t: TestContext, text: string, more: object = {}): Promise<RunningServer> {
  return startTestServer(t, {
    hooks: { module: moduleOf(t, text), timeoutMs: 300 },
    namespaces: { chat: { publish: "client" } },
    ...more,
  });
}

test("onConnect sees token and headers, and turns away with a code before welcome", async (t) => {
  const server = await start(
    t,
    `export async function onConnect({ sub, claims, headers, query }) {
       await null;
       if (headers["x-mode"] === "throw") throw new Error("oops");
       if (headers["x-mode"] === "hang") await new Promise(() => {});
       if (query.includes("no=1")) return { refuse: "forbidden", text: "not you, " + sub + " of " + claims.team };
     }`,
    { auth: { secret: SECRET } },
  );
  const token = await tokenOf({ team: "red", rooms: [["chat.>", "s"]] });
  const open = (path: string, mode = "") =>
    WireClient.open(server.port, { path, headers: { Authorization: `Bearer ${token}`, "X-Mode": mode } });
  const client = await open("/ws");
  await client.subscribe("chat.a");
  const closing = async (path: string, mode = "") => {
    const headers = { Authorization: `Bearer ${token}`, "X-Mode": mode };
    const ws = await RawWebSocket.open(server.port, { path, headers });
    return (await ws.untilClosed()).code;
  };
  assert.equal(await closing("/ws?no=1"), 4403);
  assert.equal(await closing("/ws", "throw"), 1011);
  assert.equal(await closing("/ws", "hang"), 4503);
  assert.equal(server.gatewayCounters.hooksFailed, 2);
  assert.equal(server.counters.connectionsTotal, 1);
  await client.subscribe("chat.b");
});

test("onSubscribe refuses one room only, and one that hangs or throws refuses that operation only", async (t) => {
  const server = await start(
    t,
    `export const onSubscribe = async ({ room, session }) => {
       if (room === "chat.hang") await new Promise(() => {});
       if (room === "chat.throw") throw new Error("secret detail");
       if (room === "chat.no") return { refuse: "rate_limited", text: "later, " + (session !== "") };
     };`,
  );
  const client = await WireClient.open(server.port);
  const outcome = async (room: string) => (await client.request(CODE.subscribe, room)).slice(2);
  assert.deepEqual(await outcome("chat.no"), ["rate_limited", "later, true"]);
  assert.deepEqual(await outcome("chat.throw"), ["internal", "onSubscribe failed"]);
  const hanging = outcome("chat.hang");
  await client.subscribe("chat.a");
  assert.deepEqual((await hanging)[0], "timeout");
});

test("onPublish rewrites and refuses, in order, over socket and HTTP", async (t) => {
  const server = await start(
    t,
    `export async function onPublish({ room, data, key, session, apiKey }) {
       if (data === "slow") await new Promise((resolve) => setTimeout(resolve, 50));
       if (data === "no") return { refuse: "forbidden", text: "no" };
       if (data === "big") return { data: "x".repeat(20_000) };
       if (data === "odd") return { data: { ["__proto__x"]: 1 } };
       return { data: { data, by: apiKey ?? (session === "" ? "http" : "socket") } };
     }`,
    { apiKeys: ["backend-key-0123456789"] },
  );
  const client = await WireClient.open(server.port);
  await client.subscribe("chat.a");
  const answers = await Promise.all(
    ["slow", "fast", "no", "big"].map(
      async (data) => (await client.request(CODE.publish, "chat.a", data))[2],
    ),
  );
  assert.deepEqual(answers.slice(2), ["forbidden", "too_large"]);
  const status = async (data: unknown) =>
    (
      await fetch(`${server.url}/v1/rooms/chat.a/messages`, {
        method: "POST",
        headers: { "content-type": "application/json", authorization: "Bearer backend-key-0123456789" },
        body: JSON.stringify(data),
      })
    ).status;
  assert.deepEqual([await status("http"), await status("no")], [200, 403]);
  const messages = await client.arrived("chat.a", 3);
  assert.deepEqual(
    messages.map(({ data }) => data),
    [
      { data: "slow", by: "socket" },
      { data: "fast", by: "socket" },
      { data: "http", by: "key 1" },
    ],
  );
});

test("each hook is told where the client is, by the word of trusted proxies", async (t) => {
  const server = await start(
    t,
    `const refuse = (address) => address === "192.0.2.9" ? { refuse: "forbidden", text: "not from there" } : undefined;
     export const onConnect = ({ address }) => refuse(address);
     export const onSubscribe = ({ address }) => ({ refuse: "forbidden", text: String(address) });
     export const onPublish = ({ address }) => ({ data: address });`,
    { proxies: { trusted: ["127.0.0.1"] } },
  );
  const from = (address: string) => ({ headers: { "X-Forwarded-For": address } });
  const barred = await RawWebSocket.open(server.port, from("192.0.2.9"));
  assert.equal((await barred.untilClosed()).code, 4403);
  for (const address of ["198.51.100.7", "2001:db8::5:0:1", "127.0.0.1"]) {
    const client = await WireClient.open(server.port, from(address));
    assert.equal((await client.request(CODE.subscribe, "chat.a"))[3], address);
    assert.equal((await client.request(CODE.publish, "chat.a", 1))[0], CODE.ok);
    await fetch(`${server.url}/v1/rooms/chat.a/messages`, {
      method: "POST",
      headers: { "content-type": "application/json", ...from(address).headers },
      body: "1",
    });
  }
  const { messages } = await (await fetch(`${server.url}/v1/rooms/chat.a/messages`)).json();
  assert.deepEqual(
    messages.map(([, , data]: unknown[]) => data),
    ["198.51.100.7", "2001:db8::5:0:1", "127.0.0.1"].flatMap((address) => [address, address]),
  );
});

test("a module that cannot be used keeps the server from starting, and says why", async (t) => {
  const config = (path: string) =>
    createConfig({ port: 0, log: { level: "silent" }, hooks: { module: path } });
  await assert.rejects(startServer(config("/nowhere/hooks.mjs")), /hooks\.module .* cannot be loaded/);
  await assert.rejects(startServer(config(moduleOf(t, "export const a = 1;"))), /exports none of onConnect/);
  await assert.rejects(
    startServer(config(moduleOf(t, "export const onPublish = 1;"))),
    /onPublish is no function/,
  );
});
