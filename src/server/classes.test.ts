import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { RATE_CHANGES_MIN } from "../core/rate-changes.js";
import { CODE } from "../protocol/frames.js";
import { eventually, startRig } from "./gateway-rig.testkit.js";
import { WireClient } from "./wire-client.testkit.js";

const NAMESPACES = {
  board: { state: true, history: { messages: 10_000, seconds: 3_600 } },
  cursors: { ephemeral: true, key: "sender", rates: ["all", 20] },
} as const;

/** Below the window of the slowest class, so that some windows see many messages and every one is met. */
const PAUSE_MS = 3;
/** One a millisecond, for more than one second. */
const FLIPS_A_STEP = 10;
const FLIP_STEPS = 130;

test("over real sockets: one gets everything, one the latest at its pace, and both end with the same", async (t) => {
  const rig = await startRig(t, { namespaces: NAMESPACES });
  const [all, paced] = [await WireClient.open(rig.port), await WireClient.open(rig.port)];
  await all.subscribe("board.a");
  const result = await paced.subscribe("board.a", { rate: 10, state: true });
  assert.equal(result.rate, 10);
  const count = 300;
  for (let number = 1; number <= count; number += 1) {
    await rig.publish("board.a", number, `k${number % 5}`);
    await sleep(PAUSE_MS);
  }
  const everything = await all.arrived("board.a", count);
  await eventually(
    () => paced.messages("board.a").at(-1)?.data === count,
    "the last message, conflated",
    30_000,
  );
  const some = paced.messages("board.a");
  // 300 messages of 5 keys in a second or more: at 10 a second that is 50 and one window more, less on a busy machine.
  assert.ok(some.length < count && rig.counters.conflated === count - some.length, `${some.length} messages`);
  assert.deepEqual(latest(some), latest(everything));
  for (const client of [all, paced]) assert.deepEqual([client.gaps, client.duplicates], [0, 0]);
  assert.equal(rig.counters.classes, 1);
  paced.destroy();
  await eventually(() => rig.counters.classes === 0, "the class that nobody is in to end");
});

test("a client that reads too slowly is moved to the slowest class before it loses anything, and told", async (t) => {
  const rig = await startRig(t, { namespaces: NAMESPACES });
  const [fast, slow] = [await WireClient.open(rig.port), await WireClient.open(rig.port)];
  await fast.subscribe("board.a");
  await slow.subscribe("board.a");
  const session = rig.sessions.at(-1) ?? assert.fail("no session");
  slow.ws.raw.pause();
  let published = 0;
  // The kernel takes some megabytes first. Between the marks there is room for one message more, whoever looks once a second is late.
  while (rig.counters.slowedDown === 0) {
    assert.ok(published < 5_000, "nothing waits for a client that does not read");
    published += 1;
    await rig.publish("board.a", [published, "x".repeat(15_000)], `k${published % 7}`);
    await fast.arrived("board.a", published);
  }
  const waiting = session.bufferedBytes;
  for (let more = 0; more < 100; more += 1) {
    published += 1;
    await rig.publish("board.a", [published, "x".repeat(15_000)], `k${published % 7}`);
  }
  await fast.arrived("board.a", published);
  assert.ok(session.bufferedBytes <= waiting, "from then on nothing more waits for it");
  slow.ws.raw.resume();
  const told = await slow.find(([code]) => code === CODE.rate, "to be told of the move", 30_000);
  assert.deepEqual(told, [CODE.rate, "board.a", 1]);
  const isLast = () =>
    (slow.messages("board.a").at(-1)?.data as readonly unknown[] | undefined)?.[0] === published;
  await eventually(isLast, "the last message", 30_000);
  assert.deepEqual([rig.counters.dropped, rig.counters.lagged, slow.gaps], [0, 0, 0]);
  assert.equal(rig.gatewayCounters.faults, 0);
});

test("a cursor is its session's, whatever key is given, and goes with the connection", async (t) => {
  const rig = await startRig(t, { namespaces: NAMESPACES });
  const [mover, watcher] = [await WireClient.open(rig.port), await WireClient.open(rig.port)];
  await watcher.subscribe("cursors.a", { rate: 20 });
  const [code] = await mover.request(CODE.publish, "cursors.a", 1, "somebody else's");
  assert.equal(code, CODE.ok);
  await watcher.arrived("cursors.a", 1);
  mover.destroy();
  const messages = await watcher.arrived("cursors.a", 2);
  assert.deepEqual(
    messages.map(({ data }) => data),
    [1, null],
  );
  assert.equal(rig.counters.keysRemoved, 1);
});

test("clients that flip rates a thousand times a second are refused, and others have everything at their pace", async (t) => {
  const rig = await startRig(t, { namespaces: NAMESPACES });
  const [all, paced] = [await WireClient.open(rig.port), await WireClient.open(rig.port)];
  await all.subscribe("board.a");
  await paced.subscribe("board.a", { rate: 10, state: true });
  const flippers = await Promise.all(Array.from({ length: 3 }, () => WireClient.open(rig.port)));
  let ref = 1_000;
  const flips = () =>
    Array.from({ length: FLIPS_A_STEP }, (_, index) => {
      ref += 1;
      return [CODE.subscribe, ref, "board.a", { rate: index % 2 === 0 ? 1 : 30 }];
    });
  const beganMs = performance.now();
  for (let number = 1; number <= FLIP_STEPS; number += 1) {
    for (const flipper of flippers) flipper.send(...flips());
    await rig.publish("board.a", number, `k${number % 5}`);
    await sleep(FLIPS_A_STEP);
  }
  const seconds = Math.ceil((performance.now() - beganMs) / 1_000) + 1;
  const everything = await all.arrived("board.a", FLIP_STEPS);
  await eventually(() => paced.messages("board.a").at(-1)?.data === FLIP_STEPS, "the last message", 30_000);
  assert.deepEqual(latest(paced.messages("board.a")), latest(everything));
  for (const client of [all, paced]) assert.deepEqual([client.gaps, client.duplicates], [0, 0]);
  for (const flipper of flippers) {
    await flipper.find((value) => value[0] === CODE.error && value[2] === "rate_limited", "to be refused");
    assert.equal((await flipper.request(CODE.ping))[0], CODE.ok, "still served");
  }
  const { rateChanges, rateChangesRefused, slowCloses } = rig.counters;
  const carriedOut = rateChanges - rateChangesRefused;
  assert.ok(
    carriedOut <= flippers.length * seconds * (RATE_CHANGES_MIN + 2),
    `${carriedOut} of ${rateChanges}`,
  );
  assert.ok(rateChangesRefused > flippers.length, `${rateChangesRefused} refused`);
  assert.deepEqual([slowCloses, rig.gatewayCounters.faults], [0, 0]);
});

/** The last number of every key: numbers go through five keys in turn. */
function latest(messages: readonly { readonly data: unknown }[]): Map<number, unknown> {
  return new Map(messages.map(({ data }) => [Number(data) % 5, data]));
}
