import type { Measured } from "../bridge.js";
import { Histogram, type HistogramData } from "../support/histogram.js";
import { digits, percent, type Table } from "../support/report.js";
import { summarize } from "../support/statistics.js";
import type { LatencyRun } from "./latency.js";
import type { OpenRoomsRun } from "./open-rooms.js";
import type { PublishRun } from "./publish.js";
import type { ResumesRun } from "./resumes.js";

const CHECKED = "Every delivery checked: none missing, doubled or out of order.";
const SPREAD = "Medians of all runs; in parentheses the smallest and the largest.";

export function latencyTable(results: readonly Measured<LatencyRun>[]): Table {
  const all = results.flatMap(({ replicas, runs }) =>
    [...new Set(runs.map(({ rate }) => rate))].map((rate) => ({
      replicas,
      rate,
      runs: runs.filter((run) => run.rate === rate),
    })),
  );
  return {
    title: "Bridge: from a publish at one node to a socket of the other",
    columns: [
      ...[
        "copies",
        "messages/s",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "acknowledged p99 ms",
        "publisher late p99 ms",
      ],
      ...["hub out µs", "hub in µs", "worker out µs", "worker in µs", "NATS µs", "cores busy"],
    ],
    rows: all.map(({ replicas, rate, runs }) => [
      `R${replicas}`,
      digits(rate),
      ...[0.5, 0.99, 0.999].map((share) => millisOf(runs, ({ micros }) => micros, share)),
      millisOf(runs, ({ acknowledgedMicros }) => acknowledgedMicros, 0.99),
      millisOf(runs, ({ lateMicros }) => lateMicros, 0.99),
      ...(["hubOut", "hubIn", "workerOut", "workerIn", "nats", "busyCores"] as const).map((name) =>
        spread(runs.map((run) => run[name])),
      ),
    ]),
    notes: [
      SPREAD,
      "Latency from the time at which the message was due; CPU a message, all threads. Clients share the host's cores.",
      verdict(results),
    ],
    raw: results,
  };
}

export function publishTable(bytes: number, results: readonly Measured<PublishRun>[]): Table {
  return {
    title: `Bridge: publishes of ${bytes} bytes through one hub, each acknowledged`,
    columns: ["copies", "publishes/s", "hub µs", "NATS µs", "publishers µs", "p50 ms", "p99 ms"],
    rows: results.map(({ replicas, runs }) => [
      `R${replicas}`,
      spread(runs.map(({ perSecond }) => perSecond)),
      spread(runs.map(({ hubMicros }) => hubMicros)),
      spread(runs.map(({ natsMicros }) => natsMicros)),
      spread(runs.map(({ publisherMicros }) => publisherMicros)),
      ...[0.5, 0.99].map((share) => millisOf(runs, ({ latencyMicros }) => latencyMicros, share)),
    ]),
    notes: [SPREAD, "CPU a publish; hub, NATS and publishers share the cores of this host."],
    raw: results,
  };
}

export function resumesTable(rooms: number, results: readonly Measured<ResumesRun>[]): Table {
  const rows: [string, (runs: readonly ResumesRun[]) => string][] = [
    ["resumes", (runs) => middle(runs.map(({ resumes }) => resumes))],
    ["– asked for again", (runs) => middle(runs.map(({ counts, resumes }) => counts.recovered - resumes))],
    ["messages replayed", (runs) => middle(runs.map(({ counts }) => counts.replayed))],
    ["all live and caught up after, s", (runs) => spread(runs.map(({ seconds }) => seconds))],
    [
      "– CPU of that node, hub + worker, s",
      (runs) => spread(runs.map(({ hubSeconds, workerSeconds }) => hubSeconds + workerSeconds)),
    ],
    ["– of it the hub, s", (runs) => spread(runs.map(({ hubSeconds }) => hubSeconds))],
    ["– CPU of NATS, s", (runs) => spread(runs.map(({ natsSeconds }) => natsSeconds))],
    [
      "– asked by the worker / answered by its hub",
      (runs) => `${readsOf(runs, "worker")} / ${readsOf(runs, "hub")}`,
    ],
    [
      "– reads at NATS, opening rooms included / of them passes",
      (runs) => `${readsOf(runs, "nats")} / ${readsOf(runs, "passes")}`,
    ],
    [
      "– served by another's read / from memory",
      (runs) => `${readsOf(runs, "shared")} / ${readsOf(runs, "memory")}`,
    ],
    ...publishRows("publish to acknowledgement", "acknowledgedMicros"),
    ...publishRows("publish to a socket that lost nothing", "witnessMicros"),
  ];
  return {
    title: `Bridge: resumes over ${digits(rooms)} rooms at a node that knows none of them`,
    columns: ["what", ...results.map(({ replicas }) => `R${replicas}`)],
    rows: rows.map(([what, of]) => [what, ...results.map(({ runs }) => of(runs))]),
    notes: [
      SPREAD,
      "Clients share the cores with the servers; those that resume get what the others leave of them.",
      ...reasonsNote(results),
      verdict(results),
    ],
    raw: results,
  };
}

/** Why clients had to come again, which costs them time and no message. */
function reasonsNote(results: readonly Measured<ResumesRun>[]): string[] {
  const sums = new Map<string, number>();
  for (const { reasons } of results.flatMap(({ runs }) => runs))
    for (const [what, times] of Object.entries(reasons)) sums.set(what, (sums.get(what) ?? 0) + times);
  if (sums.size === 0) return [];
  const told = [...sums].map(([what, times]) => `${what} (${times})`);
  return [`Connections that came again, all of their rooms with them, in all runs: ${told.join("; ")}.`];
}

function publishRows(
  what: string,
  name: "acknowledgedMicros" | "witnessMicros",
): [string, (runs: readonly ResumesRun[]) => string][] {
  const p99 = (data: HistogramData): number => Histogram.from(data).quantile(0.99) / 1_000;
  return [
    [`${what}, p99 ms, before`, (runs) => spread(runs.map(({ quiet }) => p99(quiet[name])))],
    ["– during", (runs) => spread(runs.map(({ during }) => p99(during[name])))],
    [
      "– during ÷ before",
      (runs) => spread(runs.map(({ quiet, during }) => p99(during[name]) / p99(quiet[name]))),
    ],
  ];
}

export function openRoomsTable(rooms: number, results: readonly Measured<OpenRoomsRun>[]): Table {
  return {
    title: `Bridge: ${digits(rooms)} rooms opened on one hub`,
    columns: ["copies", "open after s", "hub CPU s", "NATS CPU s", "hub MiB more", "KiB a room"],
    rows: results.map(({ replicas, runs }) => [
      `R${replicas}`,
      spread(runs.map(({ seconds }) => seconds)),
      spread(runs.map(({ hubSeconds }) => hubSeconds)),
      spread(runs.map(({ natsSeconds }) => natsSeconds)),
      spread(runs.map(({ hubBytes }) => hubBytes / 2 ** 20)),
      spread(runs.map(({ hubBytes }) => hubBytes / 1_024 / rooms)),
    ]),
    notes: [SPREAD],
    raw: results,
  };
}

/** Whether anything went wrong in any run, in words. */
function verdict(results: readonly Measured<{ readonly troubles: readonly string[] }>[]): string {
  const found = results.flatMap(({ runs }) => runs.flatMap(({ troubles }) => troubles));
  const runs = results.flatMap((one) => one.runs);
  const voided = runs.filter(({ troubles }) => troubles.length > 0).length;
  return found.length === 0
    ? CHECKED
    : `VOID, ${percent(voided / runs.length)} of the runs: ${[...new Set(found)].slice(0, 10).join(" | ")}`;
}

function readsOf(runs: readonly ResumesRun[], name: string): string {
  return middle(runs.map(({ reads }) => reads[name] ?? 0));
}

function millisOf<T>(runs: readonly T[], of: (run: T) => HistogramData, share: number): string {
  return spread(runs.map((run) => Histogram.from(of(run)).quantile(share) / 1_000));
}

function middle(values: readonly number[]): string {
  return digits(summarize(values).median);
}

/** The median, and how far the others lie. */
function spread(values: readonly number[]): string {
  const { median, min, max } = summarize(values);
  return values.length < 2 ? digits(median) : `${digits(median)} (${digits(min)}–${digits(max)})`;
}
