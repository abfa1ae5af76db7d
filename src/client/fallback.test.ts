import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { WebSocket } from "ws";
import { startNginx } from "../deploy/proxies.testkit.js";
import { SECRET, tokenOf } from "../server/auth/tokens.testkit.js";
import { createConfig } from "../server/config.js";
import { eventually } from "../server/gateway-rig.testkit.js";
import { type RunningServer, startServer } from "../server/server.js";
import { Client, type ClientOptions, type Message, type StateMap, type Subscription } from "./index.js";
import { Tunnel, type Upgrades } from "./tunnel.testkit.js";

const DEADLINE_MS = 30_000;
/** No way back is looked for. */
const NEVER_MS = 3_600_000;

const valuesOf = (board: StateMap<number>) => ["k0", "k1", "k2"].map((key) => board.get(key)?.data);
const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);

interface World {
  readonly server: RunningServer;
  readonly tunnel: Tunnel;
  connect(options?: ClientOptions, url?: string): Client;
  /** Publishes over HTTP, past the tunnel. */
  publish(room: string, data: unknown, key?: string): Promise<void>;
}

/** Who may do what; default: everybody everything. */
interface Doors {
  readonly secret?: string;
  readonly apiKeys?: readonly string[];
  /** Rights in news of whoever has no token, where tokens are asked for. */
  readonly anonymous?: string;
}

async function world(
  t: TestContext,
  upgrades: Upgrades,
  { secret, apiKeys = [], anonymous = "" }: Doors = {},
): Promise<World> {
  const server = await startServer(
    createConfig({
      port: 0,
      log: { level: "fatal" },
      apiKeys,
      ...(secret !== undefined && { auth: { secret } }),
      limits: { handshakeLagMs: 60_000 },
      namespaces: {
        news: { publish: "client", anonymous },
        board: { publish: "client", state: true },
        lobby: { presence: "members" },
      },
    }),
  );
  t.after(() => server.stop(500));
  const tunnel = await Tunnel.start(t, server.port, upgrades);
  const connect = (options: ClientOptions = {}, url = `ws://127.0.0.1:${tunnel.port}/ws`): Client => {
    const timing = { backoffBaseMs: 10, backoffCapMs: 50, webSocketRetryMs: NEVER_MS };
    const client = new Client(url, { WebSocket: WebSocket as never, ...timing, ...options });
    t.after(() => client.close());
    return client;
  };
  const publish = async (room: string, data: unknown, key?: string): Promise<void> => {
    const headers = { "content-type": "application/json", ...(key !== undefined && { "fanwire-key": key }) };
    const url = `http://127.0.0.1:${server.port}/v1/rooms/${room}/messages`;
    const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(data) });
    assert.equal(response.status, 200, await response.text());
  };
  return { server, tunnel, connect, publish };
}

const transportOf = ({ state }: Client): string => (state.kind === "open" ? state.transport : state.kind);

const until = (holds: () => boolean, what: string) => eventually(holds, what, DEADLINE_MS);

/** Every message of a room by its number, checked as it comes. */
class Book {
  readonly numbers: unknown[] = [];
  readonly resets: string[] = [];
  readonly #subscription: Subscription;

  constructor(client: Client, room: string) {
    this.#subscription = client.subscribe(room, {
      onMessage: ({ data }: Message) => this.numbers.push(data),
    });
    this.#subscription.on("reset", ({ reason }) => this.resets.push(reason));
  }

  async live(): Promise<void> {
    await until(() => this.#subscription.state.kind === "live", `live, not ${this.#subscription.state.kind}`);
  }

  async holds(count: number): Promise<void> {
    await until(() => this.numbers.length >= count, `${count} messages, not ${this.numbers.length}`);
    assert.deepEqual(this.numbers, upTo(count));
    assert.deepEqual(this.resets, []);
  }
}

for (const upgrades of ["refuse", "cut"] as const) {
  test(`a network that ${upgrades}s WebSockets: events by itself, and back, with nothing missed or doubled`, async (t) => {
    const { tunnel, connect, publish } = await world(t, upgrades);
    const client = connect({ webSocketRetryMs: 200 });
    const books = ["news.a", "news.b"].map((room) => new Book(client, room));
    await until(() => transportOf(client) === "events", "events");
    let sent = 0;
    const more = async (count: number): Promise<void> => {
      for (const until = sent + count; sent < until; ) {
        sent += 1;
        await Promise.all(["news.a", "news.b"].map((room) => publish(room, sent)));
      }
    };
    const hold = () => Promise.all(books.map((book) => book.holds(sent)));
    await Promise.all(books.map((book) => book.live()));
    await more(50);
    tunnel.cut();
    await more(50);
    await hold();
    tunnel.upgrades = "pass";
    const going = more(150);
    // There is always one under way when the WebSocket takes over.
    const own: number[] = [];
    const publishing = (async () => {
      while (transportOf(client) !== "websocket" || own.length % 20 !== 0)
        own.push((await client.publish("news.own", own.length + 1)).offset);
    })();
    await until(() => transportOf(client) === "websocket", "a WebSocket");
    await Promise.all([going, publishing]);
    assert.deepEqual(own, upTo(own.length));
    const stored = await client.history("news.own");
    assert.deepEqual(
      stored.messages.map(({ data }) => data),
      own,
    );
    await hold();
    tunnel.upgrades = upgrades;
    tunnel.cut();
    await more(50);
    await until(() => transportOf(client) === "events", "events again");
    await more(20);
    await hold();
  });
}

test("a network in which WebSockets hang: events after the first that does", async (t) => {
  const { connect, publish, tunnel } = await world(t, "hang");
  const client = connect({ timeoutMs: 1_000 });
  const book = new Book(client, "news.a");
  await book.live();
  // The one that hung, and one more beside the events that came through.
  assert.deepEqual([transportOf(client), tunnel.asked], ["events", 2]);
  await publish("news.a", 1);
  await book.holds(1);
});

test("a server that was away is come back to by WebSocket", async (t) => {
  const { connect, tunnel } = await world(t, "refuse");
  const client = connect();
  // Events are tried now, and by then WebSockets come through again.
  await until(() => tunnel.asked === 2, "two refusals");
  tunnel.upgrades = "pass";
  await until(() => client.state.kind === "open", "open");
  assert.equal(transportOf(client), "websocket");
});

test("over events: publishes in order with their positions, state at a pace, history, presence, a ping", async (t) => {
  const { connect, publish } = await world(t, "refuse");
  for (const number of upTo(6)) await publish("board.a", number, `k${number % 3}`);
  const client = connect();
  const published = await Promise.all(upTo(300).map((number) => client.publish("news.a", { number })));
  assert.deepEqual(
    published.map(({ offset }) => offset),
    upTo(300),
  );
  assert.equal(transportOf(client), "events");
  const bytes = await client.publish("news.b", Uint8Array.of(0, 255, 1));
  const page = await client.history("news.b");
  assert.deepEqual([page.messages[0]?.data, page.position], [Uint8Array.of(0, 255, 1), bytes]);
  const rest = await client.history<{ number: number }>("news.a", { after: published[297], limit: 1 });
  assert.deepEqual([rest.messages[0]?.data, rest.more], [{ number: 299 }, true]);
  await assert.rejects(client.publish("news.a", "x".repeat(15_900)), { code: "too_large" });
  const { serverTimeMs } = await client.ping();
  assert.ok(Math.abs(serverTimeMs - Date.now()) < 60_000);

  const board = client.stateMap<number>("board.a", { rate: 4 });
  await until(() => board.size === 3, "the state");
  assert.deepEqual(valuesOf(board), [6, 4, 5]);
  const told: string[] = [];
  const lobby = client.subscribe("lobby.a", { members: true, info: { name: "ann" } });
  client.subscribe("news.c", { echo: false }).on("error", ({ code }) => told.push(code));
  await until(() => lobby.presence?.count === 1, "to see itself");
  await until(() => told.length === 1, "to be told what cannot be");
  assert.deepEqual(told, ["unavailable"]);
  assert.equal((await client.presence("lobby.a")).count, 1);
  // Other rooms are another stream: those that stay miss nothing, and are told nothing.
  const resets: unknown[] = [];
  board.subscription.on("reset", (reset) => resets.push(reset));
  lobby.unsubscribe();
  board.subscription.setRate("all");
  for (const number of [7, 8, 9]) {
    await publish("board.a", number, `k${number % 3}`);
    client.subscribe(`news.more.${number}`);
  }
  await until(() => board.get("k0")?.data === 9, "what came meanwhile");
  assert.deepEqual(valuesOf(board), [9, 7, 8]);
  assert.deepEqual(resets, []);
});

test("over events: a pattern, live, and told of what may be missing where another stream takes over", async (t) => {
  const { connect, publish } = await world(t, "refuse");
  const client = connect();
  const got: string[] = [];
  const pattern = client.subscribe("news.*.x", {
    onMessage: ({ room, data }) => got.push(`${room} ${data}`),
  });
  pattern.on("reset", ({ reason }) => got.push(`reset ${reason}`));
  await until(() => pattern.state.kind === "live", "the pattern to be live");
  assert.equal(transportOf(client), "events");
  await publish("news.a.x", 1);
  await publish("news.a.y", 2);
  await publish("news.b.x", 3);
  await until(() => got.length >= 2, "both");
  // Another room, another stream: what has a position goes on, and a pattern has none.
  const book = new Book(client, "news.c");
  await book.live();
  await until(() => pattern.state.kind === "live", "the pattern to be live again");
  await publish("news.c.x", 4);
  await publish("news.c", 1);
  await book.holds(1);
  await until(() => got.includes("news.c.x 4"), "what came later");
  assert.deepEqual(got, ["news.a.x 1", "news.b.x 3", "reset expired", "news.c.x 4"]);
});

test("over events: a publish whose answer is lost is stored once", async (t) => {
  const { connect, tunnel } = await world(t, "refuse");
  const client = connect();
  await until(() => transportOf(client) === "events", "events");
  const offsets: number[] = [];
  for (const number of upTo(5)) {
    tunnel.lost = number % 2;
    offsets.push((await client.publish("news.a", number)).offset);
  }
  assert.deepEqual(offsets, upTo(5));
  assert.deepEqual(
    (await client.history("news.a")).messages.map(({ data }) => data),
    upTo(5),
  );
});

test("over events: a token in force is replaced, and one that is refused changes nothing", async (t) => {
  const { connect } = await world(t, "cut", { secret: SECRET });
  const client = connect({ token: await tokenOf({ rooms: [["news.>", "sp"]] }) });
  const book = new Book(client, "news.a");
  await book.live();
  assert.equal(transportOf(client), "events");
  await client.authenticate(await tokenOf({ rooms: [["news.>", "sph"]] }));
  await book.live();
  assert.equal((await client.publish("news.a", 1)).offset, 1);
  assert.equal((await client.history("news.a")).messages.length, 1);
  await assert.rejects(client.authenticate("nonsense"), { code: "unauthenticated" });
  await client.publish("news.a", 2);
  await book.holds(2);
  assert.equal(transportOf(client), "events");
  const refused = connect({ token: "nonsense" });
  await until(() => refused.state.kind === "closed", "the end");
  assert.equal(refused.state.kind === "closed" && refused.state.code, 4401);
});

test("over events: where writing needs a key, a publish is refused without one, unless everybody has the right to it", async (t) => {
  const apiKeys = ["0123456789abcdef"];
  const closed = await world(t, "refuse", { apiKeys });
  const client = closed.connect();
  const book = new Book(client, "news.a");
  await book.live();
  assert.equal(transportOf(client), "events");
  await assert.rejects(client.publish("news.a", 1), { code: "unauthenticated" });
  // It is the publish alone that is refused; by WebSocket the same is taken.
  assert.equal(client.state.kind, "open");
  closed.tunnel.upgrades = "pass";
  assert.equal((await closed.connect().publish("news.a", 1)).offset, 1);
  await book.holds(1);

  const open = await world(t, "refuse", { apiKeys, secret: SECRET, anonymous: "sp" });
  const other = open.connect();
  const same = new Book(other, "news.a");
  await same.live();
  assert.equal(transportOf(other), "events");
  assert.equal((await other.publish("news.a", 1)).offset, 1);
  await same.holds(1);
});

test("an nginx that knows nothing of WebSocket", async (t) => {
  const { connect, publish, server } = await world(t, "pass");
  const conf = `worker_rlimit_nofile 250000;
    events { worker_connections 100000; }
    http { access_log off; server { listen 80; location / { proxy_http_version 1.1; proxy_pass http://upstream.test; } } }`;
  const url = await startNginx(t, conf, { "upstream.test": server.port });
  const client = connect({}, `${url}/ws`);
  const book = new Book(client, "news.a");
  await book.live();
  assert.equal(transportOf(client), "events");
  for (const number of upTo(20)) await publish("news.a", number);
  assert.equal((await client.publish("news.a", 21)).offset, 21);
  await book.holds(21);
});
