import { AggregatorRegistry, type Registry } from "prom-client";
import { BUCKETS_MS, type HistogramReport } from "../core/histogram.js";

/** One histogram metric: what was measured, by the one label that it has besides `le`. */
export interface HistogramFamily {
  readonly name: `${string}_seconds`;
  readonly help: string;
  readonly label: string;
  readonly histograms: Readonly<Record<string, HistogramReport>>;
}

interface Value {
  readonly metricName: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

/** Histograms as prom-client prints them, in seconds; it has no other way to take in what was counted elsewhere. */
export function histogramRegistry(families: readonly HistogramFamily[]): Registry {
  const metrics = families.map(({ name, help, label, histograms }) => ({
    name,
    help,
    type: "histogram",
    aggregator: "sum",
    values: Object.entries(histograms).flatMap(([value, report]) =>
      valuesOf(name, { [label]: value }, report),
    ),
  }));
  return AggregatorRegistry.aggregate([metrics]);
}

function valuesOf(name: string, labels: Value["labels"], { counts, sumMs }: HistogramReport): Value[] {
  let below = 0;
  const buckets = counts.map((count, bucket): Value => {
    below += count;
    const boundMs = BUCKETS_MS[bucket];
    const le = boundMs === undefined ? "+Inf" : boundMs / 1_000;
    return { metricName: `${name}_bucket`, labels: { ...labels, le }, value: below };
  });
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels, value: sumMs / 1_000 },
    { metricName: `${name}_count`, labels, value: below },
  ];
}
