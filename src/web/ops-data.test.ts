import assert from "node:assert/strict";
import { test } from "node:test";
import type { OpsNode, OpsProcess, OpsStats } from "../supervisor/ops-sample.js";
import {
  type NodeFacts,
  type ProcessFacts,
  parseNode,
  parseProcess,
  parseStats,
  type Stats,
} from "./ops-data.js";

// The page is of the same build as its node, and yet shares no code with it: these hold their types together.
/** Of what a node tells, what the page shows. */
type Shown = Omit<OpsStats, "writes">;
type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;
const isSameStats: Same<Stats, Shown> & Same<keyof Stats, keyof Shown> = true;
/** The page leaves some of it out, and doubts nothing of what it takes. */
const isPartOfNode: [OpsNode] extends [NodeFacts] ? true : false = true;
const areFieldsOfProcess: Same<keyof ProcessFacts, keyof OpsProcess> = true;

const STATS: Shown = {
  connections: 1,
  received: 2,
  published: 4,
  deliveries: 5,
  sentBytes: 6,
  lagged: 7,
  p50Ms: 8.5,
  p99Ms: 9.5,
  brokerMs: 10,
  lagMs: 11,
  hubLagMs: 12,
  hubBytes: 13,
  cpu: [["worker 0", 14]],
};

const PROCESS: OpsProcess = {
  role: "worker",
  index: 1,
  pid: 2,
  state: "ready",
  isStale: true,
  crashes: 3,
  uptimeSeconds: 4,
  cpu: 5,
  rssBytes: 6,
  lagMs: 7,
  connections: 8,
  rooms: 9,
  received: 10,
  deliveries: 11,
  lagged: 12,
  waitingBytes: 13,
  brokerAvailable: false,
};

const NODE: NodeFacts = {
  node: "n1",
  version: "0.1.0",
  state: "running",
  ready: true,
  reasons: ["why"],
  degraded: ["what"],
  uptimeSeconds: 1,
  connections: 2,
  connectionsMax: 3,
};

test("the page takes everything that a node tells, and nothing changes on the way", () => {
  assert.ok(isSameStats && isPartOfNode && areFieldsOfProcess);
  const sent = <T>(value: T): unknown => JSON.parse(JSON.stringify(value));
  assert.deepEqual(parseStats(sent(STATS)), STATS);
  assert.deepEqual(parseProcess(sent(PROCESS)), PROCESS);
  assert.deepEqual(parseNode(sent(NODE)), NODE);
});

test("what is not known stays so, and what is no number is none", () => {
  const { p50Ms, p99Ms, brokerMs, hubLagMs, ...known } = STATS;
  const parsed = parseStats({ ...known, p50Ms: "8", p99Ms: null });
  assert.deepEqual(parsed, {
    ...known,
    p50Ms: undefined,
    p99Ms: undefined,
    brokerMs: undefined,
    hubLagMs: undefined,
  });
  for (const nothing of [undefined, null, 3, "text", []]) assert.equal(parseStats(nothing), undefined);
});
