import { CodedError } from "../protocol/errors.js";
import type { RoomName } from "../protocol/room-name.js";
import type { RoomPattern } from "../protocol/room-pattern.js";
import type { Counters } from "./counters.js";
import type { Limits } from "./limits.js";
import type { PatternFlow } from "./pattern-flow.js";
import { PatternIndex } from "./pattern-index.js";
import type { Broker, Watcher } from "./ports.js";

/** A pattern that this process watches, or is about to. */
export interface Watch {
  readonly pattern: RoomPattern;
  /** That have this pattern. */
  readonly flows: Set<PatternFlow>;
  /** Undefined once the broker has agreed. */
  opening: Promise<void> | undefined;
  users: number;
  /** When the last user left. */
  emptySinceMs: number;
}

/**
 * The patterns that this process watches at the broker: from the first who wants one to some time after the last, so
 * that a reconnect costs the broker nothing.
 */
export class PatternWatches {
  readonly #broker: Broker;
  readonly #watcher: Watcher;
  readonly #limits: Limits;
  readonly #counters: Counters;
  readonly #onWatched: (watch: Watch) => void;
  readonly #index = new PatternIndex<Watch>();
  /** Those without users, the longest empty first. */
  readonly #empty = new Map<RoomPattern, Watch>();

  /** `onWatched`: told of each when the broker has agreed, before anybody who waits for that. */
  constructor(
    broker: Broker,
    watcher: Watcher,
    limits: Limits,
    counters: Counters,
    onWatched: (watch: Watch) => void,
  ) {
    this.#broker = broker;
    this.#watcher = watcher;
    this.#limits = limits;
    this.#counters = counters;
    this.#onWatched = onWatched;
  }

  all(): Watch[] {
    return Array.from(this.#index.entries(), ([, watch]) => watch);
  }

  find(pattern: RoomPattern): Watch | undefined {
    return this.#index.get(pattern);
  }

  matching(room: RoomName): readonly Watch[] {
    return this.#index.match(room);
  }

  /**
   * Takes a place, to be given back with {@link PatternWatches.release}. Where `opening` rejects nothing is watched, and
   * the place is void. @throws CodedError `unavailable` at the bound of watched patterns.
   */
  acquire(pattern: RoomPattern): Watch {
    const watch = this.#index.get(pattern) ?? this.#open(pattern);
    watch.users += 1;
    this.#empty.delete(pattern);
    return watch;
  }

  release(watch: Watch, nowMs: number): void {
    watch.users -= 1;
    if (watch.users > 0 || this.#index.get(watch.pattern) !== watch) return;
    watch.emptySinceMs = nowMs;
    this.#empty.set(watch.pattern, watch);
  }

  /** Gives up patterns that nobody has had for long enough. */
  sweep(nowMs: number): void {
    for (const watch of this.#empty.values()) {
      if (nowMs - watch.emptySinceMs < this.#limits.roomLingerMs) break;
      this.#close(watch);
    }
  }

  #open(pattern: RoomPattern): Watch {
    const { openPatterns, roomLingerMs } = this.#limits;
    if (this.#index.size >= openPatterns && !this.#closeLongestEmpty()) {
      this.#counters.openPatternsRefused += 1;
      const text = `this server watches ${openPatterns} patterns, its limit`;
      throw new CodedError("unavailable", text, roomLingerMs);
    }
    const watch: Watch = { pattern, flows: new Set(), opening: undefined, users: 0, emptySinceMs: 0 };
    watch.opening = this.#broker.watch(pattern, this.#watcher).then(
      () => {
        watch.opening = undefined;
        this.#onWatched(watch);
      },
      (cause: unknown) => {
        this.#forget(watch);
        throw cause;
      },
    );
    this.#index.set(pattern, watch);
    return watch;
  }

  /** Unless it is still being opened. */
  #close(watch: Watch): boolean {
    if (watch.opening !== undefined) return false;
    this.#forget(watch);
    this.#broker.unwatch(watch.pattern);
    return true;
  }

  #closeLongestEmpty(): boolean {
    for (const watch of this.#empty.values()) if (this.#close(watch)) return true;
    return false;
  }

  #forget(watch: Watch): void {
    const { pattern } = watch;
    this.#empty.delete(pattern);
    this.#index.delete(pattern);
  }
}
