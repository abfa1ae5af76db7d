import { Deque } from "../../../core/deque.js";
import type { ResetReason } from "../../../protocol/frames.js";
import type { RoomName } from "../../../protocol/room-name.js";
import { Errand } from "./ask-desk.js";
import type { FlowMessage, RoomOpening, RoomSink } from "./flow-port.js";
import type { FlowShared } from "./flow-shared.js";
import type { Partition } from "./partition.js";

/** A live message that waits for a read. */
export interface Held<M> {
  readonly message: M;
  readonly previous: number;
  readonly bytes: number;
}

/** One time that a room is open. See chain.ts for what `head`, `anchored` and `verified` mean. */
export class FlowRoom<M extends FlowMessage> {
  readonly name: RoomName;
  readonly token: string;
  readonly sink: RoomSink<M>;
  readonly partition: Partition<M>;
  readonly errand = new Errand();
  /** "opening": its last message is being read, "repairing": what it missed is. */
  state: "opening" | "live" | "repairing" | "closed" = "opening";
  head = 0;
  anchored = false;
  verified = 0;
  /** The message at head was not stored before this. */
  storedMs = Number.NEGATIVE_INFINITY;
  /** When `verified` was found out. */
  checkedMs = Number.NEGATIVE_INFINITY;
  /** The place that the sink was told last, at or above head, and since when a message that stands there is kept at the least. */
  #told = 0;
  #toldMs = Number.NEGATIVE_INFINITY;
  /** Until then it is looked at by every sweep, however lately something came. */
  unsureUntilMs = Number.NEGATIVE_INFINITY;
  /** What was verified before a message came without predecessor: anything later may have come and gone. */
  unproven: number | undefined;
  /** It was open in another epoch, and is told so when it has been read anew. */
  renewed = false;
  /** It was opened, or renewed, when live messages with a chain could still be of an epoch before. */
  fresh: boolean;
  /** Then some were not even held. */
  spilled = false;
  /** Messages after head are gone; where what is left begins is being read. */
  lost: ResetReason | undefined;
  /** The next read has to show all that there is. */
  wide = false;
  /** Of the read under way: where it begins, how far the stream had come, and how many gaps there had been. */
  askedAfter = 0;
  askedEnd = 0;
  askedGaps = 0;
  /** Live messages up to here may not have been held: only a read that reaches this far is complete. */
  needsUpTo = 0;
  #held = new Deque<Held<M>>();
  #heldBytes = 0;
  readonly #shared: FlowShared<M>;

  constructor(
    { name, token, sink }: RoomOpening<M>,
    partition: Partition<M>,
    shared: FlowShared<M>,
    fresh: boolean,
  ) {
    this.name = name;
    this.token = token;
    this.sink = sink;
    this.partition = partition;
    this.fresh = fresh && !partition.spec.whole;
    this.#shared = shared;
  }

  get isClosed(): boolean {
    return this.state === "closed";
  }

  /** The oldest live message that waits. */
  get held(): Held<M> | undefined {
    return this.#held.at(0);
  }

  /** The room is live from `head` on. @param nowMs Undefined: nobody knows how old the message at head is. */
  begin(head: number, nowMs: number | undefined): void {
    this.head = head;
    this.#told = head;
    this.#toldMs = nowMs ?? Number.NEGATIVE_INFINITY;
  }

  /** @param sinceMs It was not stored before this: now, where it came live; else when the room was last verified. */
  deliver(message: M, sinceMs = this.checkedMs): void {
    const prev = this.head;
    if (message.sequence <= this.#told) {
      // It was told that there is nothing: whoever answered so was wrong.
      this.reset(this.#told, "expired");
      return;
    }
    this.#told = message.sequence;
    this.#toldMs = sinceMs;
    this.head = message.sequence;
    this.anchored = true;
    if (message.sequence > this.verified) this.verified = message.sequence;
    this.storedMs = sinceMs;
    this.#shared.counters.delivered += 1;
    this.sink.deliver(message, prev);
  }

  /** Goes on after `head`, or where it is, if that is later. */
  reset(head: number, reason: ResetReason): void {
    this.head = Math.max(head, this.head, this.#told);
    this.#told = this.head;
    this.#toldMs = Number.NEGATIVE_INFINITY;
    this.verified = Math.max(this.head, this.verified);
    this.anchored = false;
    this.unproven = undefined;
    this.lost = undefined;
    this.#shared.counters.resets += 1;
    this.sink.reset({ epoch: this.partition.epoch, offset: this.head }, reason);
  }

  /**
   * Tells how far nothing came, where the place that was told last is one of a message that will soon have expired:
   * whoever came back with that place could not be told from somebody who has missed something.
   */
  confirm(nowMs: number): void {
    const { ageMs } = this.partition.spec;
    if (this.state !== "live" || this.unproven !== undefined || this.verified <= this.#told) return;
    if (ageMs === 0 || nowMs - this.#toldMs < ageMs * CONFIRM_SHARE) return;
    this.#told = this.verified;
    this.#toldMs = nowMs;
    this.#shared.counters.checkpoints += 1;
    this.sink.checkpoint(this.verified);
  }

  /** Holds a live message back; where that would be too much, nothing is held back any more. */
  hold(message: M, previous: number): void {
    const { port, limits, counters, queue } = this.#shared;
    const bytes = port.size(message);
    if (this.#held.length >= limits.queueMessages || queue.bytes + bytes > limits.queueBytes) {
      counters.queueOverflows += 1;
      this.dropHeld();
      // One of an epoch before says nothing of how far this one has come.
      if (this.fresh) this.spilled = true;
      else this.needsUpTo = Math.max(this.needsUpTo, message.sequence);
      return;
    }
    this.#held.push({ message: port.keep(message), previous, bytes });
    this.#heldBytes += bytes;
    queue.bytes += bytes;
  }

  /** Takes the oldest that waits. */
  shiftHeld(): void {
    const bytes = this.#held.shift()?.bytes ?? 0;
    this.#heldBytes -= bytes;
    this.#shared.queue.bytes -= bytes;
  }

  dropHeld(): void {
    this.#shared.queue.bytes -= this.#heldBytes;
    this.#heldBytes = 0;
    this.#held = new Deque();
  }

  /** Everything that was known of it belongs to another epoch. */
  renew(): void {
    this.dropHeld();
    this.renewed ||= this.state !== "opening";
    this.fresh = !this.partition.spec.whole;
    this.spilled = false;
    this.state = "opening";
    this.head = 0;
    this.anchored = false;
    this.verified = 0;
    this.storedMs = Number.NEGATIVE_INFINITY;
    this.checkedMs = Number.NEGATIVE_INFINITY;
    this.unproven = undefined;
    this.lost = undefined;
    this.wide = false;
    this.needsUpTo = 0;
  }
}

/** Of the age at which messages expire: so old a place gets before a newer one is told. */
const CONFIRM_SHARE = 1 / 4;
