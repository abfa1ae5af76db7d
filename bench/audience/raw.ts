import { Histogram } from "../support/histogram.js";
import type { AudiencePhase } from "./audience-protocol.js";

/** A measurement for the result's file: its phase unrounded, of the ages what people ask for. */
export function rawOf<T extends { readonly phase: AudiencePhase }>({
  phase: { ageMicros, ...phase },
  ...rest
}: T): object {
  const age = Histogram.from(ageMicros);
  return {
    ...rest,
    ...phase,
    ageMicros: { p50: age.quantile(0.5), p99: age.quantile(0.99), max: age.max },
  };
}
