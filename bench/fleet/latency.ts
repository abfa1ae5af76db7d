import { Histogram, type HistogramData } from "../support/histogram.js";
import { digits } from "../support/report.js";

/** "p50 / p99 / p99.9 ms" of latencies in microseconds. */
export function describeMs(data: HistogramData): string {
  const latency = Histogram.from(data);
  return `${[0.5, 0.99, 0.999].map((share) => millis(latency.quantile(share))).join(" / ")} ms`;
}

export function millis(micros: number): string {
  return digits(micros / 1_000);
}
