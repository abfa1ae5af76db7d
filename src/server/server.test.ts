import assert from "node:assert/strict";
import { test } from "node:test";
import { CODE } from "../protocol/frames.js";
import { startTestServer } from "./bystander.testkit.js";
import { parseOpenFilesMax } from "./open-files.js";
import { freePort } from "./raw-socket.testkit.js";
import type { RunningServer } from "./server.js";
import { WireClient } from "./wire-client.testkit.js";

async function publish(server: RunningServer, room: string, data: unknown): Promise<Response> {
  return fetch(`${server.url}/v1/rooms/${room}/messages`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(data),
  });
}

test("what is published over HTTP arrives over the socket, and is there after a reconnect", async (t) => {
  const server = await startTestServer(t);
  const first = await WireClient.open(server.port);
  await first.subscribe("news.a");
  for (let n = 1; n <= 5; n += 1) {
    const { epoch, offset } = await (await publish(server, "news.a", { n })).json();
    assert.deepEqual([epoch, offset], [first.position("news.a")[0], n]);
  }
  await first.arrived("news.a", 5);
  first.destroy();
  await publish(server, "news.a", { n: 6 });
  const second = await WireClient.open(server.port, { protocol: "fanwire.v1.json" });
  second.follow("news.a", first);
  const result = await second.subscribe("news.a", { after: first.position("news.a") });
  assert.equal(result.recovered, true);
  const messages = await second.arrived("news.a", 6);
  assert.deepEqual(
    messages.map(({ data }) => data),
    [1, 2, 3, 4, 5, 6].map((n) => ({ n })),
  );
  assert.equal(server.counters.published, 6);
  assert.equal(server.brokerCounters.published, 6);
});

test("the API, health and a hint at the root stand on the same port", async (t) => {
  const server = await startTestServer(t, { node: "one" });
  const health = await (await fetch(`${server.url}/healthz`)).json();
  assert.equal(health.status, "ok");
  assert.equal(health.node, "one");
  assert.ok(Math.abs(health.time - Date.now()) < 60_000, "the time by its clock");
  const root = await fetch(server.url);
  assert.equal(root.status, 200);
  assert.match(await root.text(), /^fanwire \d+\.\d+\.\d+\n.*\/ws/s);
  const nothing = await fetch(`${server.url}/nothing`);
  assert.equal(nothing.status, 404);
  assert.equal((await nothing.json()).error.code, "bad_request");
  const head = await fetch(`${server.url}/healthz`, { method: "HEAD" });
  assert.equal(head.status, 200);
});

test("cursors of visitors are for the demo only", async (t) => {
  const plain = await startTestServer(t);
  const client = await WireClient.open(plain.port);
  const [code, , error] = await client.request(CODE.publish, "cursors.page", [1, 2]);
  assert.deepEqual([code, error], [CODE.error, "forbidden"]);
});

test("namespaces have the settings of the configuration", async (t) => {
  const server = await startTestServer(t, {
    namespaces: { chat: { publish: "client" }, board: { state: true }, pointer: { ephemeral: true } },
  });
  const client = await WireClient.open(server.port);
  assert.equal((await client.request(CODE.publish, "chat.a", "hello"))[0], CODE.ok);
  assert.equal((await client.request(CODE.publish, "other.a", "hello"))[0], CODE.error);
  const result = await client.subscribe("pointer.a");
  assert.equal(result.offset, 0);
  await publish(server, "pointer.a", 1);
  assert.equal((await client.arrived("pointer.a", 1))[0]?.offset, 0);
});

test("stop answers, tells and closes; a second stop waits for the first; the port is free again", async (t) => {
  const server = await startTestServer(t, { port: await freePort() });
  const client = await WireClient.open(server.port);
  const first = server.stop(1_000);
  const second = server.stop(1_000);
  await client.find(([code]) => code === CODE.goaway, "goaway");
  assert.equal((await client.ws.closed).code, 1001);
  await Promise.all([first, second]);
  const again = await startTestServer(t, { port: server.port });
  assert.equal(again.port, server.port);
});

test("a port that is taken is refused with a text that helps, and leaves nothing running", async (t) => {
  const server = await startTestServer(t);
  await assert.rejects(startTestServer(t, { port: server.port }), /the port is taken/);
});

test("the system's bound on open files is read", () => {
  const limits = (value: string) =>
    `Limit                     Soft Limit           Hard Limit           Units     \nMax open files            ${value}                20000                files     \n`;
  assert.equal(parseOpenFilesMax(limits("1024")), 1_024);
  assert.equal(parseOpenFilesMax(limits("unlimited")), Number.POSITIVE_INFINITY);
  assert.equal(parseOpenFilesMax(""), Number.POSITIVE_INFINITY);
});
