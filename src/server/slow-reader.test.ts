import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_LIMITS } from "../core/limits.js";
import { CHUNK_BYTES, CODE } from "../protocol/frames.js";
import { eventually, type Rig, startRig } from "./gateway-rig.testkit.js";
import { WireClient } from "./wire-client.testkit.js";

const ROOM = "quotes.all";
/** One message is one WebSocket message, as large as a chunk gets. */
const DATA = "x".repeat(15_000);
/** The kernel's buffers take 4 MB and more before uWebSockets.js sees that a socket is slow; 30 MB fill any. */
const MOST = 2_000;
const NAMESPACES = { quotes: { history: { messages: 10_000, seconds: 3_600 } } };

/** Publishes one room's messages 1, 2, 3… and waits for the fast client, a few at a time. */
class Feed {
  readonly #rig: Rig;
  readonly #fast: WireClient;
  published = 0;

  constructor(rig: Rig, fast: WireClient) {
    this.#rig = rig;
    this.#fast = fast;
  }

  async publish(count: number): Promise<void> {
    const end = this.published + count;
    while (this.published < end) {
      this.published += 1;
      await this.#rig.publish(ROOM, [this.published, DATA]);
      if (this.published % 10 === 0) await this.#fast.arrived(ROOM, this.published);
    }
    await this.#fast.arrived(ROOM, end);
  }

  /** Publishes until so many sockets lag. */
  async publishUntilLagged(sockets: number): Promise<void> {
    const end = this.published + MOST;
    while (this.#rig.counters.lagged < sockets) {
      assert.ok(this.published < end, `${sockets} sockets should lag, ${this.#rig.counters.lagged} do`);
      await this.publish(10);
    }
  }
}

function numbers(client: WireClient): unknown[] {
  return client.messages(ROOM).map(({ data }) => Array.isArray(data) && data[0]);
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);

test("a slow reader is told lagged once it reads again, resumes, and gets everything once and in order", async (t) => {
  // Without sweeps, which would find that it has drained a second later: the socket itself must tell.
  const rig = await startRig(t, {
    namespaces: NAMESPACES,
    wrapEngine: (engine) => ({
      connect: (...args) => engine.connect(...args),
      tick: (nowMs) => engine.tick(nowMs),
      sweep: () => {},
    }),
  });
  const fast = await WireClient.open(rig.port);
  const slow = await WireClient.open(rig.port);
  await fast.subscribe(ROOM);
  await slow.subscribe(ROOM);
  const feed = new Feed(rig, fast);
  slow.ws.raw.pause();
  await feed.publishUntilLagged(1);
  assert.equal(rig.counters.dropped, 1);
  const published = feed.published;

  // A socket that lags has left its topics: what is published now costs it nothing and does not reach it.
  const waiting = rig.sessions.at(-1)?.bufferedBytes ?? Number.NaN;
  assert.ok(waiting > 0 && waiting <= DEFAULT_LIMITS.bufferBytes + CHUNK_BYTES, `${waiting} bytes wait`);
  await feed.publish(20);
  assert.ok((rig.sessions.at(-1)?.bufferedBytes ?? Number.NaN) <= waiting, "no more than before");
  slow.ws.raw.resume();
  await slow.find(([code]) => code === CODE.lagged, "lagged");
  const before = slow.messages(ROOM).length;
  assert.ok(before < published, `${before} of ${published} messages before lagged`);
  assert.deepEqual(numbers(slow), upTo(before));

  const result = await slow.subscribe(ROOM, { after: slow.position(ROOM) });
  assert.equal(result.recovered, true);
  await slow.find(([code, room]) => code === CODE.live && room === ROOM, "live");
  await feed.publish(20);
  await slow.arrived(ROOM, feed.published);
  for (const client of [slow, fast]) {
    assert.deepEqual(numbers(client), upTo(feed.published));
    assert.equal(client.gaps + client.duplicates, 0);
  }
  assert.equal(rig.counters.slowCloses, 0);
  assert.equal(rig.gatewayCounters.faults, 0);
});

test("a client that never reads again is closed after slowMs, and nobody else notices", async (t) => {
  const rig = await startRig(t, { namespaces: NAMESPACES, limits: { slowMs: 1_000 } });
  const fast = await WireClient.open(rig.port);
  const stuck = await Promise.all(Array.from({ length: 3 }, () => WireClient.open(rig.port)));
  await fast.subscribe(ROOM);
  for (const client of stuck) {
    await client.subscribe(ROOM);
    client.ws.raw.pause();
  }
  const feed = new Feed(rig, fast);
  await feed.publishUntilLagged(3);
  await eventually(() => rig.counters.slowCloses === 3, "three slow sockets closed");
  await eventually(() => rig.counters.connections === 1, "three connections gone");
  await feed.publish(50);
  assert.deepEqual(numbers(fast), upTo(feed.published));
  assert.equal(fast.gaps + fast.duplicates, 0);
  assert.equal(rig.gatewayCounters.faults, 0);
  for (const client of stuck) {
    client.ws.raw.resume();
    // What stood in its buffers may still come; a close code only where there was room for it.
    assert.ok([1006, 4408].includes((await client.ws.closed).code));
  }
});

test("a reader that stops and goes on again and again still gets everything once and in order", async (t) => {
  const rig = await startRig(t, { namespaces: NAMESPACES });
  const fast = await WireClient.open(rig.port);
  const slow = await WireClient.open(rig.port);
  await fast.subscribe(ROOM);
  await slow.subscribe(ROOM);
  const feed = new Feed(rig, fast);
  for (const round of [1, 2, 3]) {
    slow.ws.raw.pause();
    await feed.publishUntilLagged(round);
    slow.ws.raw.resume();
    await slow.find(([code]) => code === CODE.lagged, `lagged of round ${round}`);
    await slow.subscribe(ROOM, { after: slow.position(ROOM) });
    await slow.arrived(ROOM, feed.published);
  }
  assert.deepEqual(numbers(slow), upTo(feed.published));
  assert.equal(slow.gaps + slow.duplicates, 0);
});
