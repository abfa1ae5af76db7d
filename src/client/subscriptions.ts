import type {
  ClientFrame,
  Position,
  Rate,
  ResetReason,
  ServerFrame,
  SubscribeOptions,
} from "../protocol/frames.js";
import { matchesRoom } from "../protocol/room-pattern.js";
import { answerErrorOf, subscribeResultOf } from "./answer.js";
import type { Push, SubscribeRequest, SubscriptionEvent } from "./effect.js";
import { FanwireError } from "./errors.js";
import { frameOf, optionsOf, within } from "./subscribe-frames.js";
import {
  type Entry,
  isAskedBy,
  isPatternTopic,
  type Phase,
  positionOf,
  slowsDown,
  stateOf,
  type Topic,
} from "./subscription-entry.js";

type FrameOf<T extends ServerFrame["type"]> = Extract<ServerFrame, { type: T }>;

/** Codes after which the same request may succeed. */
const RETRYABLE: ReadonlySet<string> = new Set(["rate_limited", "unavailable", "timeout", "internal"]);

/** The rooms of a client: which are asked for, where each stands, what is to be asked again. */
export class Subscriptions {
  readonly #push: Push;
  readonly #backoffMs: (attempt: number) => number;
  readonly #timeoutMs: number;
  readonly #byRoom = new Map<Topic, Entry>();
  /** Those that are patterns. */
  readonly #patterns = new Set<Extract<Entry, { pattern: string }>>();
  /** Rooms that the server may still hold by name, by the ref of the unsubscribe. */
  readonly #leaving = new Map<number, Topic>();
  readonly #byId = new Map<number, Entry>();
  /** By ref. An entry leaves with its ref when it is asked for again, so a late answer finds none. */
  readonly #asked = new Map<number, readonly Entry[]>();
  /** Due, asked or waiting. */
  readonly #unsettled = new Set<Entry>();
  readonly #left = new Set<Topic>();
  #hidden = false;

  constructor(push: Push, backoffMs: (attempt: number) => number, timeoutMs: number) {
    this.#push = push;
    this.#backoffMs = backoffMs;
    this.#timeoutMs = timeoutMs;
  }

  get nextDueMs(): number {
    let nextMs = Number.POSITIVE_INFINITY;
    for (const { phase } of this.#unsettled) {
      if (phase.kind === "asked" || phase.kind === "waiting") nextMs = Math.min(nextMs, phase.dueMs);
    }
    return nextMs;
  }

  add(id: number, room: Topic, request: SubscribeRequest): void {
    const before = this.#byRoom.get(room);
    if (before !== undefined) this.remove(before.id);
    const { after } = request;
    const state = {
      id,
      request,
      rate: request.rate,
      phase: { kind: "due" } as const,
      fresh: after === undefined,
      epoch: after?.epoch ?? "",
      offset: after?.offset ?? 0,
      known: false,
      broken: undefined,
      refusals: 0,
      gaps: 0,
    };
    const entry: Entry = isPatternTopic(room)
      ? { ...state, room, pattern: room }
      : { ...state, room, pattern: undefined };
    if (entry.pattern !== undefined) this.#patterns.add(entry);
    this.#byRoom.set(room, entry);
    this.#byId.set(id, entry);
    this.#unsettled.add(entry);
  }

  remove(id: number): void {
    const entry = this.#byId.get(id);
    if (entry === undefined) return;
    this.#byId.delete(id);
    this.#byRoom.delete(entry.room);
    this.#unsettled.delete(entry);
    if (entry.pattern !== undefined) this.#patterns.delete(entry);
    const { kind } = entry.phase;
    // Also where it waits: the server may hold what it answered too late, or what came before the gap.
    if (kind !== "due" && kind !== "failed") this.#left.add(entry.room);
    // An answer that is still to come finds no entry in phase "asked".
    entry.phase = { kind: "due" };
  }

  /** Moves to another delivery class, behind the last message, or when it is asked for next. */
  setRate(id: number, rate: Rate): void {
    const entry = this.#byId.get(id);
    if (entry === undefined) return;
    entry.rate = rate;
    this.#askAgain(entry);
  }

  /** The page is hidden or seen again: what is conflated slows down, or returns. */
  setHidden(hidden: boolean): void {
    if (hidden === this.#hidden) return;
    this.#hidden = hidden;
    for (const entry of this.#byRoom.values()) if (slowsDown(entry)) this.#askAgain(entry);
  }

  removeAll(): void {
    for (const id of [...this.#byId.keys()]) this.remove(id);
  }

  /** The connection is gone: every room that was not refused for good is asked for again on the next one. */
  disconnected(): void {
    this.#asked.clear();
    this.#leaving.clear();
    this.#left.clear();
    for (const entry of this.#byRoom.values()) {
      if (entry.phase.kind !== "failed") this.#enter(entry, { kind: "due" });
    }
  }

  /** Frames were dropped, answers to subscribes perhaps among them: every room is asked for again. */
  lagged(): void {
    this.#asked.clear();
    this.#leaving.clear();
    for (const entry of this.#byRoom.values()) {
      const { kind } = entry.phase;
      if (kind === "asked" || kind === "replaying" || kind === "live") this.#enter(entry, { kind: "due" });
    }
  }

  /** The server moved it to another class by itself. */
  moved(frame: FrameOf<"rate">): void {
    const entry = this.#following(frame.room);
    if (entry !== undefined) this.#tell(entry, { kind: "rate", rate: frame.rate });
  }

  members(frame: FrameOf<"members">): void {
    const entry = this.#following(frame.room);
    if (entry !== undefined) this.#tell(entry, { kind: "members", frame });
  }

  expire(nowMs: number): void {
    for (const entry of this.#unsettled) {
      const { phase } = entry;
      if (phase.kind === "waiting" && phase.dueMs <= nowMs) this.#enter(entry, { kind: "due" });
      if (phase.kind === "asked" && phase.dueMs <= nowMs) {
        this.#asked.delete(phase.ref);
        this.#refused(
          entry,
          new FanwireError("timeout", `subscribe ${entry.room}: no answer in time`),
          nowMs,
        );
      }
    }
  }

  /** What is to be sent now, rooms with the same options in one frame; they count as asked. */
  take(bytesMax: number, nextRef: () => number, nowMs: number): ClientFrame[] {
    const frames: ClientFrame[] = [];
    for (const room of this.#left) {
      if (isPatternTopic(room)) frames.push({ type: "unsubscribePattern", ref: 0, pattern: room });
      else {
        // Until the answer what comes of the room is not a pattern's.
        const ref = this.#patterns.size > 0 ? nextRef() : 0;
        if (ref > 0) this.#leaving.set(ref, room);
        frames.push({ type: "unsubscribe", ref, room });
      }
    }
    this.#left.clear();
    for (const [options, entries] of this.#dueByOptions()) {
      for (const some of within(entries, bytesMax)) {
        const ref = nextRef();
        this.#asked.set(ref, some);
        for (const entry of some) this.#enter(entry, { kind: "asked", ref, dueMs: nowMs + this.#timeoutMs });
        frames.push(frameOf(ref, some, options));
      }
    }
    return frames;
  }

  /** True where the ref is that of a subscribe. */
  answered(ref: number, result: unknown, nowMs: number): boolean {
    if (this.#leaving.delete(ref)) return true;
    const entries = this.#asked.get(ref);
    if (entries === undefined) return false;
    this.#asked.delete(ref);
    const results: readonly unknown[] = entries.length > 1 && Array.isArray(result) ? result : [result];
    entries.forEach((entry, index) => {
      if (!isAskedBy(entry, ref)) return;
      const error = answerErrorOf(results[index]);
      if (error === undefined) this.#taken(entry, results[index], nowMs);
      else this.#refused(entry, error, nowMs);
    });
    return true;
  }

  /** True where the ref is that of a subscribe. */
  refused(ref: number, error: FanwireError, nowMs: number): boolean {
    if (this.#leaving.delete(ref)) return true;
    const entries = this.#asked.get(ref);
    if (entries === undefined) return false;
    this.#asked.delete(ref);
    for (const entry of entries) {
      if (isAskedBy(entry, ref)) this.#refused(entry, error, nowMs);
    }
    return true;
  }

  /** The server ended it: a new token does not allow the room. */
  ended(room: Topic, error: FanwireError, nowMs: number): void {
    const entry = this.#following(room);
    if (entry !== undefined) this.#refused(entry, error, nowMs);
  }

  /** The protocol's rule: drop what is not above the last offset, ask again where something before it is missing. */
  message(frame: FrameOf<"message">, nowMs: number): void {
    const entry = this.#following(frame.room);
    if (entry === undefined) {
      this.#byPattern(frame);
      return;
    }
    if (frame.offset > 0) {
      if (frame.offset <= entry.offset) return;
      if (frame.prev > entry.offset) {
        this.#gap(entry, nowMs);
        return;
      }
      entry.offset = frame.offset;
      entry.gaps = 0;
    }
    this.#hand(entry, frame);
  }

  /** The rooms of a pattern may have lost something. */
  patternReset({ pattern, reason }: FrameOf<"patternReset">): void {
    const entry = this.#following(pattern);
    if (entry !== undefined) this.#broken(entry, NOWHERE, reason);
  }

  /** A message of a room that is not had by name: for every pattern that means it. */
  #byPattern(frame: FrameOf<"message">): void {
    if (this.#patterns.size === 0 || [...this.#leaving.values()].includes(frame.room)) return;
    const own = this.#byRoom.get(frame.room);
    // One that the server had taken is asked for again: what comes of it meanwhile comes once more.
    if (own?.known === true) return;
    for (const entry of this.#patterns)
      if (entry.phase.kind === "live" && matchesRoom(entry.pattern, frame.room))
        this.#hand(entry, { ...frame, prev: 0 });
  }

  #hand(entry: Entry, { room, offset, prev, time, data, key }: FrameOf<"message">): void {
    const replayed = entry.phase.kind === "replaying";
    const reset = entry.broken;
    entry.broken = undefined;
    this.#tell(entry, {
      kind: "message",
      message: { room, epoch: entry.epoch, offset, prev, time, data, key, replayed, reset },
    });
  }

  live(frame: FrameOf<"live">): void {
    const entry = this.#following(frame.room);
    if (entry === undefined) return;
    if (frame.offset > entry.offset) entry.offset = frame.offset;
    this.#enter(entry, { kind: "live" });
    this.#tell(entry, { kind: "live", position: positionOf(entry) });
  }

  reset(frame: FrameOf<"reset">): void {
    const entry = this.#following(frame.room);
    if (entry !== undefined) this.#broken(entry, frame, frame.reason);
  }

  #following(room: Topic): Entry | undefined {
    const entry = this.#byRoom.get(room);
    const kind = entry?.phase.kind;
    return kind === "replaying" || kind === "live" ? entry : undefined;
  }

  #taken(entry: Entry, raw: unknown, nowMs: number): void {
    const result = subscribeResultOf(raw);
    if (result === undefined) {
      this.#refused(entry, new FanwireError("internal", `subscribe ${entry.room}: not an answer`), nowMs);
      return;
    }
    entry.refusals = 0;
    // A pattern has no position: what was missed since it was had last is told, never filled.
    if (entry.pattern !== undefined && entry.known) this.#broken(entry, NOWHERE, "expired");
    entry.known = true;
    const resumed = !entry.fresh;
    if (resumed && !result.recovered) {
      this.#broken(entry, result, result.epoch === entry.epoch ? "expired" : "epoch");
      if (entry.phase.kind === "due") return;
    } else if (!resumed) {
      entry.epoch = result.epoch;
      entry.offset = result.offset;
    }
    entry.fresh = entry.epoch === "";
    this.#enter(entry, { kind: entry.pattern === undefined ? "replaying" : "live" });
    this.#tell(entry, {
      kind: "subscribed",
      subscribed: {
        position: positionOf(entry),
        recovered: resumed && result.recovered,
        rate: result.rate,
        droppedKeys: result.droppedKeys,
      },
    });
  }

  // One that waits is asked for in its time. One that is refused for good may be allowed its new rate.
  #askAgain(entry: Entry): void {
    if (entry.phase.kind !== "waiting") this.#enter(entry, { kind: "due" });
  }

  // A view of state is fetched anew by itself; of anything else only the application knows what to do.
  #broken(entry: Entry, position: Position, reason: ResetReason): void {
    entry.epoch = position.epoch;
    entry.offset = position.offset;
    entry.broken = reason;
    this.#tell(entry, { kind: "reset", reset: { reason, position: positionOf(entry) } });
    if (!entry.request.state) return;
    entry.fresh = true;
    this.#enter(entry, { kind: "due" });
  }

  // Once at once; a server that goes on to leave gaps is asked ever more slowly.
  #gap(entry: Entry, nowMs: number): void {
    const again: Phase =
      entry.gaps === 0 ? { kind: "due" } : { kind: "waiting", dueMs: nowMs + this.#backoffMs(entry.gaps) };
    entry.gaps++;
    this.#enter(entry, again);
  }

  #refused(entry: Entry, error: FanwireError, nowMs: number): void {
    // Without an answer the server may hold it all the same. A pattern that was had once stays one that has missed something.
    if (error.code !== "timeout" && entry.pattern === undefined) entry.known = false;
    if (RETRYABLE.has(error.code)) {
      const delayMs = error.retryMs ?? this.#backoffMs(entry.refusals);
      entry.refusals++;
      this.#enter(entry, { kind: "waiting", dueMs: nowMs + delayMs });
    } else {
      this.#enter(entry, { kind: "failed", error });
    }
    this.#tell(entry, { kind: "error", error });
  }

  #enter(entry: Entry, phase: Phase): void {
    const before = stateOf(entry.phase);
    const after = stateOf(phase);
    entry.phase = phase;
    if (after.kind === "subscribing") this.#unsettled.add(entry);
    else this.#unsettled.delete(entry);
    if (before.kind !== after.kind) this.#tell(entry, { kind: "state", state: after });
  }

  #tell(entry: Entry, event: SubscriptionEvent): void {
    this.#push({ kind: "subscription", id: entry.id, event });
  }

  #dueByOptions(): Map<SubscribeOptions, Entry[]> {
    const byText = new Map<string, [SubscribeOptions, Entry[]]>();
    for (const entry of this.#unsettled) {
      if (entry.phase.kind !== "due") continue;
      const options = optionsOf(entry, this.#hidden);
      // A pattern takes a request of its own.
      const text = entry.pattern ?? JSON.stringify(options);
      const group = byText.get(text);
      if (group === undefined) byText.set(text, [options, [entry]]);
      else group[1].push(entry);
    }
    return new Map(byText.values());
  }
}

const NOWHERE: Position = { epoch: "", offset: 0 };
