import { addHistograms, BUCKETS_MS, type HistogramReport } from "../core/histogram.js";
import type { ServerTelemetry } from "../server/server.js";

type Histograms = Readonly<Record<string, HistogramReport>>;

/** What all workers of a node measured together; they only grow. */
export interface NodeTelemetry {
  /** See `TelemetryReport` of the core. */
  readonly latency: Histograms;
  readonly staleness: Histograms;
  /** By what the broker was asked. */
  readonly broker: Histograms;
  readonly early: number;
}

export const NO_TELEMETRY: NodeTelemetry = Object.freeze({
  latency: {},
  staleness: {},
  broker: {},
  early: 0,
});

/** Both together. A worker of another build may not tell, or by other buckets: then nothing is added. */
export function addTelemetry(sum: NodeTelemetry, one: Partial<ServerTelemetry> | undefined): NodeTelemetry {
  if (one === undefined) return sum;
  const { latency = {}, staleness = {}, broker = {}, early = 0 } = one;
  return {
    latency: added(sum.latency, latency),
    staleness: added(sum.staleness, staleness),
    broker: added(sum.broker, broker),
    early: sum.early + early,
  };
}

function added(a: Histograms, b: Histograms): Histograms {
  const sums = new Map(Object.entries(a));
  for (const [label, histogram] of Object.entries(b)) {
    if (histogram.counts.length !== BUCKETS_MS.length + 1) continue;
    const before = sums.get(label);
    sums.set(label, before === undefined ? histogram : addHistograms(before, histogram));
  }
  return Object.fromEntries(sums);
}
