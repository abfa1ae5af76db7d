import { Histogram } from "../support/histogram.js";
import type { Plot, Series } from "../support/plot.js";
import { type CpuTime, coreShare } from "../support/proc.js";
import type { AudiencePhase } from "./audience-protocol.js";

/** What an audience saw of one delivery class, and what the server worked for it. */
export interface MeasuredClass {
  readonly rate: string;
  readonly phase: AudiencePhase;
  /** undefined: of an engine elsewhere nobody knows. */
  readonly cpu: CpuTime | undefined;
}

/** A value of every class each. */
export interface ClassBars {
  /** What the plots of all these have in common. */
  readonly common: Pick<Plot, "kind" | "x" | "places">;
  /** Of a client, a second. */
  readonly messages: Series;
  readonly frames: Series;
  /** KB. */
  readonly bytes: Series;
  /** Percent of a core. */
  readonly cpu: Series;
  /** Median and 99th percentile, in milliseconds. */
  readonly ages: readonly Series[];
}

export function classBars(all: readonly MeasuredClass[], clients: number): ClassBars {
  const each = (name: string, value: (measured: MeasuredClass) => number | undefined) => ({
    name,
    values: all.map(value),
  });
  const perSecond = (total: (phase: AudiencePhase) => number) => (measured: MeasuredClass) =>
    total(measured.phase) / measured.phase.seconds / clients;
  const cpuPercent = ({ cpu, phase }: MeasuredClass): number | undefined => {
    const share = coreShare(cpu, phase.seconds);
    return share === undefined ? undefined : share * 100;
  };
  const ages = (share: number) => (measured: MeasuredClass) =>
    Histogram.from(measured.phase.ageMicros).quantile(share) / 1_000;
  return {
    common: {
      kind: "bars",
      x: "delivery class, messages a second and key",
      places: all.map(({ rate }) => rate),
    },
    messages: each(
      "messages",
      perSecond(({ messages }) => messages),
    ),
    frames: each(
      "frames",
      perSecond(({ frames }) => frames),
    ),
    bytes: each(
      "bytes",
      perSecond(({ bytes }) => bytes / 1_000),
    ),
    cpu: each("CPU", cpuPercent),
    ages: [each("p50", ages(0.5)), each("p99", ages(0.99))],
  };
}
