import { type ServerName, Subscribers, type Window } from "./support/contest.js";
import type { Histogram } from "./support/histogram.js";
import { digits, percent, type Table } from "./support/report.js";
import { messagesPerRoom, type PublishPlan } from "./support/schedule.js";
import type { ServerReply } from "./support/server-control.js";
import { pairedRatio, type Summary, summarize } from "./support/statistics.js";

export interface FanoutWork {
  readonly title: string;
  readonly subscribers: number;
  readonly roomsEach: number;
  readonly plan: PublishPlan;
}

/** What a server saw of itself in a window of its own. */
export interface Watched {
  readonly server: ServerName;
  readonly seconds: number;
  readonly stalls: Extract<ServerReply, { kind: "stalls" }>;
}

/** What a delivery costs and how late it is; and what it took. The numbers behind the rows are the first table's. */
export function fanoutTables(
  work: FanoutWork,
  names: readonly ServerName[],
  windows: readonly Window[],
  watched: readonly Watched[],
): Table[] {
  const of = (name: ServerName): Window[] => windows.filter((window) => window.server === name);
  const cpu = (name: ServerName): number[] => of(name).map((window) => window.cpuMicros);
  const { title, subscribers, roomsEach, plan } = work;
  const first = names[0];
  const ratios = names
    .slice(1)
    .flatMap((name) =>
      first === undefined ? [] : [{ of: first, to: name, ...pairedRatio(cpu(first), cpu(name)) }],
    );
  return [
    {
      title: `${title}: ${subscribers} subscribers with ${count(roomsEach, "room")} of ${plan.rooms}, ${plan.rate} messages/s a room in bursts of ${plan.burst}, ${plan.bytes} bytes`,
      columns: [
        ...["server", "CPU µs/delivery", "±", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms"],
        "last delivery ms",
      ],
      rows: names.map((name) => costRow(name, of(name), summarize(cpu(name)))),
      notes: costNotes(plan, windows.length / names.length, ratios, windows),
      invalid: Subscribers.invalid(windows),
      raw: {
        ratios,
        windows: windows.map(({ latency, last, clientDelay, ...window }) => ({
          ...window,
          latencyMicros: quantiles(latency),
          lastMicros: quantiles(last),
          clientDelayMicros: quantiles(clientDelay),
        })),
        watched,
      },
    },
    {
      title: `${title}: what it took`,
      columns: [
        ...["server", "user µs/delivery", "system µs/delivery", "messages/frame", "frames/delivery"],
        ...["client reads/delivery", "bytes/delivery", "stall p99 ms", "longest ms", "GC ms/s"],
        ...["client CPU", "client busy", "client late p99 ms"],
      ],
      rows: names.map((name) =>
        tookRow(
          name,
          of(name),
          watched.find(({ server }) => server === name),
        ),
      ),
      notes: [
        "A server's writes lie between its frames, which may share one, and the reads of clients, which may take in several.",
        "Stalls: times between two turns of the event loop, seen by a timer of 1 ms in the server (an idle loop: 1 ms); they and GC are of one more window, as watching costs.",
        "Clients: CPU of their process, the share of the time that it was busy or kept from its core (above 95 %: INVALID), and how late its timers came.",
      ],
      raw: null,
    },
  ];
}

function costRow(name: ServerName, windows: readonly Window[], cpu: Summary): string[] {
  const middle = middleOf(windows);
  const ms = (share: number): string => digits(middle((window) => window.latency.quantile(share)) / 1_000);
  return [
    name,
    digits(cpu.median),
    percent(cpu.spread),
    ...[0.5, 0.9, 0.99, 0.999].map(ms),
    digits(Math.max(...windows.map(({ latency }) => latency.max)) / 1_000),
    digits(middle(({ last }) => last.quantile(0.5)) / 1_000),
  ];
}

function tookRow(name: ServerName, windows: readonly Window[], watched: Watched | undefined): string[] {
  const middle = middleOf(windows);
  const { p99Ms = Number.NaN, maxMs = Number.NaN, collectingMs = Number.NaN } = watched?.stalls ?? {};
  return [
    name,
    digits(middle(({ cpuMicros, systemShare }) => cpuMicros * (1 - systemShare))),
    digits(middle(({ cpuMicros, systemShare }) => cpuMicros * systemShare)),
    digits(middle(({ messagesPerFrame }) => messagesPerFrame)),
    digits(middle(({ messagesPerFrame }) => 1 / messagesPerFrame)),
    digits(middle(({ readsPerDelivery }) => readsPerDelivery)),
    digits(middle(({ bytesPerDelivery }) => bytesPerDelivery)),
    digits(p99Ms),
    digits(maxMs),
    digits(collectingMs / (watched?.seconds ?? 1)),
    percent(middle(({ clientCpuShare }) => clientCpuShare)),
    percent(Math.max(...windows.map(({ clientBusy }) => clientBusy))),
    digits(middle(({ clientDelay }) => clientDelay.quantile(0.99)) / 1_000),
  ];
}

function middleOf(windows: readonly Window[]): (pick: (window: Window) => number) => number {
  return (pick) => summarize(windows.map(pick)).median;
}

interface Ratio extends Summary {
  readonly of: ServerName;
  readonly to: ServerName;
}

function costNotes(
  plan: PublishPlan,
  repetitions: number,
  ratios: readonly Ratio[],
  windows: readonly Window[],
): string[] {
  const deliveries = windows.reduce((sum, window) => sum + window.deliveries, 0);
  return [
    `${digits(deliveries)} deliveries in ${windows.length} windows of ${messagesPerRoom(plan)} messages a room; none missing, doubled or out of order.`,
    `Medians of ${repetitions} windows, the servers in turn, latency too; ± is half the quartile distance; the maximum is of all. Last delivery: from when a ${plan.burst === 1 ? "message" : "burst"} was due until the last client had it.`,
    ...ratios.map(
      (ratio) =>
        `${ratio.of} ÷ ${ratio.to}: ${digits(ratio.median)} (median of ${ratio.runs} pairs, ${digits(ratio.min)} to ${digits(ratio.max)}).`,
    ),
  ];
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

function quantiles(of: Histogram): Record<string, number> {
  return {
    p50: of.quantile(0.5),
    p90: of.quantile(0.9),
    p99: of.quantile(0.99),
    "p99.9": of.quantile(0.999),
    max: of.max,
  };
}
