import assert from "node:assert/strict";
import { once } from "node:events";
import { request } from "node:http";
import { createServer } from "node:net";
import { type TestContext, test } from "node:test";
import { ApiKeys, digestOf } from "../server/auth/api-keys.js";
import { type AdminNode, startAdmin } from "./admin.js";
import type { NodeStatus } from "./status.js";
import { NO_TELEMETRY } from "./telemetry.js";

const STATUS: NodeStatus = {
  node: "n1",
  state: "running",
  ready: true,
  reasons: [],
  url: "http://127.0.0.1:9001",
  pid: 1,
  startedAt: "2026-01-01T00:00:00.000Z",
  uptimeSeconds: 1,
  versions: { fanwire: "0", node: "0" },
  connections: 0,
  rooms: 0,
  stalls: 0,
  telemetry: NO_TELEMETRY,
  supervisor: { rssBytes: 0, cpuMs: 0 },
  limits: {},
  workers: [],
  hubs: [],
};

async function start(
  t: TestContext,
  { status = STATUS, apiKeys = [] as readonly string[] } = {},
): Promise<{ readonly url: string; readonly drains: () => number }> {
  let drains = 0;
  const node: AdminNode = {
    status: () => status,
    drain: async () => {
      drains += 1;
    },
  };
  const admin = await startAdmin({ host: "127.0.0.1", port: 0, apiKeys: () => new ApiKeys(apiKeys), node });
  t.after(() => admin.close());
  return { url: admin.url, drains: () => drains };
}

test("livez, readyz and node answer", async (t) => {
  const { url } = await start(t);
  assert.deepEqual(await (await fetch(`${url}/livez`)).json(), { live: true });
  const ready = await fetch(`${url}/readyz?verbose`);
  assert.deepEqual([ready.status, await ready.json()], [200, { ready: true, state: "running", reasons: [] }]);
  const node = await fetch(`${url}/v1/node`);
  assert.deepEqual([node.status, await node.json()], [200, STATUS]);
});

test("a node that is not ready says why with 503, and is alive", async (t) => {
  const status: NodeStatus = {
    ...STATUS,
    ready: false,
    state: "draining",
    reasons: ["the node is draining"],
  };
  const { url } = await start(t, { status });
  const ready = await fetch(`${url}/readyz`);
  assert.deepEqual(
    [ready.status, await ready.json()],
    [503, { ready: false, state: "draining", reasons: ["the node is draining"] }],
  );
  assert.equal((await fetch(`${url}/livez`)).status, 200);
});

test("a drain needs POST, a key where there is one, and no web page", async (t) => {
  const { url, drains } = await start(t, { apiKeys: ["0123456789abcdef"] });
  const drain = (method: string, headers: Record<string, string> = {}) =>
    fetch(`${url}/v1/drain`, { method, headers });
  const get = await drain("GET");
  assert.deepEqual([get.status, get.headers.get("allow")], [405, "POST"]);
  const keyless = await drain("POST");
  assert.deepEqual([keyless.status, (await keyless.json()).error.code], [401, "unauthenticated"]);
  assert.match(keyless.headers.get("www-authenticate") ?? "", /^Bearer/);
  const authorization = "Bearer 0123456789abcdef";
  const page = await drain("POST", { authorization, origin: "http://evil.example" });
  assert.deepEqual([page.status, (await page.json()).error.code], [403, "forbidden"]);
  assert.equal(drains(), 0);
  const done = await drain("POST", { authorization });
  assert.deepEqual([done.status, drains()], [202, 1]);
});

test("an unknown path names those that are known", async (t) => {
  const { url } = await start(t);
  const response = await fetch(`${url}/healthz`);
  assert.equal(response.status, 404);
  assert.match(
    (await response.json()).error.message,
    /\/livez, \/readyz, \/metrics, \/v1\/node, \/v1\/drain/,
  );
});

test("what throws while answering is a 500, and the port goes on", async (t) => {
  const node: AdminNode = {
    status: () => {
      throw new Error("a bug");
    },
    drain: async () => {},
  };
  const admin = await startAdmin({ host: "127.0.0.1", port: 0, apiKeys: () => new ApiKeys([]), node });
  t.after(() => admin.close());
  const broken = await fetch(`${admin.url}/v1/node`);
  assert.deepEqual([broken.status, (await broken.json()).error.code], [500, "internal"]);
  assert.equal((await fetch(`${admin.url}/livez`)).status, 200);
});

test("a taken admin port is told with its key", async (t) => {
  const holder = createServer().listen(0, "127.0.0.1");
  t.after(() => holder.close());
  await once(holder, "listening");
  const address = holder.address();
  assert.ok(typeof address === "object" && address !== null);
  const node: AdminNode = { status: () => STATUS, drain: async () => {} };
  await assert.rejects(
    startAdmin({ host: "127.0.0.1", port: address.port, apiKeys: () => new ApiKeys([]), node }),
    /admin port: cannot listen.*taken.*FANWIRE_ADMIN_PORT/,
  );
});

test("where other machines reach it, all but probes needs a key", async (t) => {
  const node: AdminNode = { status: () => STATUS, drain: async () => {} };
  const admin = await startAdmin({
    host: "0.0.0.0",
    port: 0,
    apiKeys: () => new ApiKeys(["0123456789abcdef"]),
    node,
  });
  t.after(() => admin.close());
  const url = admin.url.replace("0.0.0.0", "127.0.0.1");
  const status = async (path: string, headers: Record<string, string> = {}): Promise<number> =>
    (await fetch(`${url}${path}`, { headers })).status;
  for (const path of ["/livez", "/readyz"]) assert.equal(await status(path), 200, path);
  for (const path of ["/v1/node", "/metrics"]) {
    assert.equal(await status(path), 401, path);
    assert.equal(await status(path, { authorization: "Bearer 0123456789abcdeX" }), 401, path);
    assert.equal(await status(path, { authorization: "Bearer 0123456789abcdef" }), 200, path);
  }
});

test("a key without admin reads, and does not drain; keys that are rotated count at once", async (t) => {
  const key = "fedcba9876543210";
  const old = "0123456789abcdef";
  let keys = new ApiKeys([old, { name: "probe", sha256: digestOf(key), rooms: [], admin: false }]);
  const node: AdminNode = { status: () => STATUS, drain: async () => {} };
  const admin = await startAdmin({ host: "0.0.0.0", port: 0, apiKeys: () => keys, node });
  t.after(() => admin.close());
  const url = admin.url.replace("0.0.0.0", "127.0.0.1");
  const ask = async (method: string, path: string, bearer: string): Promise<number> =>
    (await fetch(`${url}${path}`, { method, headers: { authorization: `Bearer ${bearer}` } })).status;
  assert.equal(await ask("GET", "/metrics", key), 200);
  assert.equal(await ask("POST", "/v1/drain", key), 403);
  assert.equal(await ask("GET", "/metrics", digestOf(key)), 401);
  assert.equal(await ask("POST", "/v1/drain", old), 202);
  keys = new ApiKeys([key]);
  assert.equal(await ask("POST", "/v1/drain", old), 401);
  assert.equal(await ask("POST", "/v1/drain", key), 202);
});

test("on this machine only names of this machine are answered, so that no page of another name reads it", async (t) => {
  const { url } = await start(t);
  const { port } = new URL(url);
  const status = (host: string): Promise<number> =>
    new Promise((resolve, reject) => {
      const sent = request({ port, host: "127.0.0.1", path: "/v1/node", headers: { host } });
      sent.on("error", reject);
      sent.on("response", (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      });
      sent.end();
    });
  for (const host of ["localhost", `LOCALHOST:${port}`, "127.0.0.1:1", "[::1]:9002", "127.1.2.3"])
    assert.equal(await status(host), 200, host);
  for (const host of ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:9002"])
    assert.equal(await status(host), 403, host);
});
