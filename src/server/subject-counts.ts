import { CodedError } from "../protocol/errors.js";
import type { GatewayCounters } from "./gateway-limits.js";
import { Tally } from "./tally.js";

/** Whoever has all connections of a subject waits for one of them to close; soon enough for who comes back after a crash. */
const FULL_RETRY_MS = 5_000;
const JITTER_MS = 1_000;

/** Holds each subject of tokens to so many connections of a worker, however it came by them. */
export class SubjectCounts {
  readonly #most: number;
  readonly #counters: Pick<GatewayCounters, "connectionsOverSub">;
  readonly #open = new Tally<string>();

  /** @param most 0: any number */
  constructor(most: number, counters: Pick<GatewayCounters, "connectionsOverSub">) {
    this.#most = most;
    this.#counters = counters;
  }

  /** Subjects that have a connection. */
  get size(): number {
    return this.#open.size;
  }

  /** A connection of a subject, counted from here on; why not where it has too many. */
  enter(sub: string): CodedError | undefined {
    if (this.#most > 0 && this.#open.of(sub) >= this.#most) {
      this.#counters.connectionsOverSub += 1;
      const retryMs = Math.round(FULL_RETRY_MS + Math.random() * JITTER_MS);
      const text = `a subject may have ${this.#most} connections at once here`;
      return new CodedError("rate_limited", text, retryMs);
    }
    this.#open.opened(sub);
    return undefined;
  }

  left(sub: string): void {
    this.#open.closed(sub);
  }
}
