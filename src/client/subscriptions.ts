import type {
  ClientFrame,
  Position,
  Rate,
  ResetReason,
  ServerFrame,
  SubscribeOptions,
} from "../protocol/frames.js";
import type { RoomName } from "../protocol/room-name.js";
import { answerErrorOf, subscribeResultOf } from "./answer.js";
import type { Push, SubscribeRequest, SubscriptionEvent } from "./effect.js";
import { FanwireError } from "./errors.js";
import { frameOf, optionsOf, within } from "./subscribe-frames.js";
import { type Entry, isAskedBy, type Phase, positionOf, slowsDown, stateOf } from "./subscription-entry.js";

type FrameOf<T extends ServerFrame["type"]> = Extract<ServerFrame, { type: T }>;

/** Codes after which the same request may succeed. */
const RETRYABLE: ReadonlySet<string> = new Set(["rate_limited", "unavailable", "timeout", "internal"]);

/** The rooms of a client: which are asked for, where each stands, what is to be asked again. */
export class Subscriptions {
  readonly #push: Push;
  readonly #backoffMs: (attempt: number) => number;
  readonly #timeoutMs: number;
  readonly #byRoom = new Map<RoomName, Entry>();
  readonly #byId = new Map<number, Entry>();
  /** By ref. An entry leaves with its ref when it is asked for again, so a late answer finds none. */
  readonly #asked = new Map<number, readonly Entry[]>();
  /** Due, asked or waiting. */
  readonly #unsettled = new Set<Entry>();
  readonly #left = new Set<RoomName>();
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

  add(id: number, room: RoomName, request: SubscribeRequest): void {
    const before = this.#byRoom.get(room);
    if (before !== undefined) this.remove(before.id);
    const { after } = request;
    const entry: Entry = {
      id,
      room,
      request,
      rate: request.rate,
      phase: { kind: "due" },
      fresh: after === undefined,
      epoch: after?.epoch ?? "",
      offset: after?.offset ?? 0,
      broken: undefined,
      refusals: 0,
      gaps: 0,
    };
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
    this.#left.clear();
    for (const entry of this.#byRoom.values()) {
      if (entry.phase.kind !== "failed") this.#enter(entry, { kind: "due" });
    }
  }

  /** Frames were dropped, answers to subscribes perhaps among them: every room is asked for again. */
  lagged(): void {
    this.#asked.clear();
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
    for (const room of this.#left) frames.push({ type: "unsubscribe", ref: 0, room });
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
    const entries = this.#asked.get(ref);
    if (entries === undefined) return false;
    this.#asked.delete(ref);
    for (const entry of entries) {
      if (isAskedBy(entry, ref)) this.#refused(entry, error, nowMs);
    }
    return true;
  }

  /** The server ended it: a new token does not allow the room. */
  ended(room: RoomName, error: FanwireError, nowMs: number): void {
    const entry = this.#following(room);
    if (entry !== undefined) this.#refused(entry, error, nowMs);
  }

  /** The protocol's rule: drop what is not above the last offset, ask again where something before it is missing. */
  message(frame: FrameOf<"message">, nowMs: number): void {
    const entry = this.#following(frame.room);
    if (entry === undefined) return;
    if (frame.offset > 0) {
      if (frame.offset <= entry.offset) return;
      if (frame.prev > entry.offset) {
        this.#gap(entry, nowMs);
        return;
      }
      entry.offset = frame.offset;
      entry.gaps = 0;
    }
    const { room, offset, prev, time, data, key } = frame;
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

  #following(room: RoomName): Entry | undefined {
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
    const resumed = !entry.fresh;
    if (resumed && !result.recovered) {
      this.#broken(entry, result, result.epoch === entry.epoch ? "expired" : "epoch");
      if (entry.phase.kind === "due") return;
    } else if (!resumed) {
      entry.epoch = result.epoch;
      entry.offset = result.offset;
    }
    entry.fresh = entry.epoch === "";
    this.#enter(entry, { kind: "replaying" });
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
      const text = JSON.stringify(options);
      const group = byText.get(text);
      if (group === undefined) byText.set(text, [options, [entry]]);
      else group[1].push(entry);
    }
    return new Map(byText.values());
  }
}
