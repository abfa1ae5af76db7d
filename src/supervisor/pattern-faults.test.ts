import assert from "node:assert/strict";
import { test } from "node:test";
import { partitionOf } from "../broker/hub/partitioned.js";
import { parseRoom } from "../protocol/room-name.js";
import { parsePattern } from "../protocol/room-pattern.js";
import { Publisher } from "./audience.testkit.js";
import { kill, TestNode } from "./node.testkit.js";
import { isLive, PatternAudience } from "./pattern-audience.testkit.js";

const PATTERNS = ["news.>", "news.*.x", "news.a.*", "wire.*"].map(parsePattern);
/** Of each hub some. */
const NAMED = ["news.b.x", "news.b.y"].map(parseRoom);
const CHANGED = ["news.a.x", "news.a.y", "news.c.x", "news.c.y"].map(parseRoom);
const UNNAMED = ["news.a.z", "news.b.z", "wire.a", "wire.b"].map(parseRoom);
const HUBS = 2;
const PER_BATCH = 5;
const DEEP = { history: { messages: 100_000, seconds: 600 } };

test("kill -9 of a worker and of a hub under load: patterns and rooms that overlap bring everything once and in order, or tell", async (t) => {
  const node = await TestNode.start(t, {
    args: ["--workers", "2", "--hubs", String(HUBS)],
    env: { FANWIRE_NAMESPACES: JSON.stringify({ news: DEEP, wire: DEEP }) },
  });
  const audience = await PatternAudience.open(t, node.url, {
    steady: 8,
    changing: 4,
    patterns: PATTERNS,
    named: NAMED,
    changed: CHANGED,
    unnamed: UNNAMED,
  });
  const publisher = new Publisher(t, node.url, [...NAMED, ...CHANGED, ...UNNAMED], { perBatch: PER_BATCH });
  await publisher.more(60);
  assert.deepEqual(audience.faults, []);

  const [worker = 0] = await node.workerPids();
  kill(worker, "SIGKILL");
  await node.until("replaced", ({ ready, workers }) => ready && workers[0]?.pid !== worker);
  await audience.until("live again", isLive);
  await publisher.more(60);
  assert.deepEqual(audience.faults, []);
  for (const { cuts, patterns, rooms } of audience.steady) {
    for (const { resets, subscription } of patterns)
      assert.equal(resets.length, cuts, `${subscription.room} tells each lost connection, and nothing else`);
    for (const { resets } of rooms) assert.deepEqual(resets, [], "a room by its name resumes");
  }

  const [hub] = (await node.status()).hubs;
  const before = new Map(audience.all.map((listener) => [listener, listener.cuts]));
  // What it has stored and not answered is stored once more by the next one.
  audience.back = (room) => (partitionOf(room, HUBS) === 0 ? PER_BATCH : 0);
  for (const { followed } of audience.all) for (const { resets } of followed) resets.length = 0;
  kill(hub?.pid ?? 0, "SIGKILL");
  await node.until("replaced", ({ ready, hubs }) => ready && hubs[0]?.pid !== hub?.pid);
  await audience.until("told", ({ patterns }) => patterns.every(({ resets }) => resets.length > 0));
  await publisher.more(60);
  await audience.hasAll(new Map(publisher.last));
  audience.back = () => 0;
  await publisher.more(60);
  for (const listener of audience.all) assert.equal(listener.cuts, before.get(listener), "sockets stay open");
  for (const { rooms } of audience.steady)
    for (const { resets, subscription } of rooms) {
      const isOfHub = partitionOf(parseRoom(subscription.room), HUBS) === 0;
      assert.deepEqual(resets, isOfHub ? ["epoch"] : [], subscription.room);
    }

  await audience.rest();
  await publisher.more(PER_BATCH);
  await audience.hasAll(await publisher.stop());
  assert.deepEqual(audience.faults, []);
  assert.ok(audience.changes > 50, `rooms were taken by name ${audience.changes} times`);
  assert.ok(audience.steady.some(({ cuts }) => cuts > 0) || audience.changing.some(({ cuts }) => cuts > 0));
});
