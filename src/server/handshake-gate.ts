/** What handshakes may cost the sockets that are open already. */
export interface HandshakeLimits {
  /** Handshakes a second, for good; {@link BURST_SECONDS} of them may come at once. */
  readonly handshakesPerSecond: number;
  /** While the event loop is later than this, none is taken. */
  readonly handshakeLagMs: number;
}

/**
 * What follows a handshake (welcome, subscribe, replay) comes in the same turns of the loop as what is live, so a storm is
 * let in by the quarter of a second: 500 at the default rate, which one worker takes in about 60 ms.
 */
const BURST_SECONDS = 0.25;

/** How often {@link HandshakeGate.probe} is to be called. */
export const PROBE_MS = 50;

/** Nobody is sent away for longer. */
const RETRY_MS_MAX = 30_000;

export type GateVerdict =
  | { readonly kind: "admit" }
  /** Too many at once, or the loop is late. */
  | { readonly kind: "rate" | "lag"; readonly retryMs: number };

const ADMIT: GateVerdict = Object.freeze({ kind: "admit" });

/**
 * Decides which handshakes of a storm are taken now, so that those who are connected are served meanwhile. Whoever is
 * refused is told when: refusals queue up virtually at the rate allowed, with jitter, so that they come back in an even
 * stream and not together. Pure: times are of any monotonic clock, in milliseconds.
 */
export class HandshakeGate {
  readonly #limits: HandshakeLimits;
  readonly #random: () => number;
  readonly #burst: number;
  #tokens: number;
  #filledMs: number;
  #probeDueMs: number;
  #lagMs = 0;
  /** When the last of those sent away is expected. */
  #queueEndMs = 0;

  /** @param random From 0 up to 1. */
  constructor(limits: HandshakeLimits, nowMs: number, random: () => number) {
    this.#limits = limits;
    this.#random = random;
    this.#burst = Math.max(1, limits.handshakesPerSecond * BURST_SECONDS);
    this.#tokens = this.#burst;
    this.#filledMs = nowMs;
    this.#probeDueMs = nowMs + PROBE_MS;
  }

  /** Call it from a timer every {@link PROBE_MS}: how late it comes is how late the loop is. */
  probe(nowMs: number): void {
    this.#lagMs = Math.max(0, nowMs - this.#probeDueMs);
    this.#probeDueMs = nowMs + PROBE_MS;
  }

  /** One handshake that is valid otherwise. */
  decide(nowMs: number): GateVerdict {
    const { handshakesPerSecond, handshakeLagMs } = this.#limits;
    // What goes on now has not been seen by a probe yet.
    const lagMs = Math.max(this.#lagMs, nowMs - this.#probeDueMs);
    if (lagMs > handshakeLagMs) return { kind: "lag", retryMs: this.#queue(nowMs) };
    const refill = ((nowMs - this.#filledMs) * handshakesPerSecond) / 1_000;
    this.#tokens = Math.min(this.#burst, this.#tokens + refill);
    this.#filledMs = nowMs;
    if (this.#tokens < 1) return { kind: "rate", retryMs: this.#queue(nowMs) };
    this.#tokens -= 1;
    return ADMIT;
  }

  /** A place behind those sent away before, and half a second to a second and a half on top. */
  #queue(nowMs: number): number {
    const endMs = Math.min(nowMs + RETRY_MS_MAX, Math.max(nowMs, this.#queueEndMs));
    this.#queueEndMs = endMs + 1_000 / this.#limits.handshakesPerSecond;
    return Math.min(RETRY_MS_MAX, Math.round(endMs - nowMs + 500 + this.#random() * 1_000));
  }
}
