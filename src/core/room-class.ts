import type { ControlFrame, Position, ResetReason } from "../protocol/frames.js";
import { type Message, withPrev } from "../protocol/message.js";
import { Delivery, toldOfRoom } from "./delivery.js";
import type { Point } from "./flow.js";
import type { Lanes } from "./lanes.js";
import type { Paces } from "./paces.js";
import type { Room } from "./room.js";

/** What a message that waits costs besides its frame: its slot in the map, mostly; the message is shared with the ring. */
const WAITING_OVERHEAD_BYTES = 150;

/** Of a window: by so much at the most two flushes are nearer to each other, where the loop was late for the first. */
const LATE_SHARE = 0.25;
/** In windows. */
const ROUNDING = 1e-6;

const NONE: readonly Message[] = Object.freeze([]);

/**
 * A conflated class of one room, while somebody is in it: of what the room takes in within one window the latest
 * message of every key, in one flow for all lanes, so that merging and encoding happen once.
 *
 * - Two flushes are due a window apart at the least, and a message waits a window at the most. Within that freedom they move
 *   towards the multiples of the window, where those of all rooms meet, so that a socket in a hundred rooms gets one write
 *   for them. The first message after a quiet window goes at once, unless the loop is busy: then it waits for the others too.
 * - Messages without a key count as one key.
 * - `prev` chains over what was skipped. Whoever joins may be ahead of the class and gets some messages again, which
 *   the client's rule drops: what waits is never older than a window, and no joiner waits for it.
 */
export class RoomClass extends Delivery {
  readonly rate: number;
  readonly topic: string;
  readonly #room: Room;
  readonly #paces: Paces;
  readonly #windowMs: number;
  /** What waits while that is of one key, as always where a room is one symbol. */
  #single: Message | undefined;
  /** By key, the latest last, from the second key on. */
  #waiting: Map<string | undefined, Message> | undefined;
  #waitingBytes = 0;
  #sentMs = Number.NEGATIVE_INFINITY;
  #dueMs = Number.POSITIVE_INFINITY;

  constructor(room: Room, rate: number, paces: Paces) {
    super(room.counters, room.head, room.resets);
    this.rate = rate;
    // No room has such a name.
    this.topic = `${room.name}~${rate}`;
    this.#room = room;
    this.#paces = paces;
    this.#windowMs = 1_000 / rate;
    room.counters.classes += 1;
  }

  wrote(bytes: number): void {
    this.#room.wrote(bytes);
  }

  told(goal: Point, reached: number): readonly ControlFrame[] {
    return toldOfRoom(this.#room.name, goal, reached);
  }

  /** When what waits is to be flushed; infinity where nothing does. */
  get dueMs(): number {
    return this.#dueMs;
  }

  /** Takes in what the room has taken in. */
  take(messages: readonly Message[], lanes: Lanes, nowMs: number): void {
    if (messages.length === 0) return;
    for (const message of messages) this.#keep(message);
    if (nowMs - this.#sentMs >= this.#windowMs && !this.#paces.isBusy) this.flush(lanes, nowMs);
    else if (this.#paces.isFull) {
      this.counters.conflationOverflows += 1;
      this.flush(lanes, nowMs);
    } else if (this.#dueMs === Number.POSITIVE_INFINITY) {
      this.#dueMs = dueAt(nowMs, this.#sentMs, this.#windowMs);
      this.#paces.schedule(this);
    }
  }

  /** Hands what waits to the lanes. */
  flush(lanes: Lanes, nowMs: number): void {
    const messages = this.#merged(nowMs);
    const last = messages[messages.length - 1];
    if (last === undefined) return;
    const { position } = this.flow.last;
    const offset = this.#room.settings.ephemeral ? position.offset : last.offset;
    this.flow.append(messages, undefined, { epoch: position.epoch, offset });
    this.queue(lanes);
  }

  /** Continuity is lost after what was taken so far: that goes out with the reset, whatever the window says. */
  reset(head: Position, reason: ResetReason, lanes: Lanes, nowMs: number): void {
    this.flow.append(this.#merged(nowMs), reason, head);
    this.queue(lanes);
  }

  /** Nothing lies between what was taken so far and this position. */
  checkpoint(head: Position, lanes: Lanes, nowMs: number): void {
    this.flow.append(this.#merged(nowMs), undefined, head);
    this.queue(lanes);
  }

  protected override emptied(): void {
    this.counters.classes -= 1;
    this.#forget();
    this.#room.forgetClass(this);
  }

  #keep(message: Message): void {
    const before = this.#replace(message);
    this.#account(bytesOf(message));
    if (before === undefined) return;
    this.#account(-bytesOf(before));
    this.counters.conflated += 1;
  }

  /** Puts a message last; returns the one that it takes the place of. */
  #replace(message: Message): Message | undefined {
    const { key } = message;
    const single = this.#single;
    if (this.#waiting === undefined) {
      if (single === undefined || single.key === key) {
        this.#single = message;
        return single;
      }
      this.#waiting = new Map([[single.key, single]]);
      this.#single = undefined;
    }
    const before = this.#waiting.get(key);
    // Deleted first, so that the map stays in the order of offsets.
    if (before !== undefined) this.#waiting.delete(key);
    this.#waiting.set(key, message);
    return before;
  }

  /** Takes what waits, chained. */
  #merged(nowMs: number): readonly Message[] {
    const waiting = this.#single === undefined ? this.#waiting?.values() : [this.#single];
    if (waiting === undefined) return NONE;
    this.#sentMs = startOfWindow(this.#dueMs, nowMs, this.#windowMs);
    this.#forget();
    this.counters.classFlushes += 1;
    if (this.#room.settings.ephemeral) return [...waiting];
    const messages: Message[] = [];
    let prev = this.flow.last.position.offset;
    for (const message of waiting) {
      messages.push(withPrev(message, prev));
      prev = message.offset;
    }
    return messages;
  }

  #forget(): void {
    this.#single = undefined;
    this.#waiting = undefined;
    this.#dueMs = Number.POSITIVE_INFINITY;
    this.#account(-this.#waitingBytes);
  }

  #account(bytes: number): void {
    this.#waitingBytes += bytes;
    this.#paces.waitingBytes += bytes;
  }
}

/**
 * When to flush what came at `cameMs` to a class whose window began at `sentMs`: not before that is over, not after
 * the message is a window old, and between those as near to a multiple of the window as can be.
 */
export function dueAt(cameMs: number, sentMs: number, windowMs: number): number {
  const earliest = Math.max(cameMs, sentMs + windowMs);
  // A multiple that was computed by adding windows may be a rounding error above it.
  const meeting = Math.ceil(earliest / windowMs - ROUNDING) * windowMs;
  return Math.max(earliest, Math.min(meeting, cameMs + windowMs));
}

/**
 * When the window of a flush begins: when it was due, so that a loop that was late for one does not move the next ones away from
 * the multiples; but not so long ago that the next one would follow much sooner than a window later.
 */
function startOfWindow(dueMs: number, nowMs: number, windowMs: number): number {
  return dueMs > nowMs ? nowMs : Math.max(dueMs, nowMs - windowMs * LATE_SHARE);
}

function bytesOf({ frame }: Message): number {
  return frame.length + WAITING_OVERHEAD_BYTES;
}
