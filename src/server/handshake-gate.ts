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

/** How often {@link HandshakeGate.probe} is to be called while handshakes come. */
export const PROBE_MS = 50;
/** So long after the last handshake nobody wants to know how late the loop is: waking an idle process costs it 0.2 ms. */
const REST_MS = 1_000;

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
  readonly #watch: () => void;
  readonly #burst: number;
  #tokens: number;
  #filledMs: number;
  /** Undefined while nobody comes. */
  #probeDueMs: number | undefined;
  #lagMs = 0;
  #askedMs = Number.NEGATIVE_INFINITY;
  /** When the last of those sent away is expected. */
  #queueEndMs = 0;

  /**
   * @param random From 0 up to 1.
   * @param watch Asks for {@link HandshakeGate.probe} every {@link PROBE_MS} from now on, until that returns false.
   */
  constructor(limits: HandshakeLimits, nowMs: number, random: () => number, watch: () => void) {
    this.#limits = limits;
    this.#random = random;
    this.#watch = watch;
    this.#burst = Math.max(1, limits.handshakesPerSecond * BURST_SECONDS);
    this.#tokens = this.#burst;
    this.#filledMs = nowMs;
  }

  /** Call it from a timer every {@link PROBE_MS}: how late it comes is how late the loop is. False: not again, nobody comes. */
  probe(nowMs: number): boolean {
    if (nowMs - this.#askedMs >= REST_MS) {
      this.#probeDueMs = undefined;
      return false;
    }
    this.#lagMs = Math.max(0, nowMs - (this.#probeDueMs ?? nowMs));
    this.#probeDueMs = nowMs + PROBE_MS;
    return true;
  }

  /** One handshake that is valid otherwise. */
  decide(nowMs: number): GateVerdict {
    const { handshakesPerSecond, handshakeLagMs } = this.#limits;
    if (this.#lagOf(nowMs) > handshakeLagMs) return { kind: "lag", retryMs: this.#queue(nowMs) };
    const refill = ((nowMs - this.#filledMs) * handshakesPerSecond) / 1_000;
    this.#tokens = Math.min(this.#burst, this.#tokens + refill);
    this.#filledMs = nowMs;
    if (this.#tokens < 1) return { kind: "rate", retryMs: this.#queue(nowMs) };
    this.#tokens -= 1;
    return ADMIT;
  }

  #lagOf(nowMs: number): number {
    this.#askedMs = nowMs;
    // What goes on now has not been seen by a probe yet.
    if (this.#probeDueMs !== undefined) return Math.max(this.#lagMs, nowMs - this.#probeDueMs);
    // The first for a while: one more is nothing to a loop that is late, and of the next ones it is known.
    this.#lagMs = 0;
    this.#probeDueMs = nowMs + PROBE_MS;
    this.#watch();
    return 0;
  }

  /** A place behind those sent away before, and half a second to a second and a half on top. */
  #queue(nowMs: number): number {
    const endMs = Math.min(nowMs + RETRY_MS_MAX, Math.max(nowMs, this.#queueEndMs));
    this.#queueEndMs = endMs + 1_000 / this.#limits.handshakesPerSecond;
    return Math.min(RETRY_MS_MAX, Math.round(endMs - nowMs + 500 + this.#random() * 1_000));
  }
}
