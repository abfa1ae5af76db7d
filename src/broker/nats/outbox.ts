import { Deque } from "../../core/deque.js";
import { CodedError } from "../../protocol/errors.js";
import type { NatsLimits } from "./limits.js";

/** What is to be published. */
export interface Parcel {
  /** All that is sent, as often as it is. */
  readonly command: Uint8Array;
  /** Headers and data, which the server has a limit for. */
  readonly payloadBytes: number;
  /** The stream that is to store it. */
  readonly stream: string;
}

export type OutboxLimits = Pick<
  NatsLimits,
  "outboxMessages" | "outboxBytes" | "windowMessages" | "windowBytes" | "ackMs" | "publishMs" | "awayMs"
>;

export interface OutboxCounters {
  retriedPublishes: number;
  refusedPublishes: number;
  /** Times that the publishes of a stream were held back, so that they keep their order. */
  publishHolds: number;
}

/** One publish on its way. */
export interface Entry<T> {
  /** Its number, in the order of publishing; also names it in the answer. */
  readonly token: number;
  readonly parcel: Parcel;
  /** Whoever waits for it. */
  readonly waiter: T;
  /** Its stream's. */
  readonly lane: Lane<T>;
  readonly deadlineMs: number;
  sentMs: number;
  attempts: number;
}

/** What became of entries that will not be acknowledged any more. */
export interface Given<T> {
  readonly entry: Entry<T>;
  readonly error: CodedError;
}

/**
 * - "flowing": many on their way at once.
 * - "slow": the oldest on its way is late. Nothing more is sent until all are answered.
 * - "broken": one failed, or may have been lost while later ones were not. Nothing more is sent until all are answered or
 *   given up.
 * - "probing": then the first of those that are left goes alone, until it is acknowledged.
 */
type LaneState = "flowing" | "slow" | "broken" | "probing";

interface Lane<T> {
  state: LaneState;
  /** On their way, in the order of sending. */
  readonly sent: Set<Entry<T>>;
  /** Never sent, in order. */
  readonly waiting: Deque<Entry<T>>;
  /** Sent before and to be sent again, in order. */
  again: Entry<T>[];
  /** Sent in a row since its turn began. */
  turn: number;
  /** Its stream does not answer: nothing is sent to it before this time. */
  pausedUntilMs: number;
  pauseMs: number;
}

const PAUSE_FIRST_MS = 50;
const PAUSE_MOST_MS = 1_000;

/**
 * Publishes of one lane that are sent in a row. A server that gets those of a stream together stores, republishes and answers
 * them together: 17 µs of its CPU each in place of 22 (`bench bridge --parts publish`).
 */
const TURN = 32;

/** Longer than answers take at full speed, shorter than most elections. */
const SLOW_MS = 250;
/** Where others failed or overtook it, a publish without an answer was lost. */
const LOST_MS = 500;

/**
 * Publishes on their way: a window of those that were sent and wait for their acknowledgement, and those that wait for
 * a place in it, bounded together. Each stream has a lane, so that one without a leader does not hold up the others.
 * What is not acknowledged in time is sent again, the oldest first, as often as its deadline allows.
 *
 * **Order.** A lane's publishes are stored in their order, while many of them are on their way: one connection and one leader
 * keep it. Around an election one can be lost and a later one not. So at the first sign (a failure, an answer that overtook
 * another, one that is late, news of another leader) the lane stops, and goes on with the oldest when it is known of
 * each what became of it. What is left: publishes that were on their way at the moment of the change itself.
 *
 * Pure: time comes in as an argument, and who sends calls {@link Outbox.next}.
 */
export class Outbox<T> {
  readonly #limits: OutboxLimits;
  readonly #counters: OutboxCounters;
  readonly #lanes = new Map<string, Lane<T>>();
  /** Lanes that have something to send, in turn. */
  readonly #ready = new Set<Lane<T>>();
  /** In the order of sending. */
  readonly #sent = new Map<number, Entry<T>>();
  #sentBytes = 0;
  #messages = 0;
  #bytes = 0;
  #tokens = 0;
  /** Since when there is no connection; undefined while there is. */
  #awaySinceMs: number | undefined;

  constructor(limits: OutboxLimits, counters: OutboxCounters) {
    this.#limits = limits;
    this.#counters = counters;
  }

  /** Publishes that are not settled. */
  get size(): number {
    return this.#messages;
  }

  /** The one that the next publish gets. */
  get nextToken(): number {
    return this.#tokens + 1;
  }

  /** Of those the ones that were sent and wait for their answer. */
  get underway(): number {
    return this.#sent.size;
  }

  /** Takes a publish. @throws CodedError `unavailable` above the bounds, or while NATS is away. */
  add(parcel: Parcel, waiter: T, nowMs: number): void {
    this.#refuse(sizeOf(parcel), nowMs);
    this.#tokens += 1;
    const deadlineMs = nowMs + this.#limits.publishMs;
    const lane = this.#laneOf(parcel.stream);
    lane.waiting.push({ token: this.#tokens, parcel, waiter, lane, deadlineMs, sentMs: 0, attempts: 0 });
    this.#ready.add(lane);
    this.#messages += 1;
    this.#bytes += sizeOf(parcel);
  }

  /** The next to send now, until there is none. It counts as sent. */
  next(nowMs: number): Entry<T> | undefined {
    if (this.#awaySinceMs !== undefined) return undefined;
    for (const lane of this.#ready) {
      if (this.#sent.size >= this.#limits.windowMessages || this.#sentBytes >= this.#limits.windowBytes)
        return undefined;
      if (lane.pausedUntilMs > nowMs || !maySend(lane)) continue;
      const entry = lane.again.shift() ?? lane.waiting.shift();
      lane.turn += 1;
      const hasMore = lane.again.length > 0 || lane.waiting.length > 0;
      if (!hasMore || lane.turn >= TURN) {
        lane.turn = 0;
        this.#ready.delete(lane);
        // Behind the others.
        if (hasMore) this.#ready.add(lane);
      }
      if (entry === undefined) continue;
      if (entry.attempts > 0) this.#counters.retriedPublishes += 1;
      entry.attempts += 1;
      entry.sentMs = nowMs;
      this.#sent.set(entry.token, entry);
      lane.sent.add(entry);
      this.#sentBytes += sizeOf(entry.parcel);
      return entry;
    }
    return undefined;
  }

  /**
   * The acknowledgement came; undefined where nobody waits for it any more.
   * @param isDuplicate Known to the server: answered at once, before those that are being stored.
   */
  acknowledged(token: number, isDuplicate: boolean): Entry<T> | undefined {
    const entry = this.#sent.get(token) ?? this.#takeFromAgain(token);
    if (entry === undefined) return undefined;
    const { lane } = entry;
    if (!isDuplicate && lane.sent.has(entry)) {
      const [oldest] = lane.sent;
      if (oldest !== entry && lane.state !== "broken") this.#hold(lane, "broken");
    }
    this.#forget(entry);
    if (lane.state !== "broken") lane.pauseMs = 0;
    if (lane.state === "probing") lane.state = "flowing";
    return entry;
  }

  /** The stream has another leader: what was on its way to the one before may be lost. */
  leaderChanged(stream: string): void {
    const lane = this.#lanes.get(stream);
    if (lane !== undefined && lane.sent.size > 0 && lane.state !== "broken") this.#hold(lane, "broken");
  }

  /** The server refused it for good. */
  refused(token: number): Entry<T> | undefined {
    const entry = this.#sent.get(token);
    if (entry !== undefined) this.#forget(entry);
    return entry;
  }

  /** It was not stored, or nobody knows; it may be when it is sent again. */
  failed(token: number, nowMs: number): void {
    const entry = this.#sent.get(token);
    if (entry !== undefined) this.#again(entry, nowMs);
  }

  /** The connection is gone: nothing that was sent can be counted on. */
  disconnected(nowMs: number): void {
    this.#awaySinceMs ??= nowMs;
    for (const entry of [...this.#sent.values()]) this.#putBack(entry);
  }

  reconnected(): void {
    this.#awaySinceMs = undefined;
    for (const lane of this.#lanes.values()) {
      lane.pausedUntilMs = 0;
      lane.pauseMs = 0;
      lane.state = lane.again.length > 0 ? "broken" : "flowing";
    }
  }

  /** Whatever waits too long: sent again, or given up at its deadline. Call it some times a second. */
  tick(nowMs: number): readonly Given<T>[] {
    const given: Given<T>[] = [];
    for (const entry of this.#sent.values()) {
      if (nowMs - entry.sentMs < this.#limits.ackMs) break;
      this.#again(entry, nowMs);
    }
    for (const lane of this.#lanes.values()) {
      this.#watch(lane, nowMs);
      for (let first = lane.again[0]; first !== undefined && first.deadlineMs <= nowMs; first = lane.again[0])
        given.push(this.#give(lane.again.shift() ?? first));
      for (let first = lane.waiting.at(0); first !== undefined && first.deadlineMs <= nowMs; ) {
        given.push(this.#give(lane.waiting.shift() ?? first));
        first = lane.waiting.at(0);
      }
      if (lane.again.length === 0 && lane.waiting.length === 0) this.#ready.delete(lane);
    }
    return given;
  }

  /** Ends everything. */
  clear(): readonly Given<T>[] {
    for (const entry of [...this.#sent.values()]) this.#putBack(entry);
    const given: Given<T>[] = [];
    for (const lane of this.#lanes.values()) {
      for (const entry of lane.again.splice(0)) given.push(this.#give(entry));
      for (let entry = lane.waiting.shift(); entry !== undefined; entry = lane.waiting.shift())
        given.push(this.#give(entry));
    }
    this.#ready.clear();
    return given;
  }

  #refuse(bytes: number, nowMs: number): void {
    const { outboxMessages, outboxBytes, awayMs } = this.#limits;
    let reason: string | undefined;
    if (this.#awaySinceMs !== undefined && nowMs - this.#awaySinceMs >= awayMs) reason = "NATS is away";
    else if (this.#messages >= outboxMessages)
      reason = `${outboxMessages} publishes wait to be stored, the limit`;
    else if (this.#bytes + bytes > outboxBytes) reason = `${outboxBytes} bytes wait to be stored, the limit`;
    if (reason === undefined) return;
    this.#counters.refusedPublishes += 1;
    throw new CodedError("unavailable", `not stored: ${reason}`, RETRY_MS);
  }

  #again(entry: Entry<T>, nowMs: number): void {
    const lane = this.#putBack(entry);
    if (lane.state === "broken") return;
    this.#hold(lane, "broken");
    lane.pauseMs = Math.min(PAUSE_MOST_MS, Math.max(PAUSE_FIRST_MS, lane.pauseMs * 2));
    lane.pausedUntilMs = Math.max(lane.pausedUntilMs, nowMs + lane.pauseMs);
  }

  /** Looks for what is late. */
  #watch(lane: Lane<T>, nowMs: number): void {
    if (lane.state === "broken") {
      for (const entry of lane.sent) {
        if (nowMs - entry.sentMs < LOST_MS) return;
        this.#again(entry, nowMs);
      }
      return;
    }
    const [oldest] = lane.sent;
    if (lane.state === "flowing" && oldest !== undefined && nowMs - oldest.sentMs >= SLOW_MS)
      this.#hold(lane, "slow");
  }

  #hold(lane: Lane<T>, state: LaneState): void {
    if (lane.state === "flowing") this.#counters.publishHolds += 1;
    lane.state = state;
  }

  #putBack(entry: Entry<T>): Lane<T> {
    this.#sent.delete(entry.token);
    this.#sentBytes -= sizeOf(entry.parcel);
    const { lane } = entry;
    lane.sent.delete(entry);
    // Nearly always behind all others.
    let index = lane.again.length;
    while (index > 0 && (lane.again[index - 1]?.token ?? 0) > entry.token) index -= 1;
    lane.again.splice(index, 0, entry);
    this.#ready.add(lane);
    return lane;
  }

  #takeFromAgain(token: number): Entry<T> | undefined {
    for (const lane of this.#lanes.values()) {
      const index = lane.again.findIndex((entry) => entry.token === token);
      if (index >= 0) return lane.again.splice(index, 1)[0];
    }
    return undefined;
  }

  #give(entry: Entry<T>): Given<T> {
    this.#messages -= 1;
    this.#bytes -= sizeOf(entry.parcel);
    this.#counters.refusedPublishes += 1;
    const what =
      entry.attempts === 0 ? "not stored: it was never sent" : "it is not known whether it was stored";
    return {
      entry,
      error: new CodedError("unavailable", `NATS did not acknowledge it in time; ${what}`, RETRY_MS),
    };
  }

  #forget(entry: Entry<T>): void {
    if (this.#sent.delete(entry.token)) this.#sentBytes -= sizeOf(entry.parcel);
    entry.lane.sent.delete(entry);
    this.#messages -= 1;
    this.#bytes -= sizeOf(entry.parcel);
  }

  #laneOf(stream: string): Lane<T> {
    let lane = this.#lanes.get(stream);
    if (lane === undefined) {
      lane = {
        state: "flowing",
        sent: new Set(),
        waiting: new Deque(),
        again: [],
        turn: 0,
        pausedUntilMs: 0,
        pauseMs: 0,
      };
      this.#lanes.set(stream, lane);
    }
    return lane;
  }
}

const RETRY_MS = 1_000;

/** Whether its next may be sent now; where all before are answered, a lane that was held goes on. */
function maySend<T>(lane: Lane<T>): boolean {
  if (lane.state === "flowing") return true;
  if (lane.sent.size > 0) return false;
  lane.state = lane.state === "slow" ? "flowing" : "probing";
  return true;
}

/** Objects included, about. */
function sizeOf({ command }: Parcel): number {
  return command.length + 100;
}
