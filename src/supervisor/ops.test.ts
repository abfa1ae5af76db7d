import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { pino } from "pino";
import { WebSocket } from "ws";
import { Client, type Message } from "../client/index.js";
import { ApiKeys } from "../server/auth/api-keys.js";
import { type Admin, startAdmin } from "./admin.js";
import { Ops } from "./ops.js";
import { OpsTickets, TICKET_SECONDS } from "./ops-tickets.js";
import type { NodeStatus } from "./status.js";
import { NO_TELEMETRY } from "./telemetry.js";

const KEY = "0123456789abcdef";
const DEADLINE_MS = 20_000;

const STATUS: NodeStatus = {
  node: "n1",
  state: "running",
  ready: true,
  reasons: [],
  url: "http://127.0.0.1:9",
  pid: 1,
  startedAt: "2026-01-01T00:00:00.000Z",
  uptimeSeconds: 1,
  versions: { fanwire: "0", node: "0" },
  connections: 17,
  rooms: 0,
  stalls: 0,
  telemetry: NO_TELEMETRY,
  supervisor: { rssBytes: 0, cpuMs: 0 },
  limits: { connections: 100 },
  workers: [],
  hubs: [],
};

interface Options {
  readonly apiKeys?: () => ApiKeys;
  readonly asksTokens?: boolean;
  readonly status?: () => NodeStatus;
}

async function start(
  t: TestContext,
  { apiKeys = () => new ApiKeys([]), asksTokens = false, status = () => STATUS }: Options = {},
): Promise<Admin> {
  const log = pino({ level: "silent" });
  const ops = new Ops({
    source: { status, workerProcesses: [], askNodes: async () => ({ nodes: [] }) },
    node: "n1",
    log,
  });
  const admin = await startAdmin({
    host: "127.0.0.1",
    port: 0,
    apiKeys,
    asksTokens: () => asksTokens,
    node: { status, drain: async () => {} },
    ops,
  });
  t.after(() => admin.close());
  return admin;
}

async function ticketOf({ url }: Admin, headers: Record<string, string> = {}): Promise<string> {
  const response = await fetch(`${url}/v1/ops/tickets`, { method: "POST", headers });
  assert.equal(response.status, 200, await response.clone().text());
  return (await response.json()).ticket;
}

/** Status of a handshake; 101 where it is taken. */
async function handshake(
  t: TestContext,
  { url }: Admin,
  ticket: string,
  headers: Record<string, string> = {},
): Promise<number> {
  const { port } = new URL(url);
  const sent = request({
    port,
    host: "127.0.0.1",
    path: "/ws",
    headers: {
      connection: "Upgrade",
      upgrade: "websocket",
      "sec-websocket-version": "13",
      "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
      "sec-websocket-protocol": `fanwire.v1, token.${ticket}`,
      ...headers,
    },
  });
  t.after(() => sent.destroy());
  sent.end();
  return new Promise((resolve, reject) => {
    sent.on("error", reject);
    sent.on("response", (response) => resolve(response.statusCode ?? 0));
    sent.on("upgrade", (_response, socket) => {
      socket.destroy();
      resolve(101);
    });
  });
}

function clientOf(t: TestContext, admin: Admin, headers: Record<string, string> = {}): Client {
  const client = new Client(`${admin.url}/ws`, {
    WebSocket: WebSocket as unknown as NonNullable<ConstructorParameters<typeof Client>[1]>["WebSocket"],
    token: () => ticketOf(admin, headers),
  });
  t.after(() => client.disconnect());
  return client;
}

/** The first message that is so. */
function first(
  t: TestContext,
  client: Client,
  room: string,
  isSo: (message: Message) => boolean,
): Promise<Message> {
  return new Promise((resolve, reject) => {
    const limit = setTimeout(() => reject(new Error(`nothing such in ${room}`)), DEADLINE_MS);
    t.after(() => clearTimeout(limit));
    client.subscribe(room, room === "node.now" ? { state: true } : { last: 100 }).on("message", (message) => {
      if (!isSo(message)) return;
      clearTimeout(limit);
      resolve(message);
    });
  });
}

test("a page is told of the node once a second, over fanwire, and of what happens", async (t) => {
  let status = STATUS;
  const admin = await start(t, { status: () => status });
  const client = clientOf(t, admin);
  const is = (data: unknown, name: string, value: unknown): boolean =>
    typeof data === "object" && data !== null && (data as Record<string, unknown>)[name] === value;
  await first(t, client, "node.stats", ({ data }) => is(data, "connections", 17));
  await first(t, client, "node.now", ({ key, data }) => key === "node" && is(data, "ready", true));
  status = { ...STATUS, ready: false, reasons: ["hub 0 is being restarted"] };
  await first(t, client, "node.events", ({ data }) =>
    is(data, "text", "not ready: hub 0 is being restarted"),
  );
});

test("a page reads its rooms and does nothing else", async (t) => {
  const client = clientOf(t, await start(t));
  await assert.rejects(client.publish("node.stats", {}), { code: "forbidden" });
  await assert.rejects(client.history("chat.hall", {}), { code: "forbidden" });
});

test("a handshake needs a ticket that is good once, and no page of another origin", async (t) => {
  const admin = await start(t);
  const { host, port } = new URL(admin.url);
  assert.equal(await handshake(t, admin, ""), 401);
  assert.equal(await handshake(t, admin, "made-up"), 401);
  const ticket = await ticketOf(admin);
  assert.equal(await handshake(t, admin, ticket, { origin: `http://${host}` }), 101);
  assert.equal(await handshake(t, admin, ticket), 401, "it is spent");
  for (const origin of ["http://evil.example", `http://127.0.0.1:${Number(port) + 1}`, "null"])
    assert.equal(await handshake(t, admin, await ticketOf(admin), { origin }), 403, origin);
  assert.equal(await handshake(t, admin, await ticketOf(admin), { host: "evil.example" }), 403);
});

test("a ticket is for half a minute, and tickets are few", () => {
  const tickets = new OpsTickets();
  const old = tickets.issue(0, () => true);
  assert.equal(tickets.redeem(old, TICKET_SECONDS * 1_000), undefined);
  const early = tickets.issue(0, () => true);
  for (let more = 0; more < 1_000; more += 1) tickets.issue(1, () => true);
  assert.equal(tickets.redeem(early, 2), undefined, "later ones took its place");
});

test("a page of this port may post, one of another origin may not", async (t) => {
  const admin = await start(t);
  const { host, port } = new URL(admin.url);
  const post = async (origin: string, path = "/v1/ops/tickets"): Promise<number> =>
    (await fetch(`${admin.url}${path}`, { method: "POST", headers: { origin } })).status;
  assert.equal(await post(`http://${host}`), 200);
  assert.equal(await post(`http://${host}`, "/v1/drain"), 202);
  for (const origin of [
    `http://127.0.0.1:${Number(port) + 1}`,
    `http://localhost:${port}`,
    "http://x",
    "null",
  ])
    for (const path of ["/v1/ops/tickets", "/v1/drain"]) assert.equal(await post(origin, path), 403, origin);
});

test("where rooms need tokens, what tells of them needs a key with admin, also on this machine", async (t) => {
  let keys = new ApiKeys([]);
  const admin = await start(t, { apiKeys: () => keys, asksTokens: true });
  const ask = async (key?: string): Promise<readonly [number, string]> => {
    const headers: Record<string, string> = key === undefined ? {} : { authorization: `Bearer ${key}` };
    const response = await fetch(`${admin.url}/v1/ops/rooms/chat.hall`, { headers });
    return [response.status, (await response.json()).error?.message ?? ""];
  };
  const [status, why] = await ask();
  assert.equal(status, 403);
  assert.match(why, /needs an API key with admin/);
  keys = new ApiKeys([KEY]);
  assert.equal((await ask())[0], 401);
  assert.equal((await ask("wrong-key-wrong-key"))[0], 401);
  assert.deepEqual(await ask(KEY), [200, ""]);
  assert.equal((await fetch(`${admin.url}/v1/node`)).status, 200, "what tells of none is as before");
});

test("a connection ends when its key is taken away", async (t) => {
  let keys = new ApiKeys([KEY]);
  const admin = await start(t, { apiKeys: () => keys, asksTokens: true });
  const client = clientOf(t, admin, { authorization: `Bearer ${KEY}` });
  const closed = new Promise<void>((resolve, reject) => {
    const limit = setTimeout(() => reject(new Error("it is still open")), DEADLINE_MS);
    t.after(() => clearTimeout(limit));
    client.on("state", (state) => {
      if (state.kind === "open") keys = new ApiKeys(["fedcba9876543210"]);
      else if (state.kind === "waiting") resolve();
    });
  });
  await closed;
});

test("messages are asked of the node's own port, with the right of whoever asks", async (t) => {
  const seen: string[] = [];
  const worker = createServer(({ url, headers }, response) => {
    seen.push(`${url} ${headers.authorization ?? "nobody"}`);
    response.statusCode = headers.authorization === undefined ? 401 : 200;
    response.end('{"messages":[]}');
  }).listen(0, "127.0.0.1");
  t.after(() => worker.close());
  await once(worker, "listening");
  const { port } = worker.address() as AddressInfo;
  const { url } = await start(t, { status: () => ({ ...STATUS, url: `http://0.0.0.0:${port}` }) });
  const get = async (path: string, headers: Record<string, string> = {}): Promise<number> =>
    (await fetch(`${url}/v1/ops/rooms/${path}`, { headers })).status;
  assert.equal(await get("chat.hall/messages?last=5"), 401);
  assert.equal(await get("chat.hall/state", { authorization: "Bearer x" }), 200);
  assert.deepEqual(seen, [
    "/v1/rooms/chat.hall/messages?last=5 nobody",
    "/v1/rooms/chat.hall/state?limit=20 Bearer x",
  ]);
  assert.equal(await get("chat.hall/messages?last=101"), 400);
  assert.equal(await get("no%20room/messages"), 400);
  assert.equal(await get("..%2Fv1%2Fmessages/state"), 400);
  assert.equal(seen.length, 2, "what is no room's name goes nowhere");
  worker.close();
  worker.closeAllConnections();
  assert.equal(await get("chat.hall/messages"), 503);
});
