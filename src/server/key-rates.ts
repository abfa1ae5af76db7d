import { CodedError } from "../protocol/errors.js";
import type { GatewayCounters } from "./gateway-limits.js";
import { RateBook } from "./rate-book.js";

/** Holds each API key to its rate. Only to be asked about keys that are valid: so there are no more entries than keys. */
export class KeyRates {
  readonly #perSecond: number;
  readonly #counters: Pick<GatewayCounters, "httpOverKey">;
  readonly #book: RateBook<string>;

  /** @param perSecond 0: any number */
  constructor(perSecond: number, counters: Pick<GatewayCounters, "httpOverKey">) {
    this.#perSecond = perSecond;
    this.#counters = counters;
    this.#book = new RateBook(perSecond);
  }

  /** @param authorization The header, of a valid key; without one nothing is counted. @throws CodedError `rate_limited` */
  check(authorization: string | undefined, nowMs: number): void {
    const key = /(\S+)\s*$/.exec(authorization ?? "")?.[1];
    if (key === undefined) return;
    const waitMs = this.#book.take(key, nowMs);
    if (waitMs === 0) return;
    this.#counters.httpOverKey += 1;
    const text = `an API key may make ${this.#perSecond} writing requests a second here`;
    throw new CodedError("rate_limited", text, waitMs);
  }
}
