import type { Child } from "./child.js";
import type { HubReport, LagReport, WorkerReport } from "./ipc.js";
import type { Slot } from "./slot.js";
import type { NodeState, Supervisor } from "./supervisor.js";
import { addTelemetry, type NodeTelemetry } from "./telemetry.js";

/** What `GET /v1/node` tells. */
export interface NodeStatus {
  readonly node: string;
  readonly state: NodeState;
  /** Whether new clients should be sent here; else `reasons` says why not. */
  readonly ready: boolean;
  readonly reasons: readonly string[];
  /** What part of the rooms gets nothing new, though the node is ready: others would not serve them either. */
  readonly degraded?: readonly string[];
  readonly url: string;
  readonly pid: number;
  readonly startedAt: string;
  readonly uptimeSeconds: number;
  readonly versions: { readonly fanwire: string; readonly node: string };
  /** WebSocket connections of all workers. */
  readonly connections: number;
  /** Rooms open at workers; one that several have open counts for each. */
  readonly rooms: number;
  /** Processes that were killed because they stood still. */
  readonly stalls: number;
  /** Of all workers since the node's start, those that have ended too. */
  readonly telemetry: NodeTelemetry;
  /** Of the supervisor itself. */
  readonly supervisor: { readonly rssBytes: number; readonly cpuMs: number };
  /** Caps in force. */
  readonly limits: Readonly<Record<string, number>>;
  readonly workers: readonly ProcessStatus<WorkerReport>[];
  readonly hubs: readonly ProcessStatus<HubReport>[];
}

export interface ProcessStatus<R> {
  readonly index: number;
  /** Undefined between a crash and the restart. */
  readonly pid: number | undefined;
  readonly state: "starting" | "ready" | "draining" | "ended";
  readonly crashes: number;
  readonly uptimeSeconds: number;
  readonly rssBytes: number | undefined;
  readonly cpuMs: number | undefined;
  /** Event-loop delays since its last beat. */
  readonly lag: LagReport | undefined;
  /** Share of the time since the beat before, 0 to 1, that its event loop worked. */
  readonly utilization?: number | undefined;
  /** As of its last beat. */
  readonly report: R | undefined;
  /** How long ago that was; more than a few seconds: it stands still. */
  readonly reportAgeMs?: number | undefined;
  /** How the last process of this place ended that nobody had asked to, in words. */
  readonly lastCrash?: string | undefined;
}

export function statusOf(node: Supervisor): NodeStatus {
  const { config, workers, hubs } = node;
  const reasons = reasonsAgainst(node);
  const reports = workers.flatMap((slot) => slot.children.map((child) => child.report?.worker));
  const sum = (of: (report: WorkerReport) => number): number =>
    reports.reduce((total, report) => total + (report === undefined ? 0 : of(report)), 0);
  const { user, system } = process.cpuUsage();
  return {
    node: config.node,
    state: node.state,
    ready: reasons.length === 0,
    reasons,
    degraded: streamsAway(node),
    url: node.url,
    pid: process.pid,
    startedAt: new Date(node.startedAt).toISOString(),
    uptimeSeconds: secondsSince(node.startedAt, Date.now()),
    versions: { fanwire: node.version, node: process.version },
    connections: sum(({ connections }) => connections),
    rooms: sum(({ rooms }) => rooms),
    stalls: node.stalls,
    telemetry: reports.reduce((total, report) => addTelemetry(total, report?.telemetry), node.past),
    supervisor: { rssBytes: process.memoryUsage.rss(), cpuMs: (user + system) / 1_000 },
    limits: config.limits,
    workers: processesOf(workers, (child) => child.report?.worker),
    hubs: processesOf(hubs, (child) => child.report?.hub),
  };
}

/** Why no new clients should be sent to this node; empty where they should. */
function reasonsAgainst({ state, workers, hubs }: Supervisor): string[] {
  if (state === "starting" || state === "draining") return [`the node is ${state}`];
  const missing = [...hubs, ...workers].filter((slot) => !slot.isReady);
  const cut = [...hubs, ...workers].filter((slot) => {
    const report = slot.child?.report;
    return slot.isReady && (report?.hub ?? report?.worker)?.brokerAvailable === false;
  });
  return [
    ...missing.map((slot) => `${slot.role} ${slot.index} is ${slot.child?.state.kind ?? "being restarted"}`),
    ...cut.map((slot) => `${slot.role} ${slot.index} does not reach the broker`),
  ];
}

function streamsAway({ workers, hubs }: Supervisor): string[] {
  return [...hubs, ...workers].flatMap((slot) => {
    const report = slot.child?.report;
    const away = (report?.hub ?? report?.worker)?.brokerAway ?? [];
    return away.length === 0 ? [] : [`${slot.role} ${slot.index} gets no answer of ${away.join(", ")}`];
  });
}

function processesOf<R>(
  slots: readonly Slot[],
  reportOf: (child: Child) => R | undefined,
): ProcessStatus<R>[] {
  const nowMs = performance.now();
  return slots.flatMap((slot) => {
    const { index, crashes, lastCrash } = slot;
    const rows = slot.children.map((child) => ({
      index,
      pid: child.pid,
      state: child.state.kind,
      crashes,
      uptimeSeconds: secondsSince(child.startedMs, nowMs),
      rssBytes: child.report?.rssBytes,
      cpuMs: child.report?.cpuMs,
      lag: child.report?.lag,
      utilization: child.report?.utilization,
      report: reportOf(child),
      reportAgeMs: child.report === undefined ? undefined : Math.round(nowMs - child.reportMs),
      lastCrash,
    }));
    if (rows.length > 0) return rows;
    const ended = { index, state: "ended" as const, crashes, uptimeSeconds: 0, lastCrash };
    return [{ ...ended, ...NOTHING_KNOWN }];
  });
}

/** Of a place between a crash and the restart. */
const NOTHING_KNOWN = {
  pid: undefined,
  rssBytes: undefined,
  cpuMs: undefined,
  lag: undefined,
  utilization: undefined,
  report: undefined,
  reportAgeMs: undefined,
};

function secondsSince(thenMs: number, nowMs: number): number {
  return Math.round((nowMs - thenMs) / 100) / 10;
}
