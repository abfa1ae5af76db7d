import assert from "node:assert/strict";
import { type IncomingMessage, request } from "node:http";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { nowSeconds, SECRET, tokenOf } from "../auth/tokens.testkit.js";
import { createConfig } from "../config.js";
import { eventually, type Rig, type RigOptions, startRig } from "../gateway-rig.testkit.js";
import { startServer } from "../server.js";

const NAMESPACES = {
  board: { state: true, history: { messages: 5_000, seconds: 3_600 } },
  news: { history: { messages: 5_000, seconds: 3_600 } },
  cursors: { ephemeral: true },
  hall: { presence: "count" },
} as const;
const DEADLINE_MS = 20_000;

interface Event {
  readonly event: string;
  readonly id: string | undefined;
  readonly data: {
    readonly room?: string;
    readonly offset?: number;
    readonly data?: unknown;
    readonly [name: string]: unknown;
  };
}

/** A reader of a stream, made of the specification's page: fields, empty lines, comments. */
class Reader {
  readonly events: Event[] = [];
  comments = 0;
  retryMs: number | undefined;
  lastId = "";
  isOver = false;
  readonly response: IncomingMessage;
  #text = "";
  #fields: string[] = [];

  private constructor(response: IncomingMessage) {
    this.response = response;
    response.setEncoding("utf8");
    response.on("data", (text: string) => this.#take(text));
    for (const end of ["end", "error", "close"])
      response.on(end, () => {
        this.isOver = true;
      });
  }

  static async open(t: TestContext, port: number, query: string, lastEventId?: string): Promise<Reader> {
    const response = await ask(t, port, query, lastEventId);
    assert.equal(response.statusCode, 200);
    assert.match(response.headers["content-type"] ?? "", /^text\/event-stream/);
    return new Reader(response);
  }

  get messages(): readonly Event["data"][] {
    return this.events.filter(({ event }) => event === "message").map(({ data }) => data);
  }

  async until(isSo: () => boolean, what: string, ms = DEADLINE_MS): Promise<void> {
    await eventually(isSo, `${what} of ${JSON.stringify(this.events.slice(-3))}`, ms);
  }

  close(): void {
    this.response.destroy();
  }

  #take(text: string): void {
    const lines = (this.#text + text).split("\n");
    this.#text = lines.pop() ?? "";
    for (const line of lines) {
      if (line === "") this.#dispatch();
      else if (line.startsWith(":")) this.comments += 1;
      else this.#fields.push(line);
    }
  }

  #dispatch(): void {
    const fields = new Map(
      this.#fields.map((line) => [line.slice(0, line.indexOf(": ")), line.slice(line.indexOf(": ") + 2)]),
    );
    this.#fields = [];
    if (fields.has("retry")) this.retryMs = Number(fields.get("retry"));
    const id = fields.get("id");
    if (id !== undefined) this.lastId = id;
    const data = fields.get("data");
    if (data !== undefined)
      this.events.push({ event: fields.get("event") ?? "message", id, data: JSON.parse(data) });
  }
}

function ask(
  t: TestContext,
  port: number,
  query: string,
  lastEventId?: string,
  method = "GET",
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const headers = lastEventId === undefined ? {} : { "last-event-id": lastEventId };
    const asked = request({
      host: "127.0.0.1",
      port,
      path: `/v1/events${query}`,
      method,
      headers,
      agent: false,
    });
    t.after(() => asked.destroy());
    asked.once("response", resolve);
    asked.once("error", reject);
    asked.end();
  });
}

async function started(t: TestContext, options: RigOptions = {}): Promise<Rig> {
  return startRig(t, { namespaces: NAMESPACES, ...options });
}

const numbers = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, index) => from + index);

test("messages of several rooms, and on from the last id with none missing and none twice", async (t) => {
  const rig = await started(t);
  for (const number of numbers(1, 5)) await rig.publish("board.a", number, `k${number % 2}`);
  const query = "?room=board.a&room=chat.b&room=cursors.c&last=2";
  const partly = await Reader.open(t, rig.port, query);
  const isTold = () =>
    partly.events.some(({ event, data }) => event === "problem" && data.room === "cursors.c");
  await partly.until(isTold, "to be told that an ephemeral room keeps nothing");
  partly.close();

  const first = await Reader.open(t, rig.port, "?room=board.a&room=chat.b&last=2");
  await first.until(() => first.events.filter(({ event }) => event === "live").length === 2, "both live");
  assert.deepEqual(
    first.messages.map(({ room, data, key }) => [room, data, key]),
    [
      ["board.a", 4, "k0"],
      ["board.a", 5, "k1"],
    ],
  );
  await rig.publish("chat.b", { text: "grüß\nGott\u2028" });
  await rig.publish("board.a", 6);
  await first.until(() => first.messages.length === 4, "what is live");
  assert.deepEqual(
    first.messages.slice(2).map(({ room, data }) => [room, data]),
    [
      ["chat.b", { text: "grüß\nGott\u2028" }],
      ["board.a", 6],
    ],
  );
  const ids = first.events.filter(({ event }) => event === "message").map(({ id }) => id);
  assert.equal(new Set(ids).size, 4, "each message has a position of its own");
  first.close();
  await eventually(() => rig.counters.connections === 0, "the session to end with its stream");

  for (const number of numbers(7, 40)) await rig.publish("board.a", number);
  await rig.publish("chat.b", "meanwhile");
  const second = await Reader.open(t, rig.port, "?room=board.a&room=chat.b&last=2", first.lastId);
  await second.until(() => second.messages.length === 35, "what was missed");
  assert.deepEqual(
    second.messages.filter(({ room }) => room === "board.a").map(({ data }) => data),
    numbers(7, 40),
  );
  assert.deepEqual(
    second.messages.filter(({ room }) => room === "chat.b").map(({ data }) => data),
    ["meanwhile"],
  );
  const taken = second.events.filter(({ event }) => event === "subscribed");
  assert.deepEqual(
    taken.map(({ data }) => data.recovered),
    [true, true],
  );

  const cursors = await Reader.open(t, rig.port, "?room=cursors.c");
  await cursors.until(() => cursors.events.some(({ event }) => event === "live"), "live");
  await rig.publish("cursors.c", [1, 2]);
  await cursors.until(() => cursors.messages.length === 1, "a cursor");
  assert.deepEqual([cursors.messages[0]?.data, cursors.lastId], [[1, 2], ""]);
  assert.equal(rig.gatewayCounters.faults, 0);
});

test("the state first, at a pace; after a loss the state again", async (t) => {
  const rig = await started(t);
  for (const number of numbers(1, 9)) await rig.publish("board.a", number, `k${number % 3}`);
  const reader = await Reader.open(t, rig.port, "?room=board.a&state=true&rate=10");
  await reader.until(() => reader.events.at(-1)?.event === "live", "live");
  assert.deepEqual(
    reader.messages.map(({ data }) => data),
    [7, 8, 9],
  );
  for (const number of numbers(10, 300)) await rig.publish("board.a", number, `k${number % 3}`);
  await reader.until(() => reader.messages.at(-1)?.data === 300, "the last");
  assert.ok(reader.messages.length < 100, `${reader.messages.length} messages`);

  const stale = "another%20epoch:7";
  const resumed = await Reader.open(t, rig.port, "?room=board.a&state=true", stale);
  await resumed.until(() => resumed.events.at(-1)?.event === "live", "live");
  await resumed.until(() => resumed.messages.length === 3, "the state");
  assert.deepEqual(
    resumed.messages.map(({ data }) => data),
    [298, 299, 300],
  );
  const [lost] = resumed.events.filter(({ event }) => event === "subscribed");
  assert.equal(lost?.data.recovered, false);
});

test("rooms of one stream, each in its own way; and who is there", async (t) => {
  const rig = await started(t);
  for (const number of numbers(1, 9)) await rig.publish("board.a", number, `k${number % 3}`);
  for (const number of numbers(1, 4)) await rig.publish("news.b", number);
  const subscribe = [
    ["board.a", { state: true, rate: 10 }],
    ["news.b", { last: 1 }],
    ["hall.c", { members: true }],
  ];
  const query = `?subscribe=${encodeURIComponent(JSON.stringify(subscribe))}`;
  const reader = await Reader.open(t, rig.port, query);
  const dataOf = (room: string) => reader.messages.filter((one) => one.room === room).map(({ data }) => data);
  await reader.until(() => reader.messages.length === 4, "the state of one, the last of the other");
  assert.deepEqual([dataOf("board.a"), dataOf("news.b")], [[7, 8, 9], [4]]);
  const rates = reader.events
    .filter(({ event }) => event === "subscribed")
    .map(({ data }) => [data.room, data.rate]);
  assert.deepEqual(Object.fromEntries(rates), { "board.a": 10, "news.b": undefined, "hall.c": undefined });

  const counts = (one: Reader) =>
    one.events.filter(({ event }) => event === "members").map(({ data }) => data.count);
  await reader.until(() => counts(reader).at(-1) === 1, "to see itself");
  const other = await Reader.open(t, rig.port, "?room=hall.c&members=true");
  await other.until(() => counts(other).at(-1) === 2, "both");
  await reader.until(() => counts(reader).at(-1) === 2, "both");
  const seen = reader.events.find(({ event }) => event === "members")?.data;
  assert.deepEqual(Object.keys(seen ?? {}), ["room", "count", "joined", "left", "list"]);
  other.close();
  await reader.until(() => counts(reader).at(-1) === 1, "the other one to go");
  // In their own ways again: the one from where it was, the state where it cannot be.
  reader.close();
  await rig.publish("news.b", 5);
  const again = await Reader.open(t, rig.port, query, reader.lastId.replace(/^[^,]*/, "other:1"));
  await again.until(() => again.messages.length === 4, "what was missed, and the state");
  assert.deepEqual(again.messages.map(({ room, data }) => [room, data]).sort(), [
    ["board.a", 7],
    ["board.a", 8],
    ["board.a", 9],
    ["news.b", 5],
  ]);
  assert.equal(rig.gatewayCounters.faults, 0);
});

test("what cannot be is refused before the stream begins, and says why", async (t) => {
  const rig = await started(t);
  const rooms = (count: number): string =>
    numbers(1, count)
      .map((number) => `room=a.${number}`)
      .join("&");
  const bad: readonly (readonly [string, number, RegExp, (string | undefined)?, string?])[] = [
    ["", 400, /name 1 to 100 rooms/],
    [`?${rooms(101)}`, 400, /name 1 to 100 rooms/],
    ["?room=a&room=a", 400, /each once/],
    ["?room=no%20room", 400, /room_invalid/],
    ["?room=chat.*", 400, /bad_request.*pattern.*over WebSocket/],
    ["?room=a&colour=red", 400, /\\"colour\\" is unknown; allowed are room/],
    ["?room=a&last=-1", 400, /last is/],
    ["?room=a&last=1000000", 400, /last/],
    ["?room=a&last=1&state=true", 400, /at most one/],
    ["?room=board.a&state=yes", 400, /state is/],
    ["?room=a&state=true", 400, /state/],
    ["?room=a&rate=fast", 400, /rate is/],
    ["?room=a&rate=7.3", 400, /rate/],
    ["?room=a", 400, /positions of 2 rooms, the request names 1/, "e:1,f:2"],
    ["?room=a", 400, /a position is EPOCH:OFFSET/, "nonsense"],
    ["?room=a", 400, /none of ours/, "%E0%A4%A:1"],
    ["?room=a&members=yes", 400, /members is/],
    ["?room=a&members=true", 400, /presence/],
    ["?subscribe=[[%22a%22,{%22rate%22:7.3}]]", 400, /rate/],
    ["?room=a", 405, /GET/, undefined, "PUT"],
  ];
  for (const [query, status, pattern, lastEventId, method] of bad) {
    const response = await ask(t, rig.port, query, lastEventId, method);
    const text = (await response.setEncoding("utf8").toArray()).join("");
    assert.equal(response.statusCode, status, `${query}: ${text}`);
    assert.match(text, pattern, query);
  }
  assert.equal(rig.counters.connections, 0);
  assert.equal(rig.gatewayCounters.faults, 0);
});

test("who does not read has a bounded buffer, and gets everything when it reads again", async (t) => {
  const limits = { bufferBytes: 262_144, softWatermarkBytes: 131_072, slowMs: 120_000 };
  const rig = await started(t, { limits });
  const slow = await Reader.open(t, rig.port, "?room=news.a");
  const other = await Reader.open(t, rig.port, "?room=news.a");
  for (const reader of [slow, other])
    await reader.until(() => reader.events.at(-1)?.event === "live", "live");
  slow.response.pause();
  const count = 3_000;
  const filler = "x".repeat(14_000);
  for (const number of numbers(1, count)) {
    await rig.publish("news.a", [number, filler]);
    if (number % 100 === 0)
      await other.until(() => other.messages.length === number, "the other one to go on");
  }
  const waiting = rig.sessions.map(({ bufferedBytes }) => bufferedBytes);
  assert.ok(Math.max(...waiting) <= limits.bufferBytes + 20_000, `${waiting} bytes wait`);
  assert.ok(rig.counters.dropped > 0, "it was dropped from its room");
  slow.response.resume();
  await slow.until(() => slow.messages.length === count, "everything", 60_000);
  assert.deepEqual(
    slow.messages.map(({ data }) => (data as readonly unknown[])[0]),
    numbers(1, count),
  );
  assert.equal(rig.gatewayCounters.faults, 0);
});

test("a quiet stream stays open, and a draining server says when to come back", {
  timeout: 60_000,
}, async (t) => {
  const rig = await started(t);
  const reader = await Reader.open(t, rig.port, "?room=board.a");
  // uWebSockets.js cuts what is quiet for 10 s, give or take its steps of 4.
  await sleep(15_000);
  assert.ok(!reader.isOver && reader.comments >= 1, `${reader.comments} comments`);
  await rig.publish("board.a", "still here");
  await reader.until(() => reader.messages.length === 1, "a message");
  await rig.gateway.drain(100);
  await reader.until(() => reader.isOver, "the stream to end");
  assert.ok(reader.retryMs !== undefined && reader.retryMs >= 0);
  assert.equal(reader.events.at(-1)?.event, "end");
  assert.equal(rig.counters.connections, 0);
});

test("rights hold as on a socket, and a stream ends with its token", { timeout: 60_000 }, async (t) => {
  const config = createConfig({ port: 0, log: { level: "fatal" }, auth: { secret: SECRET } });
  const server = await startServer(config);
  t.after(() => server.stop(500));
  const status = async (query: string): Promise<number | undefined> => {
    const response = await ask(t, server.port, query);
    response.resume();
    return response.statusCode;
  };
  const token = await tokenOf();
  assert.equal(await status("?room=chat.a"), 401);
  assert.equal(await status(`?room=chat.a&token=${token}x`), 401);
  assert.equal(await status(`?room=board.a&token=${token}`), 403);
  const short = await tokenOf({ exp: nowSeconds() + 4 });
  const stream = await Reader.open(t, server.port, `?room=chat.a&token=${short}`);
  await stream.until(() => stream.isOver, "the end of the stream");
  const told = stream.events.filter(({ event }) => event === "problem" || event === "end");
  assert.deepEqual(
    told.map(({ event, data }) => [event, data.code]),
    [
      ["problem", "unauthenticated"],
      ["end", 4401],
    ],
  );
});

test("subscriptions of a closed stream are gone, and nobody else's", async (t) => {
  const rig = await started(t);
  const readers = await Promise.all(
    numbers(1, 20).map(() => Reader.open(t, rig.port, "?room=board.a&room=chat.b")),
  );
  for (const reader of readers) await reader.until(() => reader.events.length >= 4, "live");
  for (const reader of readers.slice(0, 19)) reader.close();
  await eventually(() => rig.counters.connections === 1, "the others to be gone");
  await rig.publish("board.a", "for the last");
  const last = readers[19] ?? assert.fail();
  await last.until(() => last.messages.length === 1, "the message");
  last.close();
  await eventually(() => rig.counters.connections === 0, "all to be gone");
  await rig.publish("board.a", "for nobody");
  assert.equal(rig.gatewayCounters.faults, 0);
});
