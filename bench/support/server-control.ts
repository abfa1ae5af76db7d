import { type IntervalHistogram, monitorEventLoopDelay, PerformanceObserver } from "node:perf_hooks";
import { getHeapSpaceStatistics } from "node:v8";
import { answerParent, tellParent } from "./child.js";

/** What a bench asks of a server under test, besides what every client may. */
export type ServerRequest =
  | { readonly kind: "collect" }
  /** Begins to measure how late the event loop is, and how long garbage is collected. */
  | { readonly kind: "watch-stalls" }
  /** Ends it. */
  | { readonly kind: "tell-stalls" };

export type ServerReply =
  | { readonly kind: "ready"; readonly port: number }
  | { readonly kind: "watching" }
  /**
   * Times between two turns of the event loop as a timer of 1 ms sees them: an idle loop has about 1 ms. What counts are
   * turns, so a share of p99 is the share of turns, not of time.
   */
  | {
      readonly kind: "stalls";
      readonly turns: number;
      readonly p50Ms: number;
      readonly p99Ms: number;
      readonly maxMs: number;
      /** Collections of garbage, and for how long they kept everything else waiting. */
      readonly collections: number;
      readonly collectingMs: number;
    }
  /** Garbage is collected, as far as the process runs with --expose-gc. */
  | {
      readonly kind: "collected";
      /** Objects that are kept. */
      readonly heapUsedBytes: number;
      /** What V8 holds for new objects: it grows with the rate of allocation to a fixed limit, not with connections. */
      readonly youngBytes: number;
    };

const RESOLUTION_MS = 1;
const NANOS_PER_MS = 1_000_000;

/** Tells the parent that the server listens, and ends the process when the parent is gone. */
export function serveControl(port: number): void {
  const stalls = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  const garbage = new Garbage();
  answerParent<ServerRequest, ServerReply>(
    async ({ kind }) => {
      switch (kind) {
        case "collect":
          return collect();
        case "watch-stalls":
          stalls.reset();
          stalls.enable();
          garbage.watch();
          return { kind: "watching" };
        case "tell-stalls":
          stalls.disable();
          return stallsIn(stalls, garbage.told());
      }
    },
    () => process.exit(0),
  );
  tellParent({ kind: "ready", port } satisfies ServerReply);
}

function collect(): ServerReply {
  // Finalizers of one round free what only the next can collect.
  for (let round = 0; round < 3; round++) globalThis.gc?.();
  const young = getHeapSpaceStatistics().find((space) => space.space_name === "new_space");
  return {
    kind: "collected",
    heapUsedBytes: process.memoryUsage().heapUsed,
    youngBytes: young?.physical_space_size ?? 0,
  };
}

interface Collected {
  readonly collections: number;
  readonly collectingMs: number;
}

/** Time that V8 takes to collect garbage, as far as it stops the program. */
class Garbage {
  #collections = 0;
  #ms = 0;
  readonly #observer = new PerformanceObserver((list) => this.#take(list.getEntries()));

  watch(): void {
    this.#collections = this.#ms = 0;
    this.#observer.observe({ entryTypes: ["gc"] });
  }

  told(): Collected {
    this.#take(this.#observer.takeRecords());
    this.#observer.disconnect();
    return { collections: this.#collections, collectingMs: this.#ms };
  }

  #take(entries: readonly { readonly duration: number }[]): void {
    for (const { duration } of entries) {
      this.#collections += 1;
      this.#ms += duration;
    }
  }
}

function stallsIn(histogram: IntervalHistogram, collected: Collected): ServerReply {
  return {
    kind: "stalls",
    turns: histogram.count,
    p50Ms: histogram.percentile(50) / NANOS_PER_MS,
    p99Ms: histogram.percentile(99) / NANOS_PER_MS,
    maxMs: histogram.max / NANOS_PER_MS,
    ...collected,
  };
}
