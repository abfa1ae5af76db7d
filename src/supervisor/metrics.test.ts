import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { createHubCounters, createHubLinkCounters } from "../broker/hub/hub-counters.js";
import { createNatsCounters } from "../broker/nats/nats-counters.js";
import { createPresenceCounters } from "../broker/presence/presence-counters.js";
import { createCounters } from "../core/counters.js";
import { BUCKETS_MS, type HistogramReport } from "../core/histogram.js";
import { createGatewayCounters } from "../server/gateway-limits.js";
import type { ServerTelemetry } from "../server/server.js";
import type { HubReport, WorkerReport } from "./ipc.js";
import { METRIC_HELP } from "./metric-names.js";
import { metricsOf } from "./metrics.js";
import type { NodeStatus, ProcessStatus } from "./status.js";
import { addTelemetry, NO_TELEMETRY } from "./telemetry.js";

const MONITORING = fileURLToPath(new URL("../../k8s/monitoring/", import.meta.url));

const histogram = (counts: Readonly<Record<number, number>>, sumMs: number): HistogramReport => ({
  counts: [...BUCKETS_MS, Number.POSITIVE_INFINITY].map((bound) => counts[bound] ?? 0),
  sumMs,
});

/** What one worker measured. */
const TELEMETRY: ServerTelemetry = {
  latency: {
    market: histogram({ 5: 30, 100: 2 }, 250),
    other: histogram({ [Number.POSITIVE_INFINITY]: 1 }, 60_000),
  },
  staleness: { 10: histogram({ 100: 4 }, 200) },
  subscriptions: { all: 12, 10: 3 },
  early: 2,
  broker: {
    publish: histogram({ 2: 5 }, 8),
    open: histogram({}, 0),
    history: histogram({}, 0),
    state: histogram({}, 0),
  },
};

function processOf<R>(index: number, report: R, others: Partial<ProcessStatus<R>> = {}): ProcessStatus<R> {
  return {
    index,
    pid: 100 + index,
    state: "ready",
    crashes: 0,
    uptimeSeconds: 5,
    rssBytes: 1_000,
    cpuMs: 1_500,
    utilization: 0.25,
    lag: { p50Ms: 1, p99Ms: 20, maxMs: 30 },
    report,
    ...others,
  };
}

function workerReport(connections: number): WorkerReport {
  const engine = { ...createCounters(), connections, connectionsTotal: 7, tooManyRooms: 2 };
  const broker = { ...createHubLinkCounters() };
  return {
    connections,
    rooms: 3,
    brokerAvailable: true,
    counters: { engine, gateway: createGatewayCounters(), broker },
    telemetry: TELEMETRY,
  };
}

const hub: HubReport = {
  links: 2,
  waitingBytes: 77,
  brokerAvailable: false,
  counters: {
    hub: { ...createHubCounters(), links: 2 },
    broker: { ...createNatsCounters(), ...createPresenceCounters(), holes: 4 },
  },
};

const STATUS: NodeStatus = {
  node: 'n"1\\',
  state: "running",
  ready: true,
  reasons: [],
  url: "",
  pid: 1,
  startedAt: "",
  uptimeSeconds: 60.5,
  versions: { fanwire: "0.1.0", node: "v20" },
  connections: 0,
  rooms: 0,
  stalls: 1,
  telemetry: addTelemetry(addTelemetry(NO_TELEMETRY, TELEMETRY), TELEMETRY),
  supervisor: { rssBytes: 5_000, cpuMs: 250 },
  limits: { connections: 100_000 },
  workers: [processOf(0, workerReport(5)), processOf(1, workerReport(6), { crashes: 3 })],
  hubs: [processOf(0, hub)],
};

const namesIn = (text: string): Set<string> => new Set(text.match(/\bfanwire_\w+/g));

test("promtool finds nothing to say against the metrics, and values are where they belong", async () => {
  const text = await metricsOf(STATUS);
  execFileSync("promtool", ["check", "metrics"], { input: text });
  const lines = text.split("\n");
  for (const line of [
    'fanwire_connections{process="worker-1"} 6',
    'fanwire_handshakes_total{process="worker-0",result="welcome"} 7',
    'fanwire_limit_hits_total{process="worker-0",limit="roomsPerConnection"} 2',
    'fanwire_process_crashes_total{process="worker-1"} 3',
    'fanwire_process_cpu_seconds_total{process="hub-0"} 1.5',
    'fanwire_event_loop_lag_seconds{process="worker-0",stat="p99"} 0.02',
    'fanwire_broker_available{process="hub-0"} 0',
    'fanwire_broker_repairs_total{process="hub-0",kind="hole"} 4',
    'fanwire_limit{limit="connections"} 100000',
    "fanwire_stalls_total 1",
    'fanwire_event_loop_utilization{process="hub-0"} 0.25',
    'fanwire_process_cpu_seconds_total{process="supervisor"} 0.25',
    'fanwire_subscriptions{process="worker-1",class="10"} 3',
    'fanwire_backpressure_bytes{process="hub-0"} 77',
    "fanwire_early_messages_total 4",
    "fanwire_ready 1",
  ])
    assert.ok(lines.includes(line), `${line} is missing`);
});

test("histograms are of all workers together, cumulative and in seconds", async () => {
  const lines = (await metricsOf(STATUS)).split("\n");
  const bucket = (namespace: string, le: string) =>
    lines.find((line) =>
      line.startsWith(`fanwire_delivery_latency_seconds_bucket{namespace="${namespace}",le="${le}"}`),
    );
  const name = "fanwire_delivery_latency_seconds_bucket";
  assert.equal(bucket("market", "0.002"), `${name}{namespace="market",le="0.002"} 0`);
  assert.equal(bucket("market", "0.005"), `${name}{namespace="market",le="0.005"} 60`);
  assert.equal(bucket("market", "0.05"), `${name}{namespace="market",le="0.05"} 60`);
  assert.equal(bucket("market", "0.1"), `${name}{namespace="market",le="0.1"} 64`);
  assert.equal(bucket("market", "+Inf"), `${name}{namespace="market",le="+Inf"} 64`);
  assert.equal(bucket("other", "30"), `${name}{namespace="other",le="30"} 0`);
  for (const line of [
    'fanwire_delivery_latency_seconds_sum{namespace="market"} 0.5',
    'fanwire_delivery_latency_seconds_count{namespace="market"} 64',
    'fanwire_delivery_latency_seconds_count{namespace="other"} 2',
    'fanwire_staleness_seconds_bucket{class="10",le="0.1"} 8',
    'fanwire_broker_seconds_count{operation="publish"} 10',
    'fanwire_broker_seconds_count{operation="open"} 0',
  ])
    assert.ok(lines.includes(line), `${line} is missing`);
});

test("what an ended worker measured stays; one of another build, with other buckets, adds nothing", () => {
  const once = addTelemetry(NO_TELEMETRY, TELEMETRY);
  assert.deepEqual(addTelemetry(once, undefined), once);
  const other = { latency: { market: { counts: [1], sumMs: 1 } } };
  assert.deepEqual(addTelemetry(once, other), once);
  assert.equal(addTelemetry(once, TELEMETRY).latency.market?.sumMs, 500);
});

test("a process that leaves its place to another is told apart; one that is gone is down", async () => {
  const gone: ProcessStatus<WorkerReport> = {
    ...processOf(1, workerReport(0), { state: "ended" }),
    report: undefined,
    pid: undefined,
    rssBytes: undefined,
    cpuMs: undefined,
    lag: undefined,
    utilization: undefined,
  };
  const workers = [processOf(0, workerReport(8)), processOf(0, workerReport(5), { state: "draining" }), gone];
  const lines = (await metricsOf({ ...STATUS, workers })).split("\n");
  assert.deepEqual(
    lines.filter((line) => line.startsWith("fanwire_connections{") || line.startsWith("fanwire_process_up{")),
    [
      'fanwire_process_up{process="worker-0"} 1',
      'fanwire_process_up{process="worker-0-leaving"} 0',
      'fanwire_process_up{process="worker-1"} 0',
      'fanwire_process_up{process="hub-0"} 1',
      'fanwire_connections{process="worker-0"} 8',
      'fanwire_connections{process="worker-0-leaving"} 5',
    ],
  );
});

test("a worker that hosts the broker itself tells of the broker, not of links", async () => {
  const own = workerReport(1);
  const report = { ...own, counters: { ...own.counters, broker: { ...createNatsCounters(), published: 9 } } };
  const text = await metricsOf({ ...STATUS, workers: [processOf(0, report)], hubs: [] });
  assert.ok(text.includes('fanwire_published_total{process="worker-0",at="broker"} 9\n'));
  assert.ok(!text.includes("fanwire_link_"));
});

test("every name that has a meaning is told by a node with hubs and NATS", async () => {
  const text = await metricsOf(STATUS);
  for (const name of Object.keys(METRIC_HELP)) assert.ok(text.includes(`\n${name}{`), name);
});

test("alerting rules hold their unit tests, and rules and dashboard use only metrics that exist", async () => {
  execFileSync("promtool", ["check", "rules", "rules.yaml"], { cwd: MONITORING });
  execFileSync("promtool", ["test", "rules", "rules.test.yaml"], { cwd: MONITORING });
  const known = namesIn(await metricsOf(STATUS));
  for (const file of ["rules.yaml", "dashboard.json"]) {
    const text = readFileSync(`${MONITORING}${file}`, "utf8");
    const used = [...namesIn(text)];
    assert.ok(used.length > 10, file);
    assert.deepEqual(
      used.filter((name) => !known.has(name)),
      [],
      file,
    );
  }
});

test("every alert has its row in README", () => {
  const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
  const alerts = readFileSync(`${MONITORING}rules.yaml`, "utf8").match(/(?<=- alert: )\w+/g) ?? [];
  assert.ok(alerts.length >= 10);
  for (const alert of alerts) assert.ok(readme.includes(`| \`${alert}\` |`), alert);
});
