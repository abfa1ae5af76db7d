import { CodedError } from "../protocol/errors.js";
import type { GatewayCounters } from "./gateway-limits.js";
import type { Caller } from "./http-auth.js";
import { RateBook } from "./rate-book.js";

export interface CallerLimits {
  /** Writing requests of HTTP a second with one API key. 0: any number. */
  readonly httpRequestsPerSecondPerKey: number;
  /** Requests of HTTP a second with tokens of one subject. 0: any number. */
  readonly httpRequestsPerSecondPerSub: number;
}

const SWEEP_MS = 1_000;

type CallerCounters = Pick<GatewayCounters, "httpOverKey" | "httpOverSub">;

/** Holds each API key and each subject of tokens to its rate over HTTP. Asked about callers whose key or token is good. */
export class CallerRates {
  readonly #limits: CallerLimits;
  readonly #counters: CallerCounters;
  readonly #keys: RateBook<string>;
  readonly #subs: RateBook<string>;
  #sweptMs = 0;

  constructor(limits: CallerLimits, counters: CallerCounters) {
    this.#limits = limits;
    this.#counters = counters;
    this.#keys = new RateBook(limits.httpRequestsPerSecondPerKey);
    this.#subs = new RateBook(limits.httpRequestsPerSecondPerSub);
  }

  /** @throws CodedError `rate_limited` */
  check(
    { apiKey, access: { sub } }: Pick<Caller, "apiKey" | "access">,
    writes: boolean,
    nowMs: number,
  ): void {
    this.#sweep(nowMs);
    const { httpRequestsPerSecondPerKey, httpRequestsPerSecondPerSub } = this.#limits;
    const keyMs = apiKey === undefined || !writes ? 0 : this.#keys.take(apiKey, nowMs);
    if (keyMs > 0) {
      this.#counters.httpOverKey += 1;
      const text = `an API key may make ${httpRequestsPerSecondPerKey} writing requests a second here`;
      throw new CodedError("rate_limited", text, keyMs);
    }
    const subMs = sub === undefined ? 0 : this.#subs.take(sub, nowMs);
    if (subMs > 0) {
      this.#counters.httpOverSub += 1;
      const text = `tokens of a subject may make ${httpRequestsPerSecondPerSub} HTTP requests a second here`;
      throw new CodedError("rate_limited", text, subMs);
    }
  }

  /** Forgets those that have used up nothing, about once a second. */
  #sweep(nowMs: number): void {
    if (nowMs - this.#sweptMs < SWEEP_MS) return;
    this.#sweptMs = nowMs;
    this.#subs.sweep(nowMs);
  }
}
