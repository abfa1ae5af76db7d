import { PatternIndex } from "../../core/pattern-index.js";
import type { LostWhere, Watcher } from "../../core/ports.js";
import { CodedError } from "../../protocol/errors.js";
import type { Message } from "../../protocol/message.js";
import type { RoomName } from "../../protocol/room-name.js";
import type { RoomPattern } from "../../protocol/room-pattern.js";
import type { HubLinkCounters } from "./hub-counters.js";
import { AWAY_RETRY_MS, type HubLimits } from "./hub-limits.js";
import type { WorkerRecord } from "./record.js";

/** What the patterns of a link need of it. */
export interface LinkWatchOwner {
  readonly counters: HubLinkCounters;
  readonly limits: HubLimits;
  /** Sends to the hub. Nothing happens where the link is down. */
  send(record: WorkerRecord): void;
  nextRef(): number;
  /** Told what the watcher threw. */
  fault(cause: unknown): void;
}

/** Somebody waits for a pattern to be watched. */
interface Asking {
  readonly pattern: RoomPattern;
  readonly dueMs: number;
  readonly resolve: () => void;
  readonly reject: (cause: CodedError) => void;
}

/** Where the patterns stand that were watched when the link was lost. */
type Recovery =
  | { readonly kind: "none" }
  /** The hub is asked for all of them; until it has answered, what comes has holes and is dropped. */
  | { readonly kind: "asked"; readonly ref: number }
  /** The link is down, or the hub could not and is asked again soon. */
  | { readonly kind: "away" };

/**
 * The patterns that this worker watches at one hub. They stay watched while the hub is away or this worker lags, and the
 * watcher is told that something was missed before anything comes again.
 */
export class LinkWatch {
  readonly #owner: LinkWatchOwner;
  /** Watched, or asked for and never answered. */
  readonly #patterns = new PatternIndex<"watched" | "asking">();
  readonly #asking = new Map<number, Asking>();
  /** Refs of patterns that are not watched any more: until the hub says so, what it sends may be for them. */
  readonly #ending = new Set<number>();
  #recovery: Recovery = NONE;
  #watcher: Watcher | undefined;
  #retry: NodeJS.Timeout | undefined;

  constructor(owner: LinkWatchOwner) {
    this.#owner = owner;
  }

  get size(): number {
    return this.#patterns.size;
  }

  watch(pattern: RoomPattern, watcher: Watcher, dueMs: number): Promise<void> {
    const { limits, counters } = this.#owner;
    this.#watcher = watcher;
    const known = this.#patterns.get(pattern);
    if (known === "watched") return Promise.resolve();
    if (known === undefined && this.#patterns.size >= limits.patterns) {
      counters.refused += 1;
      const text = `${limits.patterns} patterns are watched by this worker, its limit`;
      return Promise.reject(new CodedError("unavailable", text, 5_000));
    }
    if (known === undefined) this.#patterns.set(pattern, "asking");
    counters.watchedPatterns = this.#patterns.size;
    return new Promise((resolve, reject) => {
      const ref = this.#owner.nextRef();
      this.#asking.set(ref, { pattern, dueMs, resolve, reject });
      this.#owner.send({ type: "watch", ref, patterns: [pattern] });
    });
  }

  unwatch(pattern: RoomPattern): void {
    const why = new CodedError("unavailable", `pattern ${pattern} is not watched any more`);
    this.#giveUp(({ pattern: other }) => other === pattern, why);
    this.#remove(pattern);
  }

  /** The link is up: what was watched is asked for again, all at once. */
  up(): void {
    this.#recover();
  }

  /** The link is down. Who waits for a pattern is told so. */
  down(why: CodedError): void {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    this.#giveUp(() => true, why);
    this.#ending.clear();
    this.#recovery = this.#patterns.size === 0 ? NONE : AWAY;
  }

  /** The hub dropped live messages, of any room. */
  lagged(): void {
    if (this.#patterns.size > 0) this.lost("all");
  }

  /** What was asked for under the ref is in force. */
  watching(ref: number): void {
    if (this.#ending.delete(ref)) return;
    if (this.#recovery.kind === "asked" && this.#recovery.ref === ref) {
      this.#recovery = NONE;
      this.lost("all");
      return;
    }
    const asking = this.#asking.get(ref);
    if (asking === undefined) return;
    this.#asking.delete(ref);
    this.#patterns.set(asking.pattern, "watched");
    asking.resolve();
  }

  /** False where the ref is none of a pattern. */
  failed(ref: number, error: CodedError): boolean {
    if (this.#recovery.kind === "asked" && this.#recovery.ref === ref) {
      this.#recovery = AWAY;
      this.#retry = setTimeout(() => this.#recover(), error.retryMs ?? AWAY_RETRY_MS);
      return true;
    }
    const asking = this.#asking.get(ref);
    if (asking === undefined) return false;
    this.#asking.delete(ref);
    this.#drop(asking.pattern);
    asking.reject(error);
    return true;
  }

  /** Whether messages of the room are to come here while it is not open. */
  concerns(room: RoomName): boolean {
    return this.#patterns.matches(room);
  }

  /** A room is open from a position on. What was missed before it is told now, where that is still to be told of all. */
  opening(room: RoomName): void {
    if (this.#recovery.kind === "none" || !this.#patterns.matches(room)) return;
    this.#owner.counters.lostPatterns += 1;
    this.#tell((watcher) => watcher.lost({ room }));
  }

  /** A message that the hub has found a pattern to mean, of a room that is not open. */
  message(message: Message): void {
    const { counters } = this.#owner;
    const isWanted =
      this.#recovery.kind === "none" &&
      this.#patterns.size > 0 &&
      (this.#ending.size === 0 || this.#patterns.matches(message.room));
    if (!isWanted) {
      counters.ignored += 1;
      return;
    }
    counters.watchedMessages += 1;
    this.#tell((watcher) => watcher.message(message));
  }

  lostRoom(room: RoomName): void {
    if (this.concerns(room)) this.lost({ room });
  }

  lost(where: LostWhere): void {
    // While patterns are asked for again that is still to be told, of all.
    if (this.#recovery.kind !== "none" || this.#patterns.size === 0) return;
    this.#owner.counters.lostPatterns += 1;
    this.#tell((watcher) => watcher.lost(where));
  }

  /** Gives up patterns that somebody has waited for long enough. */
  expire(nowMs: number): void {
    const late = (asking: Asking): boolean => asking.dueMs <= nowMs;
    this.#owner.counters.timeouts += this.#giveUp(
      late,
      new CodedError("timeout", "the hub did not watch a pattern in time"),
    );
  }

  #recover(): void {
    this.#retry = undefined;
    const patterns = [...this.#patterns.patterns()];
    if (patterns.length === 0) {
      this.#recovery = NONE;
      return;
    }
    const ref = this.#owner.nextRef();
    this.#recovery = { kind: "asked", ref };
    this.#owner.send({ type: "watch", ref, patterns });
  }

  /** Returns how many. */
  #giveUp(isOver: (asking: Asking) => boolean, why: CodedError): number {
    let count = 0;
    for (const [ref, asking] of this.#asking) {
      if (!isOver(asking)) continue;
      count += 1;
      this.#asking.delete(ref);
      if (this.#patterns.get(asking.pattern) === "asking") this.#remove(asking.pattern);
      asking.reject(why);
    }
    return count;
  }

  #remove(pattern: RoomPattern): void {
    if (!this.#drop(pattern)) return;
    const ref = this.#owner.nextRef();
    this.#ending.add(ref);
    this.#owner.send({ type: "unwatch", ref, pattern });
  }

  #drop(pattern: RoomPattern): boolean {
    const wasThere = this.#patterns.delete(pattern);
    this.#owner.counters.watchedPatterns = this.#patterns.size;
    return wasThere;
  }

  #tell(call: (watcher: Watcher) => void): void {
    try {
      if (this.#watcher !== undefined) call(this.#watcher);
    } catch (cause) {
      this.#owner.counters.sinkErrors += 1;
      this.#owner.fault(cause);
    }
  }
}

const NONE: Recovery = Object.freeze({ kind: "none" });
const AWAY: Recovery = Object.freeze({ kind: "away" });
