import { describeHandshakes, type Handshakes } from "./fleet/handshakes.js";
import { describeMs, millis } from "./fleet/latency.js";
import type { Scrapes } from "./fleet/scrapes.js";
import { type StormSeen, stormRows, WITNESS_NOTE } from "./fleet/storm-phase.js";
import type { HistogramData } from "./support/histogram.js";
import { digits, type Table } from "./support/report.js";
import { summarize } from "./support/statistics.js";

export interface ConnectionsOptions {
  readonly connections: number;
  readonly rooms: number;
  readonly "rooms-each": number;
  readonly broadcasts: number;
}

export interface Result {
  /** undefined: of an engine that is not ours. */
  readonly workers: number | undefined;
  readonly opened: Opened;
  /** What is undefined was not measured, or not asked for. */
  readonly held: Held | undefined;
  readonly broadcasts: Broadcasts | undefined;
  readonly storm: StormSeen | undefined;
  readonly verdicts: Readonly<Record<string, number>>;
  readonly kernelEvents: string;
}

export interface Opened {
  readonly seconds: number;
  readonly handshakes: Handshakes;
  readonly handshakeMicros: HistogramData;
  /** NaN, and no bytes, where the engine is not ours. */
  readonly cpuMicrosEach: number;
  /** Growth of each worker since before the first connection. */
  readonly workerBytes: readonly number[];
  readonly hubBytes: readonly number[];
  /** All of the server's processes, with what they had before. */
  readonly totalBytes: number;
  readonly slabBytes: number;
  readonly tcpBytes: number;
  readonly troubles: readonly string[];
  /** What makes this part say nothing of the server: its clients could not keep up. */
  readonly invalid: readonly string[];
}

export interface Held {
  readonly seconds: number;
  readonly pings: number;
  readonly cpuMicrosEachSecond: number;
  /** Undefined: none were asked for. */
  readonly scrapes: Scrapes | undefined;
  readonly lost: number;
  readonly troubles: readonly string[];
  /** What makes this part say nothing of the server: its clients could not keep up. */
  readonly invalid: readonly string[];
}

export interface Broadcasts {
  /** Of each broadcast. */
  readonly deliveries: readonly number[];
  readonly lastMicros: readonly number[];
  readonly cpuMicros: readonly number[];
  readonly latencyMicros: HistogramData;
  /** Share of the time that the busiest client process was busy, of each broadcast. */
  readonly clientsBusy: readonly number[];
  readonly troubles: readonly string[];
  /** What makes this part say nothing of the server: its clients could not keep up. */
  readonly invalid: readonly string[];
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function kib(bytes: number): string {
  return digits(bytes / 1_024);
}

/** What was measured, as far as it came. */
export function connectionsTable(options: ConnectionsOptions, result: Result): Table {
  const { opened, held, broadcasts, storm } = result;
  const parts = [opened, held, broadcasts].filter((part) => part !== undefined);
  const found = parts.flatMap((part) => part.troubles);
  if (storm !== undefined) {
    found.push(...storm.troubles);
    const lost = storm.lostBefore + storm.counts.lost;
    if (lost > 0) found.push(`${lost} connections were lost in the storm that were not cut`);
  }
  const rows = [
    ...openedRows(options, opened),
    ...(held === undefined ? [] : heldRows(held)),
    ...(broadcasts === undefined ? [] : broadcastRows(options, broadcasts)),
    ...(storm === undefined ? [] : [[`storm: ${digits(storm.counts.cut)} cut`, ""], ...stormRows(storm)]),
  ];
  const server = result.workers === undefined ? "the engine at --url" : `${result.workers} workers`;
  return {
    title: `Connections: ${digits(options.connections)} with ${options["rooms-each"]} of ${digits(options.rooms)} rooms each, ${server}`,
    columns: ["what", "measured"],
    rows,
    notes: [
      found.length === 0
        ? "No connection lost, every message delivered to every client exactly once and in order."
        : `TROUBLE: ${found.join(" | ")}`,
      `Kernel events: ${result.kernelEvents}. Overdue handshakes: ${JSON.stringify(result.verdicts)}.`,
      `Server: supervisor, workers and hubs together. ${WITNESS_NOTE}`,
    ],
    invalid: [...parts.flatMap((part) => part.invalid), ...(storm?.invalid ?? [])],
    raw: result,
  };
}

function openedRows(options: ConnectionsOptions, opened: Opened): string[][] {
  const each = (bytes: number): number => bytes / options.connections;
  const { workerBytes, hubBytes } = opened;
  const connected = [
    [
      "connected",
      `${digits(options.connections)} in ${digits(opened.seconds)} s, ${digits(options.connections / opened.seconds)}/s`,
    ],
    ["handshakes", describeHandshakes(opened.handshakes)],
    ["handshake p50 / p99 / p99.9", describeMs(opened.handshakeMicros)],
  ];
  // Of an engine that is not ours there is only what clients see.
  if (workerBytes.length === 0) return connected;
  const sizes = summarize(workerBytes);
  return [
    ...connected,
    ["server CPU a connect", `${digits(opened.cpuMicrosEach)} µs`],
    ["user RSS a connection, all workers", `${kib(each(sum(workerBytes)))} KiB`],
    [
      "– growth of a worker",
      `${digits(sizes.min / 2 ** 20)} to ${digits(sizes.max / 2 ** 20)} MiB; hubs ${digits(sum(hubBytes) / 2 ** 20)} MiB`,
    ],
    ["– all processes, empty ones' memory included", `${digits(opened.totalBytes / 2 ** 20)} MiB`],
    [
      "kernel memory a connection, both ends",
      `${kib(each(opened.slabBytes + opened.tcpBytes))} KiB (buffers ${kib(each(opened.tcpBytes))})`,
    ],
  ];
}

function heldRows(held: Held): string[][] {
  return [
    [`held for ${digits(held.seconds)} s`, `${held.lost} lost, ${digits(held.pings)} pings`],
    ["server CPU, idle", `${digits(held.cpuMicrosEachSecond)} µs a connection and second`],
    ...(held.scrapes === undefined ? [] : scrapeRows(held.scrapes)),
  ];
}

/** As often as README says that it may be done. */
const SCRAPE_SECONDS = 15;

function scrapeRows(scrapes: Scrapes): string[][] {
  const { count, bytes, medianMs, longestMs, supervisorMicros, othersMicros } = scrapes;
  const share = (supervisorMicros + Math.max(0, othersMicros)) / 1_000_000 / SCRAPE_SECONDS;
  return [
    [
      `${count} scrapes of /metrics, ${digits(bytes / 1_024)} KiB each`,
      `${digits(medianMs)} ms each, the longest ${digits(longestMs)}`,
    ],
    [
      "– CPU of one: supervisor; workers and hubs",
      `${digits(supervisorMicros / 1_000)} ms; ${digits(othersMicros / 1_000)} ms beyond what they use anyway`,
    ],
    [`– one every ${SCRAPE_SECONDS} s`, `${digits(share * 100)} % of a core`],
  ];
}

function broadcastRows(options: ConnectionsOptions, broadcasts: Broadcasts): string[][] {
  const last = summarize(broadcasts.lastMicros);
  return [
    [`${options.broadcasts} broadcasts, deliveries`, digits(sum(broadcasts.deliveries))],
    ["– last delivery after", `${millis(last.median)} ms (${millis(last.min)} to ${millis(last.max)})`],
    ["– latency p50 / p99 / p99.9", describeMs(broadcasts.latencyMicros)],
    ["– server CPU a delivery", `${digits(summarize(broadcasts.cpuMicros).median)} µs`],
    ["– busiest client process", `${digits(summarize(broadcasts.clientsBusy).median * 100)} % of the time`],
  ];
}
