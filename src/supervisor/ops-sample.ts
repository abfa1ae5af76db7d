import type { HubReport, WorkerReport } from "./ipc.js";
import { Quantiles } from "./ops-quantiles.js";
import { type ProcessRates, Rates, STALE_MS } from "./ops-rates.js";
import type { NodeStatus, ProcessStatus } from "./status.js";

/** One point of the charts. */
export interface OpsStats {
  readonly connections: number;
  /** A second, all workers together. */
  readonly received: number;
  readonly writes: number;
  readonly published: number;
  readonly deliveries: number;
  readonly sentBytes: number;
  readonly lagged: number;
  /** From the broker's time of a message to the socket, of the last seconds; undefined where nothing was delivered. */
  readonly p50Ms: number | undefined;
  readonly p99Ms: number | undefined;
  /** How long the broker took to answer, 99 of 100 times less. */
  readonly brokerMs: number | undefined;
  /** The worst of the workers' event-loop delays, 99 of 100 were below. */
  readonly lagMs: number;
  /** The same of the hubs, where there are some. */
  readonly hubLagMs: number | undefined;
  /** Waits in hubs for workers. */
  readonly hubBytes: number;
  /** Percent of a core, by process. */
  readonly cpu: readonly (readonly [process: string, percent: number])[];
}

/** A process as the table shows it. What is not known is undefined. */
export interface OpsProcess {
  readonly role: "worker" | "hub";
  readonly index: number;
  readonly pid: number | undefined;
  readonly state: string;
  /** No word of it for some seconds. */
  readonly isStale: boolean;
  readonly crashes: number;
  readonly uptimeSeconds: number;
  readonly cpu: number | undefined;
  readonly rssBytes: number | undefined;
  readonly lagMs: number | undefined;
  /** Sockets of a worker, linked workers of a hub. */
  readonly connections: number | undefined;
  readonly rooms: number | undefined;
  readonly received: number | undefined;
  /** Messages to sockets; of a hub, to workers. */
  readonly deliveries: number | undefined;
  readonly lagged: number | undefined;
  readonly waitingBytes: number | undefined;
  readonly brokerAvailable: boolean | undefined;
}

/** The node as a whole. */
export interface OpsNode {
  readonly node: string;
  readonly version: string;
  readonly state: string;
  readonly ready: boolean;
  readonly reasons: readonly string[];
  /** What part of the rooms gets nothing new, though the node is ready. */
  readonly degraded: readonly string[];
  readonly url: string;
  readonly uptimeSeconds: number;
  readonly connections: number;
  readonly connectionsMax: number;
  readonly rooms: number;
}

export interface OpsSample {
  readonly stats: OpsStats;
  readonly node: OpsNode;
  /** By name, such as `worker 0`. */
  readonly processes: ReadonlyMap<string, OpsProcess>;
}

/** Makes what the page shows of what the node says of itself, a second at a time. */
export class OpsSampler {
  readonly #rates = new Rates();
  readonly #latency = new Quantiles();
  readonly #broker = new Quantiles();

  sample(status: NodeStatus, nowMs: number): OpsSample {
    const rows = [
      ...status.workers.map((worker) => this.#workerOf(worker, nowMs)),
      ...status.hubs.map((hub) => this.#hubOf(hub, nowMs)),
    ];
    this.#rates.turn();
    const [p50Ms, p99Ms] = this.#latency.next(status.telemetry.latency, [0.5, 0.99]).map(rounded);
    const [brokerMs] = this.#broker.next(status.telemetry.broker, [0.99]).map(rounded);
    const stats = { ...statsOf(status, rows), p50Ms, p99Ms, brokerMs };
    return { stats, node: nodeOf(status), processes: named(rows) };
  }

  #workerOf(status: ProcessStatus<WorkerReport>, nowMs: number): Row {
    const { report, cpuMs = 0 } = status;
    const engine = report?.counters.engine;
    const rates = this.#rates.of(
      status,
      engine && {
        cpu: cpuMs,
        received: engine.received,
        writes: engine.topicPublishes + engine.directWrites,
        deliveries: engine.deliveries,
        sentBytes: engine.topicSentBytes + engine.sentBytes,
        lagged: engine.lagged,
        published: engine.published,
      },
      nowMs,
    );
    const shown = rowOf("worker", status, rates);
    return {
      rates,
      row: {
        ...shown,
        connections: report?.connections,
        rooms: report?.rooms,
        brokerAvailable: report?.brokerAvailable,
      },
    };
  }

  #hubOf(status: ProcessStatus<HubReport>, nowMs: number): Row {
    const { report, cpuMs = 0 } = status;
    const hub = report?.counters.hub;
    const total = (name: string): number => hub?.[name] ?? 0;
    const rates = this.#rates.of(
      status,
      hub && {
        cpu: cpuMs,
        received: total("messages"),
        writes: total("deliveries"),
        deliveries: total("deliveries"),
        sentBytes: total("bytesOut"),
        lagged: total("lagged"),
        published: total("published"),
      },
      nowMs,
    );
    return {
      rates,
      row: {
        ...rowOf("hub", status, rates),
        connections: report?.links,
        rooms: hub?.rooms,
        waitingBytes: report?.waitingBytes,
        brokerAvailable: report?.brokerAvailable,
      },
    };
  }
}

interface Row {
  readonly row: OpsProcess;
  readonly rates: ProcessRates | undefined;
}

function rowOf(
  role: "worker" | "hub",
  status: ProcessStatus<unknown>,
  rates: ProcessRates | undefined,
): OpsProcess {
  const { index, pid, state, crashes, uptimeSeconds, rssBytes, lag, reportAgeMs } = status;
  const { cpu, received, deliveries, lagged } = rates ?? {};
  return {
    role,
    index,
    pid,
    state,
    isStale: state !== "starting" && (reportAgeMs === undefined || reportAgeMs > STALE_MS),
    crashes,
    uptimeSeconds,
    cpu,
    rssBytes,
    lagMs: lag?.p99Ms,
    connections: undefined,
    rooms: undefined,
    received,
    deliveries,
    lagged,
    waitingBytes: undefined,
    brokerAvailable: undefined,
  };
}

function statsOf(
  { connections, hubs }: NodeStatus,
  rows: readonly Row[],
): Omit<OpsStats, "p50Ms" | "p99Ms" | "brokerMs"> {
  const workers = rows.filter(({ row }) => row.role === "worker");
  const sum = (of: (rates: ProcessRates) => number): number =>
    Math.round(workers.reduce((total, { rates }) => total + (rates === undefined ? 0 : of(rates)), 0));
  const worst = (role: OpsProcess["role"]): number =>
    Math.max(0, ...rows.map(({ row }) => (row.role === role && !row.isStale ? (row.lagMs ?? 0) : 0)));
  // What workers publish to hubs is counted there, with what comes over HTTP.
  const publishers = hubs.length === 0 ? workers : rows.filter(({ row }) => row.role === "hub");
  return {
    connections,
    received: sum(({ received }) => received),
    writes: sum(({ writes }) => writes),
    published: Math.round(publishers.reduce((total, { rates }) => total + (rates?.published ?? 0), 0)),
    deliveries: sum(({ deliveries }) => deliveries),
    sentBytes: sum(({ sentBytes }) => sentBytes),
    lagged: sum(({ lagged }) => lagged),
    lagMs: round(worst("worker")),
    hubLagMs: hubs.length === 0 ? undefined : round(worst("hub")),
    hubBytes: rows.reduce((total, { row }) => total + (row.waitingBytes ?? 0), 0),
    cpu: rows.map(({ row }): [string, number] => [nameOf(row), round(row.cpu ?? 0)]),
  };
}

function nodeOf(status: NodeStatus): OpsNode {
  const { node, versions, state, ready, reasons, url, uptimeSeconds, connections, limits, rooms } = status;
  return {
    node,
    version: versions.fanwire,
    state,
    ready,
    reasons,
    degraded: status.degraded ?? [],
    url,
    uptimeSeconds: Math.round(uptimeSeconds),
    connections,
    connectionsMax: limits.connections ?? 0,
    rooms,
  };
}

/** Others of a place are leaving it. */
function named(rows: readonly Row[]): ReadonlyMap<string, OpsProcess> {
  const processes = new Map<string, OpsProcess>();
  for (const { row } of rows) {
    const name = nameOf(row);
    processes.set(processes.has(name) ? `${name} leaving` : name, row);
  }
  return processes;
}

function nameOf({ role, index }: OpsProcess): string {
  return `${role} ${index}`;
}

function rounded(value: number | undefined): number | undefined {
  return value === undefined ? undefined : round(value);
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
