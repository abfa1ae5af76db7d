import assert from "node:assert/strict";
import { test } from "node:test";
import { createBrokerCounters } from "../broker/counters.js";
import { createHubCounters, createHubLinkCounters } from "../broker/hub/hub-counters.js";
import type { Counted } from "../core/census.js";
import { type Counters, createCounters } from "../core/counters.js";
import type { EngineLook } from "../core/engine.js";
import { Histogram } from "../core/histogram.js";
import { parseRoom } from "../protocol/room-name.js";
import { createGatewayCounters } from "../server/gateway-limits.js";
import type { HubReport, WorkerReport } from "./ipc.js";
import { OpsEvents } from "./ops-events.js";
import { candidatesOf, roomsOf, slowOf } from "./ops-look.js";
import { OpsSampler } from "./ops-sample.js";
import type { NodeStatus, ProcessStatus } from "./status.js";
import { NO_TELEMETRY } from "./telemetry.js";

function workerOf(
  index: number,
  counts: Partial<Counters>,
  others: Partial<ProcessStatus<WorkerReport>> = {},
): ProcessStatus<WorkerReport> {
  const engine = { ...createCounters(), ...counts };
  const counters = { engine, gateway: createGatewayCounters(), broker: { ...createHubLinkCounters() } };
  return {
    index,
    pid: 100 + index,
    state: "ready",
    crashes: 0,
    uptimeSeconds: 5,
    rssBytes: 1_000,
    cpuMs: 0,
    lag: { p50Ms: 1, p99Ms: 20 + index, maxMs: 30 },
    report: { connections: 10, rooms: 3, brokerAvailable: true, counters },
    reportAgeMs: 0,
    ...others,
  };
}

function hubOf(messages: number, others: Partial<ProcessStatus<HubReport>> = {}): ProcessStatus<HubReport> {
  const counters = { hub: { ...createHubCounters(), messages }, broker: { ...createBrokerCounters() } };
  return {
    index: 0,
    pid: 200,
    state: "ready",
    crashes: 0,
    uptimeSeconds: 5,
    rssBytes: 1_000,
    cpuMs: 0,
    lag: { p50Ms: 1, p99Ms: 7, maxMs: 9 },
    report: { links: 2, waitingBytes: 512, brokerAvailable: true, counters },
    reportAgeMs: 0,
    ...others,
  };
}

function statusOf(
  workers: readonly ProcessStatus<WorkerReport>[],
  hubs: readonly ProcessStatus<HubReport>[] = [],
  others: Partial<NodeStatus> = {},
): NodeStatus {
  return {
    node: "n1",
    state: "running",
    ready: true,
    reasons: [],
    url: "",
    pid: 1,
    startedAt: "",
    uptimeSeconds: 60,
    versions: { fanwire: "0.1.0", node: "v20" },
    connections: 20,
    rooms: 6,
    stalls: 0,
    telemetry: NO_TELEMETRY,
    supervisor: { rssBytes: 0, cpuMs: 0 },
    limits: { connections: 100_000 },
    workers,
    hubs,
    ...others,
  };
}

test("rates are of the time between two beats of a process, and hold until the next", () => {
  const sampler = new OpsSampler();
  const hub = hubOf(0);
  assert.deepEqual(
    sampler.sample(statusOf([workerOf(0, { received: 100 })], [hub]), 10_000).stats.received,
    0,
  );
  // The next beat came after half a second and was half a second old when it was looked at.
  const later = workerOf(0, { received: 200 }, { cpuMs: 250, reportAgeMs: 500 });
  const sample = sampler.sample(statusOf([later], [hubOf(40)]), 11_000);
  assert.equal(sample.stats.received, 200);
  assert.deepEqual(sample.stats.cpu, [
    ["worker 0", 50],
    ["hub 0", 0],
  ]);
  assert.equal(sample.processes.get("hub 0")?.received, 40);
  assert.deepEqual([sample.stats.lagMs, sample.stats.hubLagMs, sample.stats.hubBytes], [20, 7, 512]);
  const same = workerOf(0, { received: 200 }, { cpuMs: 250, reportAgeMs: 1_500 });
  assert.equal(sampler.sample(statusOf([same], [hubOf(40)]), 12_000).stats.received, 200);
  const next = workerOf(0, { received: 300 }, { cpuMs: 250 });
  assert.equal(sampler.sample(statusOf([next], [hubOf(40)]), 12_500).stats.received, 50);
});

test("a process that stands still is said to, and counts for nothing", () => {
  const sampler = new OpsSampler();
  sampler.sample(statusOf([workerOf(0, { received: 0 }), workerOf(1, { received: 0 })]), 0);
  const stalled = workerOf(0, { received: 500 }, { reportAgeMs: 4_000 });
  const { processes, stats } = sampler.sample(statusOf([stalled, workerOf(1, { received: 70 })]), 1_000);
  assert.deepEqual([processes.get("worker 0")?.isStale, processes.get("worker 1")?.isStale], [true, false]);
  assert.equal(processes.get("worker 0")?.received, undefined);
  assert.equal(stats.received, 70);
});

test("another process in the same place begins anew; the one that leaves is named so", () => {
  const sampler = new OpsSampler();
  sampler.sample(statusOf([workerOf(0, { received: 1_000 })]), 0);
  const fresh = workerOf(0, { received: 5 }, { pid: 300 });
  const { stats, processes } = sampler.sample(
    statusOf([fresh, workerOf(0, { received: 1_100 }, { state: "draining" })]),
    1_000,
  );
  assert.equal(stats.received, 100);
  assert.deepEqual([...processes.keys()], ["worker 0", "worker 0 leaving"]);
});

const texts = (events: OpsEvents, status: NodeStatus, nowMs: number): string[] =>
  events.next(status, nowMs).map(({ level, text }) => `${level}: ${text}`);

test("a crash, its repair and what it makes of the node are told once each", () => {
  const events = new OpsEvents();
  const two = [workerOf(0, {}), workerOf(1, {})];
  assert.deepEqual(texts(events, statusOf(two), 0), ["info: fanwire 0.1.0 running"]);
  assert.deepEqual(texts(events, statusOf(two), 1_000), []);
  const lastCrash = "was ended by SIGKILL";
  const gone = workerOf(1, {}, { pid: undefined, state: "ended", crashes: 1, lastCrash, report: undefined });
  const away = statusOf([workerOf(0, {}), gone], [], {
    ready: false,
    reasons: ["worker 1 is being restarted"],
  });
  assert.deepEqual(texts(events, away, 2_000), [
    "error: not ready: worker 1 is being restarted",
    "error: worker 1 was ended by SIGKILL: it is replaced",
  ]);
  assert.deepEqual(texts(events, away, 3_000), []);
  const back = statusOf([workerOf(0, {}), workerOf(1, {}, { pid: 400, crashes: 1, lastCrash })]);
  assert.deepEqual(texts(events, back, 4_000), ["info: ready", "info: worker 1 serves (process 400)"]);
  const draining = statusOf([...back.workers], [], {
    state: "draining",
    ready: false,
    reasons: ["the node is draining"],
  });
  assert.deepEqual(texts(events, draining, 5_000), ["warn: the node is draining"]);
});

test("a part of the broker that does not answer is told, and that it does again", () => {
  const events = new OpsEvents();
  const workers = [workerOf(0, {})];
  texts(events, statusOf(workers), 0);
  const part = statusOf(workers, [], { degraded: ["hub 0 gets no answer of FW_3"] });
  assert.deepEqual(texts(events, part, 1_000), ["error: degraded: hub 0 gets no answer of FW_3"]);
  assert.deepEqual(texts(events, part, 2_000), []);
  assert.deepEqual(texts(events, statusOf(workers), 3_000), ["info: all of the broker answers again"]);
  assert.deepEqual(new OpsSampler().sample(part, 0).node.degraded, ["hub 0 gets no answer of FW_3"]);
});

test("latencies are of the last seconds, not of all time, and none where nothing was delivered", () => {
  const sampler = new OpsSampler();
  const slow = new Histogram();
  const quick = new Histogram();
  const p99At = (second: number): number | undefined => {
    const latency = { market: slow.report(), other: quick.report() };
    const telemetry = { ...NO_TELEMETRY, latency };
    return sampler.sample(statusOf([], [], { telemetry }), second * 1_000).stats.p99Ms;
  };
  slow.observe(900, 100);
  assert.equal(p99At(0), undefined, "of before it looked");
  quick.observe(0.5, 100);
  const quickMs = p99At(1) ?? 0;
  assert.ok(quickMs > 0 && quickMs <= 1, `${quickMs}`);
  slow.observe(900, 100);
  assert.ok((p99At(2) ?? 0) > 500);
  for (let second = 3; second < 7; second += 1) assert.ok((p99At(second) ?? 0) > 500, `at ${second}`);
  assert.equal(p99At(7), undefined);
});

test("what counters tell of is put together, however often it happens", () => {
  const events = new OpsEvents();
  const at = (tooManyRooms: number, lagged = 0): NodeStatus =>
    statusOf([workerOf(0, { tooManyRooms, lagged })]);
  texts(events, at(5), 0);
  assert.deepEqual(texts(events, at(6, 2), 1_000), [
    "warn: 2 readers were too slow and lost the flow (socket)",
    "warn: 1 time at the limit (roomsPerConnection)",
  ]);
  for (let second = 2; second < 11; second += 1)
    assert.deepEqual(texts(events, at(second * 100, 2), second * 1_000), []);
  assert.deepEqual(texts(events, at(1_006, 2), 11_000), [
    "warn: 1,000 times at the limit (roomsPerConnection)",
  ]);
  assert.deepEqual(texts(events, at(1_006, 2), 30_000), []);
  // While it goes on it is told ever more seldom.
  assert.deepEqual(texts(events, at(1_007, 2), 30_999), []);
  assert.deepEqual(texts(events, at(1_007, 2), 31_000), ["warn: 1 time at the limit (roomsPerConnection)"]);
  assert.deepEqual(texts(events, at(1_008, 2), 70_999), []);
  assert.deepEqual(texts(events, at(1_010, 2), 71_000), ["warn: 3 times at the limit (roomsPerConnection)"]);
  const bug = statusOf([workerOf(0, { tooManyRooms: 1_010, lagged: 2, chainBroken: 1 })]);
  assert.deepEqual(texts(events, bug, 71_500), ["error: 1 bug: see the log (engineChain)"]);
});

test("lists of workers are put together, the largest first, and nothing known is not nothing there", () => {
  const counted = (room: string, count: number): Counted => ({ room: parseRoom(room), count });
  const lookOf = (
    subscribers: readonly Counted[],
    bytes?: readonly Counted[],
    named: EngineLook["rooms"]["named"] = [],
  ): EngineLook => ({
    rooms: { subscribers, bytes, named },
    slow: {
      watched: 2,
      clients: [
        { session: "s", sub: undefined, state: "slowed", bufferedBytes: subscribers.length, stillMs: 1 },
      ],
    },
  });
  const looks = [
    { worker: 0, look: lookOf([counted("a", 5), counted("b", 4)]) },
    { worker: 1, look: lookOf([counted("b", 3)], [counted("b", 1.4)]) },
    { worker: 2, look: undefined },
  ];
  assert.deepEqual(roomsOf(looks), {
    subscribers: [counted("b", 7), counted("a", 5)],
    bytes: [counted("b", 1)],
  });
  assert.deepEqual(
    slowOf(looks).clients.map(({ worker, bufferedBytes }) => [worker, bufferedBytes]),
    [
      [0, 2],
      [1, 1],
    ],
  );
  assert.equal(slowOf(looks).watched, 4);
  assert.deepEqual(candidatesOf(looks), [parseRoom("b"), parseRoom("a")]);
  const named = [{ room: parseRoom("a"), subscribers: 6, bytes: 9 }];
  looks.push({ worker: 3, look: lookOf([counted("a", 5)], [], named) });
  assert.deepEqual(roomsOf(looks), {
    subscribers: [counted("a", 11), counted("b", 7)],
    bytes: [counted("a", 9), counted("b", 1)],
  });
  assert.deepEqual(roomsOf([{ worker: 2, look: undefined }]), { subscribers: undefined, bytes: undefined });
});
