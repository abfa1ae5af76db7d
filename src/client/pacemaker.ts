import type { Input } from "./effect.js";

/** Feeds a connection with time and, in a browser, with what is known about network and page. */
export class Pacemaker {
  readonly #step: (input: Input) => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #watched: AbortController | undefined;

  constructor(step: (input: Input) => void) {
    this.#step = step;
  }

  /** One `tick` at that time instead of the one asked for before; at the end of this turn where it has come. */
  wakeAt(atMs: number): void {
    clearTimeout(this.#timer);
    const delayMs = atMs - performance.now();
    if (delayMs <= 0) queueMicrotask(() => this.#step({ kind: "tick" }));
    // Timers take 31 bits; a tick too soon does no harm.
    else if (Number.isFinite(delayMs))
      this.#timer = setTimeout(() => this.#step({ kind: "tick" }), Math.min(delayMs, 2 ** 31 - 1));
  }

  /** Listens to the window, where there is one. Idempotent. */
  watch(): void {
    if (this.#watched !== undefined) return;
    this.#watched = new AbortController();
    const { signal } = this.#watched;
    // A worker has a network but no page, Node neither.
    if (typeof addEventListener === "function") {
      addEventListener("online", () => this.#step({ kind: "online" }), { signal });
      addEventListener("offline", () => this.#step({ kind: "offline" }), { signal });
    }
    if (typeof document === "undefined") return;
    const visibility = (): void => this.#step({ kind: document.hidden ? "hidden" : "visible" });
    document.addEventListener("visibilitychange", visibility, { signal });
    visibility();
  }

  /** Stops listening to the window. */
  unwatch(): void {
    this.#watched?.abort();
    this.#watched = undefined;
  }
}
