import type { Pointer } from "./parse.js";

/** A visitor who has said nothing for this long has gone, even if nobody heard a goodbye. */
export const GONE_MS = 6_000;
/** More would hide the page; the one heard of longest ago makes room. */
const CURSORS_MAX = 64;

export interface Cursor {
  readonly id: string;
  pointer: Pointer;
  /** When this visitor was heard of last. */
  heardMs: number;
}

/** Everybody else's pointers. */
export class Cursors {
  readonly #cursors = new Map<string, Cursor>();

  get size(): number {
    return this.#cursors.size;
  }

  all(): Iterable<Cursor> {
    return this.#cursors.values();
  }

  apply(id: string, pointer: Pointer, nowMs: number): void {
    // Deleted first, so that the map stays in the order in which they were heard of.
    this.#cursors.delete(id);
    if (pointer.at === "") return;
    this.#cursors.set(id, { id, pointer, heardMs: nowMs });
    if (this.#cursors.size <= CURSORS_MAX) return;
    for (const oldest of this.#cursors.keys()) {
      this.#cursors.delete(oldest);
      break;
    }
  }

  /** Takes out who has gone. */
  expire(nowMs: number): void {
    for (const [id, cursor] of this.#cursors) if (nowMs - cursor.heardMs > GONE_MS) this.#cursors.delete(id);
  }
}

/** Lets through what is newest, at most once an interval; the last one always comes through. */
export class Throttle<T> {
  readonly #intervalMs: number;
  readonly #emit: (value: T) => void;
  #lastMs = Number.NEGATIVE_INFINITY;
  #waiting: { readonly value: T; readonly timer: ReturnType<typeof setTimeout> } | undefined;

  constructor(intervalMs: number, emit: (value: T) => void) {
    this.#intervalMs = intervalMs;
    this.#emit = emit;
  }

  push(value: T, nowMs: number): void {
    const waitMs = this.#lastMs + this.#intervalMs - nowMs;
    const timer = this.#waiting?.timer;
    if (timer !== undefined) this.#waiting = { value, timer };
    else if (waitMs <= 0) this.#send(value, nowMs);
    else this.#waiting = { value, timer: setTimeout(() => this.#flush(), waitMs) };
  }

  /** Forgets the value that waits. */
  clear(): void {
    clearTimeout(this.#waiting?.timer);
    this.#waiting = undefined;
  }

  #flush(): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting !== undefined) this.#send(waiting.value, performance.now());
  }

  #send(value: T, nowMs: number): void {
    this.#lastMs = nowMs;
    this.#emit(value);
  }
}
