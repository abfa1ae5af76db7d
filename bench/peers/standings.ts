import { digits, percent, type Table } from "../support/report.js";
import { type Summary, summarize } from "../support/statistics.js";
import { busyClient } from "../support/validity.js";
import type { BoutSeen, WorkSeen } from "./bout.js";
import { LIMIT, type Peer } from "./catalog.js";

export type Outcome =
  | { readonly kind: "seen"; readonly seen: BoutSeen }
  | { readonly kind: "failed"; readonly why: string };

/** A peer's turn in a round. */
export interface Entry {
  readonly peer: Peer;
  readonly subscribers: number;
  readonly round: number;
  readonly outcome: Outcome;
}

/** A peer's cost for one kind of work. */
export interface Cost {
  readonly burst: number;
  readonly cpuMicros: Summary;
  /** To the limit of the same round; undefined where the limit was not measured. */
  readonly ratio: Summary | undefined;
  readonly p50Micros: number;
  readonly p99Micros: number;
  readonly clientBusy: number;
  readonly readsPerDelivery: number;
  readonly lastMicros: number | undefined;
}

export interface Standing {
  readonly peer: Peer;
  readonly rounds: number;
  readonly costs: readonly Cost[];
  readonly bytesEach: Summary | undefined;
  readonly emptyBytes: number | undefined;
  /** Why turns failed; empty: none did. */
  readonly failures: readonly string[];
}

export interface Standings {
  readonly subscribers: number;
  readonly bursts: readonly number[];
  readonly peers: readonly Standing[];
  /** Turns that there should have been and were not begun. */
  readonly missing: number;
}

/** What all turns with that many subscribers came to, in the order of the peers. */
export function standings(
  subscribers: number,
  bursts: readonly number[],
  peers: readonly Peer[],
  entries: readonly Entry[],
  rounds: number,
): Standings {
  const here = entries.filter((entry) => entry.subscribers === subscribers);
  const limits = new Map(
    here.flatMap(({ peer, round, outcome }) =>
      peer.name === LIMIT && outcome.kind === "seen" ? [[round, outcome.seen] as const] : [],
    ),
  );
  return {
    subscribers,
    bursts,
    missing: peers.length * rounds - here.length,
    peers: peers.map((peer) => {
      const own = here.filter((entry) => entry.peer === peer);
      const seen = own.flatMap(({ round, outcome }) =>
        outcome.kind === "seen" ? [{ round, seen: outcome.seen }] : [],
      );
      const failures = own.flatMap(({ outcome }) => (outcome.kind === "failed" ? [outcome.why] : []));
      return {
        peer,
        rounds: seen.length,
        costs: seen.length === 0 ? [] : bursts.map((burst) => costOf(burst, seen, limits)),
        bytesEach: seen.length === 0 ? undefined : summarize(seen.map((one) => one.seen.bytesEach)),
        emptyBytes: seen.length === 0 ? undefined : summarize(seen.map((one) => one.seen.emptyBytes)).median,
        failures: [...new Set(failures)],
      };
    }),
  };
}

function costOf(
  burst: number,
  turns: readonly { round: number; seen: BoutSeen }[],
  limits: ReadonlyMap<number, BoutSeen>,
): Cost {
  const works = turns.map(({ seen }) => workOf(seen, burst));
  const middle = (pick: (work: WorkSeen) => number): number => summarize(works.map(pick)).median;
  const ratios = turns.flatMap(({ round, seen }) => {
    const limit = limits.get(round);
    return limit === undefined ? [] : [workOf(seen, burst).cpuMicros / workOf(limit, burst).cpuMicros];
  });
  const lasts = works.flatMap(({ lastMicros }) => (lastMicros === undefined ? [] : [lastMicros]));
  return {
    burst,
    cpuMicros: summarize(works.map(({ cpuMicros }) => cpuMicros)),
    ratio: ratios.length === 0 ? undefined : summarize(ratios),
    p50Micros: middle(({ p50Micros }) => p50Micros),
    p99Micros: middle(({ p99Micros }) => p99Micros),
    clientBusy: Math.max(...works.map(({ clientBusy }) => clientBusy)),
    readsPerDelivery: middle(({ readsPerDelivery }) => readsPerDelivery),
    lastMicros: lasts.length === 0 ? undefined : summarize(lasts).median,
  };
}

function workOf(seen: BoutSeen, burst: number): WorkSeen {
  const work = seen.works.find((candidate) => candidate.burst === burst);
  if (work === undefined) throw new Error(`a turn without bursts of ${burst}`);
  return work;
}

interface TableOptions {
  readonly bytes: number;
  readonly rounds: number;
  readonly seconds: number;
  readonly "deliveries-per-second": number;
}

export function tablesOf({ subscribers, bursts, peers, missing }: Standings, options: TableOptions): Table {
  const largest = Math.max(...bursts);
  const failed = peers.filter(({ failures }) => failures.length > 0);
  return {
    title: `Peers: ${digits(subscribers)} subscribers, ${options.bytes} bytes; server CPU µs a delivery, ×: to the limit`,
    columns: [
      "server",
      ...bursts.flatMap((burst) => [burst === 1 ? "one at a time" : `burst of ${burst}`, "×"]),
      `1,000 deliveries/CPU s, bursts of ${largest}`,
      ...(bursts.includes(1) ? ["p50 ms", "p99 ms"] : []),
      "RSS KiB each",
    ],
    rows: peers.map((standing) => row(standing, bursts, largest)),
    notes: [
      `Medians of ${options.rounds} turns, the servers one after the other in each round (± half the quartile distance); single messages at ${digits(options["deliveries-per-second"])} deliveries/s, latency from the time a message was due; bursts each when all have the one before.`,
      "CPU of all of a server's processes, what it takes to get the messages in included. About half of a send over loopback is the receiver's half of TCP, for every server.",
      "Every message was checked by its number on every connection of every server: none missing, doubled or out of order where there is a number.",
      ...failed.map(
        ({ peer, failures, rounds }) =>
          `${peer.name}${rounds > 0 ? " in part" : ""}: ${failures.join(" | ")}`,
      ),
    ],
    invalid: peers.flatMap((standing) => busyNotes(standing)),
    incomplete: incompleteOf(missing, failed),
    raw: peers.map(({ peer, ...standing }) => ({ name: peer.name, label: peer.label, ...standing })),
  };
}

function incompleteOf(missing: number, failed: readonly Standing[]): string | undefined {
  const names = failed.map(({ peer }) => peer.name).join(", ");
  const parts = [
    ...(missing > 0 ? [`${missing} turns were not begun in time; run it again to go on`] : []),
    ...(failed.length > 0 ? [`turns failed of ${names}, as the notes say`] : []),
  ];
  return parts.length === 0 ? undefined : parts.join("; ");
}

function row(
  { peer, costs, bytesEach, failures }: Standing,
  bursts: readonly number[],
  largest: number,
): string[] {
  const of = (burst: number): Cost | undefined => costs.find((cost) => cost.burst === burst);
  const single = bursts.includes(1) ? of(1) : undefined;
  const none = failures.length > 0 ? "failed" : "–";
  const top = of(largest);
  return [
    peer.label,
    ...bursts.flatMap((burst) => {
      const cost = of(burst);
      return [
        cost === undefined ? none : `${digits(cost.cpuMicros.median)} ± ${percent(cost.cpuMicros.spread)}`,
        cost?.ratio === undefined ? "–" : digits(cost.ratio.median),
      ];
    }),
    top === undefined ? "–" : digits(1_000 / top.cpuMicros.median),
    ...(bursts.includes(1)
      ? [digits((single?.p50Micros ?? Number.NaN) / 1_000), digits((single?.p99Micros ?? Number.NaN) / 1_000)]
      : []),
    bytesEach === undefined ? "–" : digits(bytesEach.median / 1_024),
  ];
}

/** Single messages have a schedule: a client that cannot keep up makes their latency its own. */
function busyNotes({ peer, costs }: Standing): string[] {
  return costs
    .filter(({ burst }) => burst === 1)
    .flatMap(({ clientBusy }) => busyClient(clientBusy))
    .map((what) => `${peer.name}, one at a time: ${what}`);
}
