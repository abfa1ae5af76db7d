import { CodedError } from "../protocol/errors.js";
import type { ResetReason } from "../protocol/frames.js";
import type { Message } from "../protocol/message.js";
import type { RoomName } from "../protocol/room-name.js";
import { patternsOverlap, type RoomPattern } from "../protocol/room-pattern.js";
import type { Counters } from "./counters.js";
import type { Lanes } from "./lanes.js";
import type { Limits } from "./limits.js";
import { PatternFlow, type PatternKey } from "./pattern-flow.js";
import { type PatternHouse, type PatternOwner, PatternSubscriptions } from "./pattern-subscriptions.js";
import { PatternWatches, type Watch } from "./pattern-watches.js";
import type { Broker, Fanout, LostWhere, Watcher } from "./ports.js";
import type { Tap } from "./rooms.js";

/** What came since the last tick that took in: a message, or that something may be missing. */
type Item =
  | { readonly message: Message; readonly watches: readonly Watch[] }
  | { readonly reason: ResetReason; readonly room: RoomName | undefined; readonly watches: readonly Watch[] };

/**
 * All patterns of this process: what they match is looked up once a message, whatever has it, put into the flows of
 * those patterns, and from there goes to lanes and sockets as rooms' messages do.
 *
 * Sessions that have the same patterns and, of the rooms that these match, the same by name share a flow. A session
 * goes from one flow to another, and a room of it from a flow to the room's own or back, only while its lane has sent
 * all that was taken in: there all of them stand at the same point.
 */
export class Patterns implements Watcher, Tap, PatternHouse {
  readonly #fanout: Fanout;
  readonly #limits: Limits;
  readonly #counters: Counters;
  readonly #watches: PatternWatches;
  readonly #sessions = new Map<object, PatternSubscriptions>();
  readonly #flows = new Map<string, PatternFlow>();
  #numbers = 0;
  #pending: Item[] = [];
  /** Rooms that were opened while something was pending: that may be of them, and of before they begin. */
  readonly #justOpened = new Set<RoomName>();
  /** Those to which the broker has agreed since the last tick that took in. */
  readonly #fresh = new Set<Watch>();
  /** Sessions with something that waits for their lane. */
  readonly #unsettled = new Set<PatternSubscriptions>();

  constructor(broker: Broker, fanout: Fanout, limits: Limits, counters: Counters) {
    this.#fanout = fanout;
    this.#limits = limits;
    this.#counters = counters;
    this.#watches = new PatternWatches(broker, this, limits, counters, (watch) => {
      this.#fresh.add(watch);
      fanout.requestFlush();
    });
  }

  /** Those of a session that has any. */
  find(owner: object): PatternSubscriptions | undefined {
    return this.#sessions.get(owner);
  }

  /** Those of a session. */
  of(owner: PatternOwner): PatternSubscriptions {
    let found = this.#sessions.get(owner);
    if (found === undefined) {
      found = new PatternSubscriptions(owner, this, this.#limits, this.#counters);
      this.#sessions.set(owner, found);
    }
    return found;
  }

  /** A session that has no patterns any more costs nothing. */
  forget(owner: object): void {
    this.#sessions.delete(owner);
  }

  acquire(pattern: RoomPattern): Watch {
    return this.#watches.acquire(pattern);
  }

  /**
   * Whether something may wait to be taken in from before the broker agreed to the pattern: what others had it send, of which they may
   * since have been given up, or what rooms received and nobody looked at for this pattern.
   */
  isFresh(watch: Watch): boolean {
    return this.#fresh.has(watch);
  }

  release(watch: Watch, nowMs: number): void {
    this.#watches.release(watch, nowMs);
  }

  opened(room: RoomName): void {
    if (this.isWaiting) this.#justOpened.add(room);
  }

  /** Whether what was received of an open room before it was opened is still pending. */
  isJustOpened(room: RoomName): boolean {
    return this.#justOpened.has(room);
  }

  received(message: Message): void {
    this.message(message);
  }

  message(message: Message): void {
    const watches = this.#watches.matching(message.room);
    if (watches.length > 0) this.#push({ message, watches });
  }

  /** An open room lost its continuity. */
  reset(room: RoomName, reason: ResetReason): void {
    const watches = this.#watches.matching(room);
    if (watches.length > 0) this.#push({ reason, room, watches });
  }

  lost(where: LostWhere): void {
    if (where !== "all" && "room" in where) {
      this.reset(where.room, "expired");
      return;
    }
    const isMeant = ({ pattern }: Watch): boolean =>
      where === "all" || where.patterns.some((other) => patternsOverlap(pattern, other));
    const watches = this.#watches.all().filter(isMeant);
    if (watches.length > 0) this.#push({ reason: "expired", room: undefined, watches });
  }

  /** Whether something waits to be taken in. */
  get isWaiting(): boolean {
    return this.#pending.length > 0;
  }

  /** Takes in what came, in the same tick in which rooms do. */
  takeIn(lanes: Lanes): void {
    const pending = this.#pending;
    this.#pending = [];
    this.#justOpened.clear();
    this.#fresh.clear();
    const touched = new Set<PatternFlow>();
    for (const item of pending) {
      for (const { flows } of item.watches) {
        for (const flow of flows) {
          if ("message" in item) flow.offer(item.message);
          else if (item.room === undefined || !flow.excluded.has(item.room)) flow.lose(item.reason);
          else continue;
          touched.add(flow);
        }
      }
    }
    for (const flow of touched) flow.flush(lanes);
  }

  /** Whether a tick would go on with something that waited. */
  get isSettling(): boolean {
    for (const subscriptions of this.#unsettled) if (subscriptions.isReady) return true;
    return false;
  }

  wait(subscriptions: PatternSubscriptions): void {
    this.#unsettled.add(subscriptions);
    this.#fanout.requestTick();
  }

  /**
   * Goes on with what waited for lanes that have sent everything. At the begin of a tick, before anything is taken in
   * or published: whoever leaves a topic after it was published to may lose that.
   */
  settle(): void {
    for (const subscriptions of this.#unsettled) {
      if (!subscriptions.isReady) continue;
      this.#unsettled.delete(subscriptions);
      subscriptions.settle();
    }
  }

  /** About once a second. */
  sweep(nowMs: number): void {
    this.#watches.sweep(nowMs);
  }

  flowOf(name: string, key: PatternKey): PatternFlow {
    const found = this.#flows.get(name);
    if (found !== undefined) return found;
    const { openPatterns, roomLingerMs } = this.#limits;
    if (this.#flows.size >= openPatterns) {
      this.#counters.openPatternsRefused += 1;
      const text = `this server has ${openPatterns} flows of patterns, its limit`;
      throw new CodedError("unavailable", text, roomLingerMs);
    }
    this.#numbers += 1;
    const flow = new PatternFlow(key, this.#numbers, this.#counters, () => this.#forgetFlow(name, flow));
    const watches = key.patterns.flatMap((pattern) => this.#watches.find(pattern) ?? []);
    for (const watch of watches) watch.flows.add(flow);
    this.#flows.set(name, flow);
    this.#counters.patternFlows += 1;
    return flow;
  }

  #forgetFlow(name: string, flow: PatternFlow): void {
    this.#counters.patternFlows -= 1;
    this.#flows.delete(name);
    for (const pattern of flow.patterns) this.#watches.find(pattern)?.flows.delete(flow);
  }

  #push(item: Item): void {
    this.#pending.push(item);
    if (this.#pending.length === 1) this.#fanout.requestFlush();
  }
}
