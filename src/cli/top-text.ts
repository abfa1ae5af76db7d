import { addHistograms, type HistogramReport, histogramSince, quantileMs } from "../core/histogram.js";
import type { NodeStatus, ProcessStatus } from "../supervisor/status.js";

type Totals = Readonly<Record<string, number>>;

interface Row {
  readonly process: string;
  readonly cells: readonly string[];
}

const COLUMNS = [
  "process",
  "pid",
  "state",
  "up",
  "cpu",
  "memory",
  "lag p99",
  "conns",
  "rooms",
  "in/s",
  "out/s",
  "slow/s",
];
const NONE = "–";

/**
 * The node as a table for terminals: what each process is and does. Rates are of the time between two looks; without an
 * earlier one they are not known.
 */
export function topText(now: NodeStatus, before?: NodeStatus): string {
  const seconds = before === undefined ? 0 : now.uptimeSeconds - before.uptimeSeconds;
  const rows = [
    ...now.workers.map((worker): Row => rowOf("worker", worker, before?.workers, seconds)),
    ...now.hubs.map((hub): Row => rowOf("hub", hub, before?.hubs, seconds)),
  ];
  const cells = [COLUMNS, ...rows.map((row) => [row.process, ...row.cells])];
  const widths = COLUMNS.map((_, column) => Math.max(...cells.map((line) => (line[column] ?? "").length)));
  const table = cells.map((line) =>
    line
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join("  "),
  );
  return [headline(now, before), ...now.reasons.map((reason) => `  not ready: ${reason}`), "", ...table].join(
    "\n",
  );
}

function headline(now: NodeStatus, before: NodeStatus | undefined): string {
  const { node, state, ready, versions, uptimeSeconds, connections, limits, rooms, stalls } = now;
  const parts = [
    `${node}  fanwire ${versions.fanwire}`,
    ready ? state : `${state}, NOT READY`,
    `up ${duration(uptimeSeconds)}`,
    `${count(connections)} of ${count(limits.connections ?? 0)} connections`,
    `${count(rooms)} rooms`,
  ];
  return [...parts, ...(stalls > 0 ? [`${stalls} stalls`] : []), ...latency(now, before)].join("  ·  ");
}

/** Of every namespace, between the two looks. */
function latency(now: NodeStatus, before: NodeStatus | undefined): string[] {
  if (before === undefined) return [];
  const sum = ({ telemetry }: NodeStatus): HistogramReport | undefined => {
    const [first, ...others] = Object.values(telemetry.latency);
    return first && others.reduce(addHistograms, first);
  };
  const all = sum(now);
  if (all === undefined) return [];
  const since = histogramSince(all, sum(before));
  const [p50, p99] = [quantileMs(since, 0.5), quantileMs(since, 0.99)];
  if (p50 === undefined || p99 === undefined) return [];
  return [`latency p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms`];
}

interface Report {
  readonly connections?: number;
  readonly links?: number;
  readonly rooms?: number;
  readonly counters: Readonly<Record<string, unknown>>;
}

function rowOf(
  role: string,
  status: ProcessStatus<Report>,
  before: readonly ProcessStatus<Report>[] | undefined,
  seconds: number,
): Row {
  const { index, pid, state, crashes, uptimeSeconds, cpuMs, rssBytes, lag, report } = status;
  // Another process in the same place has begun its totals anew.
  const earlier = before?.find((one) => one.pid === pid && pid !== undefined);
  const rate = (of: (process: ProcessStatus<Report>) => number | undefined): string => {
    const [to, from] = [of(status), earlier === undefined ? undefined : of(earlier)];
    return to === undefined || from === undefined || seconds <= 0 ? NONE : count((to - from) / seconds);
  };
  const total = (name: string, key: string) => (process: ProcessStatus<Report>) =>
    (process.report?.counters[name] as Totals | undefined)?.[key];
  const isWorker = role === "worker";
  const cpu =
    cpuMs === undefined || earlier?.cpuMs === undefined || seconds <= 0
      ? NONE
      : `${Math.round((cpuMs - earlier.cpuMs) / seconds / 10)} %`;
  return {
    process: `${role} ${index}`,
    cells: [
      pid === undefined ? NONE : String(pid),
      crashes > 0 ? `${state} (${crashes} crashes)` : state,
      duration(uptimeSeconds),
      cpu,
      rssBytes === undefined ? NONE : `${count(rssBytes / 2 ** 20)} MiB`,
      lag === undefined ? NONE : `${lag.p99Ms.toFixed(1)} ms`,
      number(report?.connections ?? report?.links),
      number(report?.rooms ?? (report?.counters.hub as Totals | undefined)?.rooms),
      rate(isWorker ? total("engine", "received") : total("hub", "messages")),
      rate(total(isWorker ? "engine" : "hub", "deliveries")),
      rate(isWorker ? total("engine", "lagged") : total("hub", "lagged")),
    ],
  };
}

function number(value: number | undefined): string {
  return value === undefined ? NONE : count(value);
}

function count(value: number): string {
  return Math.round(value).toLocaleString("en");
}

function duration(seconds: number): string {
  if (seconds < 60) return `${Math.round(seconds)}s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)}m${Math.floor(seconds % 60)}s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)}h${Math.floor((seconds % 3_600) / 60)}m`;
  return `${Math.floor(seconds / 86_400)}d${Math.floor((seconds % 86_400) / 3_600)}h`;
}
