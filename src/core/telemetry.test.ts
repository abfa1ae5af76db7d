import assert from "node:assert/strict";
import { test } from "node:test";
import { layered } from "../broker/broker-layer.testkit.js";
import { createMessage, type Message } from "../protocol/message.js";
import { parseRoom } from "../protocol/room-name.js";
import { EngineRig } from "./engine-rig.testkit.js";
import {
  addHistograms,
  BUCKETS_MS,
  Histogram,
  type HistogramReport,
  histogramSince,
  quantileMs,
} from "./histogram.js";
import { Sampler } from "./sampler.js";
import { Telemetry } from "./telemetry.js";

const observed = (...values: readonly (readonly [ms: number, weight: number])[]): HistogramReport => {
  const histogram = new Histogram();
  for (const [ms, weight] of values) histogram.observe(ms, weight);
  return histogram.report();
};

const total = ({ counts }: HistogramReport): number => counts.reduce((sum, count) => sum + count, 0);

/** The only bucket that has something, by its upper bound. */
const bucketOf = ({ counts }: HistogramReport): number | undefined => {
  const filled = [...counts.keys()].filter((bucket) => counts[bucket] !== 0);
  assert.equal(filled.length, 1, JSON.stringify(counts));
  return BUCKETS_MS[filled[0] ?? 0];
};

const message = (room: string, offset: number, time: number): Message =>
  createMessage({ room: parseRoom(room), offset, prev: offset - 1, time, data: Uint8Array.of(1) });

test("a duration falls into the bucket whose bound it does not exceed, and above the last into the one more", () => {
  for (const bound of BUCKETS_MS) {
    assert.equal(bucketOf(observed([bound, 3])), bound);
    assert.notEqual(bucketOf(observed([bound + 0.5, 1])), bound);
  }
  assert.equal(observed([1e9, 2]).counts.at(-1), 2);
  assert.equal(observed([10, 3], [4, 1]).sumMs, 34);
});

test("histograms add up, and what came since an earlier one can be told", () => {
  const a = observed([1, 5], [40, 2]);
  const b = observed([40, 1], [1e6, 1]);
  const both = addHistograms(a, b);
  assert.deepEqual(both, observed([1, 5], [40, 3], [1e6, 1]));
  assert.deepEqual(histogramSince(both, a), b);
  assert.deepEqual(histogramSince(a, undefined), a);
  // It began anew.
  assert.deepEqual(histogramSince(b, both), b);
});

test("a quantile lies in the bucket that has it", () => {
  assert.equal(quantileMs(observed(), 0.5), undefined);
  const mostlyFast = observed([4, 98], [200, 2]);
  const within = (share: number, low: number, high: number): void => {
    const ms = quantileMs(mostlyFast, share) ?? Number.NaN;
    assert.ok(ms > low && ms <= high, `${share}: ${ms}`);
  };
  within(0.5, 2, 5);
  within(0.98, 2, 5);
  within(0.99, 100, 250);
  assert.equal(quantileMs(observed([1e9, 1]), 0.5), BUCKETS_MS.at(-1));
});

test("few events are all picked; of many some hundred a second, which stand for all", () => {
  const sampler = new Sampler(100);
  for (let event = 0; event < 100; event += 1) assert.equal(sampler.take(), 1);
  for (const perSecond of [1_000, 123_457, 50]) {
    // What it was before takes a second to be forgotten.
    for (let second = 0; second < 2; second += 1) {
      for (let event = 0; event < perSecond; event += 1) sampler.take();
      sampler.sweep();
    }
    let picked = 0;
    let weight = 0;
    for (let event = 0; event < perSecond; event += 1) {
      const one = sampler.take();
      picked += Number(one > 0);
      weight += one;
    }
    assert.ok(picked <= 200 && picked >= Math.min(perSecond, 80), `${perSecond}: ${picked}`);
    assert.ok(Math.abs(weight / perSecond - 1) < 0.05, `${perSecond}: ${weight}`);
  }
});

test("a burst after quiet times is not measured in full, and sums are right all the same", () => {
  const sampler = new Sampler(100);
  let picked = 0;
  let weight = 0;
  for (let event = 0; event < 1_000_000; event += 1) {
    const one = sampler.take();
    picked += Number(one > 0);
    weight += one;
  }
  assert.ok(picked < 2_000, String(picked));
  assert.ok(Math.abs(weight / 1_000_000 - 1) < 0.1, String(weight));
});

test("events that come in a rhythm are picked evenly", () => {
  const sampler = new Sampler(100);
  const picked = new Array<number>(10).fill(0);
  for (let second = 0; second < 20; second += 1) {
    for (let event = 0; event < 10_000; event += 1)
      if (sampler.take() > 0) picked[event % 10] = (picked[event % 10] ?? 0) + 1;
    sampler.sweep();
  }
  const all = picked.reduce((sum, count) => sum + count, 0);
  for (const count of picked) assert.ok(count > all / 20 && count < all / 5, picked.join());
});

test("latency is told by namespace where that has settings, staleness by class, early messages are counted", () => {
  const telemetry = new Telemetry(["market"]);
  telemetry.nowMs = 1_000;
  telemetry.note("all", [message("market.fx", 1, 996)], 7);
  telemetry.note("all", [message("made.up", 1, 400), message("made.up", 2, 400)], 3);
  telemetry.note(10, [message("market.fx", 1, 920)], 2);
  telemetry.note(10, [message("market.fx", 2, 1_005)], 2);
  const { latency, staleness, early } = telemetry.report();
  assert.deepEqual(latency, { market: observed([4, 7]), other: observed([600, 6]) });
  assert.deepEqual(staleness, { 10: observed([80, 2], [0, 2]) });
  assert.equal(early, 1);
});

test("one message of a backlog stands for all of it, another one each time", () => {
  const telemetry = new Telemetry();
  telemetry.nowMs = 1_000;
  const backlog = [message("a", 1, 100), message("a", 2, 995)];
  for (let flush = 0; flush < 10; flush += 1) telemetry.note("all", backlog, 1);
  assert.deepEqual(telemetry.report().latency.other, observed([900, 10], [5, 10]));
});

test("an engine counts what it hands to sockets, how late, and who is in which class", async () => {
  const rig = new EngineRig();
  const members = [rig.connect(), rig.connect(), rig.connect()];
  const { telemetry } = rig.engine;
  for (const member of members) await member.subscribe("keyed.x");
  await members[0]?.subscribe("keyed.alone");
  await members[1]?.subscribe("keyed.x", { rate: 10 });
  assert.deepEqual(telemetry.report().subscriptions, { all: 3, 10: 1 });
  const before = { ...rig.counters };
  await rig.publish("keyed.x", 1, "k");
  await rig.publish("keyed.x", 2, "k");
  await rig.publish("keyed.alone", 3);
  rig.nowMs += 40;
  await rig.settle();
  // Two members of every message get two each, the conflated one the latter, and one is alone with the third.
  assert.equal(rig.counters.deliveries - before.deliveries, 2 * 2 + 1 + 1);
  assert.equal(rig.counters.deliveryFrames - before.deliveryFrames, 4);
  const { latency, staleness } = telemetry.report();
  assert.equal(total(latency.other ?? observed()), 5);
  assert.equal(bucketOf(latency.other ?? observed()), 50);
  assert.deepEqual(staleness, { 10: observed([40, 1]) });
  for (const member of members) member.session.closed(rig.nowMs);
  assert.deepEqual(telemetry.report().subscriptions, { all: 0, 10: 0 });
});

test("what is sent by topic counts once for every socket that is on it, own messages left out", async () => {
  const rig = new EngineRig();
  const members = [rig.connect(), rig.connect(), rig.connect()];
  for (const member of members) await member.subscribe("chat.x", { echo: false });
  await members[0]?.ask({
    type: "publish",
    ref: 0,
    room: parseRoom("chat.x"),
    data: Uint8Array.of(7),
    key: undefined,
  });
  const sent = rig.published.at(-1)?.bytes.length ?? 0;
  assert.ok(sent > 0);
  assert.equal(rig.counters.topicSentBytes, 2 * sent);
  assert.equal(rig.counters.deliveries, 2);
  const direct = members.flatMap(({ socket }) => socket.chunks).reduce((sum, { length }) => sum + length, 0);
  assert.equal(rig.counters.topicSentBytes + rig.counters.sentBytes, direct);
});

test("resumes are counted by what served them and the result", async () => {
  let failing = false;
  const rig = new EngineRig({ ringMessages: 2 }, (broker) =>
    layered(broker, {
      history: (room, from, limit) =>
        failing ? Promise.reject(new Error("on purpose")) : broker.history(room, from, limit),
    }),
  );
  const client = rig.connect();
  const ok = (await client.subscribe("short.x")).find(({ type }) => type === "ok");
  const epoch = ok?.type === "ok" ? (ok.result as { readonly epoch: string }).epoch : "";
  for (let data = 1; data <= 6; data += 1) {
    await rig.publish("short.x", data);
    await rig.settle();
  }
  const resume = (offset: number, of = epoch): Promise<unknown> =>
    client.subscribe("short.x", { after: { epoch: of, offset } });
  await resume(5);
  await resume(3);
  await resume(1);
  await resume(5, "another");
  // Until what was read for the one before is forgotten.
  await rig.advance(1_000);
  failing = true;
  await resume(3);
  const { ringResumes, historyResumes, expiredResumes, epochResumes, failedResumes } = rig.counters;
  assert.deepEqual(
    { ringResumes, historyResumes, expiredResumes, epochResumes, failedResumes },
    { ringResumes: 1, historyResumes: 1, expiredResumes: 1, epochResumes: 1, failedResumes: 1 },
  );
});
