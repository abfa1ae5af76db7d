import type { ControlFrame, Rate, ResetReason } from "../protocol/frames.js";
import type { Message } from "../protocol/message.js";
import type { RoomName } from "../protocol/room-name.js";
import type { RoomPattern } from "../protocol/room-pattern.js";
import type { Counters } from "./counters.js";
import { Delivery } from "./delivery.js";
import type { Point } from "./flow.js";
import type { Lanes } from "./lanes.js";

/** What tells flows apart. */
export interface PatternKey {
  /** That overlap, in their order. */
  readonly patterns: readonly RoomPattern[];
  /** Rooms that its sessions have by name: these come to them from the room. */
  readonly excluded: ReadonlySet<RoomName>;
}

/** Rooms are numbered each by itself; what comes of many has no position. */
const NOWHERE = Object.freeze({ epoch: "", offset: 0 });

const NOTHING: readonly ControlFrame[] = Object.freeze([]);

/**
 * What rooms get that match any of some patterns, but for some rooms: one flow for all sessions that have these
 * patterns and those rooms, so that each message comes to each of them once. Like a delivery class it has lanes and
 * topics of its own, and exists while somebody is in it.
 */
export class PatternFlow extends Delivery implements PatternKey {
  readonly patterns: readonly RoomPattern[];
  readonly excluded: ReadonlySet<RoomName>;
  readonly topic: string;
  /** The message that it was offered last, so that several patterns do not make several of it. */
  #offered: Message | undefined;
  #pending: Message[] = [];
  /** Where something was missed: why, and what came since. */
  #lost: { readonly reason: ResetReason; readonly messages: Message[] } | undefined;
  readonly #onEmpty: (flow: PatternFlow) => void;

  /** @param number Another one for each flow of the process. */
  constructor(
    { patterns, excluded }: PatternKey,
    number: number,
    counters: Counters,
    onEmpty: (flow: PatternFlow) => void,
  ) {
    super(counters, NOWHERE, 0);
    this.patterns = patterns;
    this.excluded = excluded;
    // No room has such a name.
    this.topic = `>${number}`;
    this.#onEmpty = onEmpty;
  }

  get rate(): Rate {
    return "all";
  }

  wrote(): void {}

  told({ reset }: Point): readonly ControlFrame[] {
    return reset === undefined ? NOTHING : resetsOf(this.patterns, reset);
  }

  /** Takes a message that one of its patterns matches. */
  offer(message: Message): void {
    if (message === this.#offered || this.excluded.has(message.room)) return;
    this.#offered = message;
    (this.#lost?.messages ?? this.#pending).push(message);
  }

  /**
   * Something may have been missed before what it is offered from now on. A second time before a flush, what came in
   * between counts as missed too: each reset costs every lane a tick, and a broker that begins anew loses all of its
   * rooms at once.
   */
  lose(reason: ResetReason): void {
    this.#lost = { reason, messages: [] };
  }

  /** Hands what it was offered to the lanes. */
  flush(lanes: Lanes): void {
    const before = this.#pending;
    const lost = this.#lost;
    this.#pending = [];
    this.#lost = undefined;
    this.#offered = undefined;
    if (lost !== undefined) this.flow.append(before, lost.reason, NOWHERE);
    const after = lost?.messages ?? before;
    if (after.length > 0) this.flow.append(after, undefined, NOWHERE);
    this.queue(lanes);
  }

  protected override emptied(): void {
    this.#onEmpty(this);
  }
}

/** What tells who has these patterns that messages may be missing. */
export function resetsOf(patterns: readonly RoomPattern[], reason: ResetReason): ControlFrame[] {
  return patterns.map((pattern) => ({ type: "patternReset", pattern, reason }));
}
