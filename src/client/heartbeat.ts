/** Below this a server's `pingMs` is taken for a mistake. */
const PING_MS_MIN = 50;

/** When to ping an open connection, and when to give it up for dead. Any byte heard is a sign of life. */
export class Heartbeat {
  readonly #random: () => number;
  readonly #intervalMs: number;
  readonly #deadMs: number;
  #pingAtMs: number;
  /** The oldest ping since which nothing was heard. */
  #silentSinceMs: number | undefined;
  /** The ping under way, for the round trip. */
  #ref = 0;
  #sentMs = 0;

  constructor(nowMs: number, intervalMs: number, deadMs: number, random: () => number) {
    this.#random = random;
    this.#intervalMs = Math.max(PING_MS_MIN, intervalMs);
    this.#deadMs = deadMs;
    // The first one soon, for its round trip; spread out, since a crowd connects at once.
    this.#pingAtMs = nowMs + random() * Math.min(1_000, this.#intervalMs);
  }

  heard(): void {
    this.#silentSinceMs = undefined;
  }

  /** Ping as soon as possible: there is reason to doubt the connection. */
  probe(nowMs: number): void {
    this.#pingAtMs = nowMs;
  }

  due(nowMs: number): "dead" | "ping" | undefined {
    if (this.#silentSinceMs !== undefined && nowMs >= this.#silentSinceMs + this.#deadMs) return "dead";
    return nowMs >= this.#pingAtMs ? "ping" : undefined;
  }

  pinged(ref: number, nowMs: number): void {
    this.#ref = ref;
    this.#sentMs = nowMs;
    this.#silentSinceMs ??= nowMs;
    // Jittered, and below what the server asks for.
    this.#pingAtMs = nowMs + this.#intervalMs * (0.5 + 0.4 * this.#random());
  }

  /** The round trip, where the ref is that of the ping under way. */
  ponged(ref: number, nowMs: number): number | undefined {
    if (ref !== this.#ref) return undefined;
    this.#ref = 0;
    return nowMs - this.#sentMs;
  }

  get nextDueMs(): number {
    const deadAtMs =
      this.#silentSinceMs === undefined ? Number.POSITIVE_INFINITY : this.#silentSinceMs + this.#deadMs;
    return Math.min(this.#pingAtMs, deadAtMs);
  }
}
