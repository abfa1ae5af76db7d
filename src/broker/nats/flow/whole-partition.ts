import { Deque } from "../../../core/deque.js";
import { Errand } from "./ask-desk.js";
import type { FlowMessage, RangeAnswer, RangeAsk, StreamFacts } from "./flow-port.js";
import type { FlowRoom } from "./flow-room.js";
import type { RangeReader } from "./flow-shared.js";
import { Partition } from "./partition.js";

interface HeldInStream<M> {
  readonly token: string;
  readonly message: M;
  readonly bytes: number;
}

/**
 * A partition that is taken whole by one subscription: keyed rooms, whose chain is that of each key and so says nothing
 * of the room, or any where most rooms are open here. A stream counts by one, so the sequence of its messages is the
 * check: `reached` is how far all was seen. What is not the next one waits while the stream is read from there.
 *
 * A read that has holes itself shows that messages were dropped before anybody here saw them: a purge, or so many of one key that it
 * pushed out its own. Of which room is not known, so that all rooms that are open are told, and go on behind
 * the last hole.
 */
export class WholePartition<M extends FlowMessage> extends Partition<M> {
  readonly reader: RangeReader<M> = { errand: new Errand(), partition: this };
  /** "starting": where the stream ends is being read. */
  #state: "idle" | "starting" | "live" | "repairing" = "idle";
  #reached = 0;
  #held = new Deque<HeldInStream<M>>();
  #heldBytes = 0;
  /** The stream is known to have come this far. */
  #end = 0;
  /** Up to here it is to have come by a time, or it is read. */
  #dueUpTo = 0;
  #dueMs = Number.POSITIVE_INFINITY;
  /** Gaps that there had been when the read under way was asked for. */
  #askedGaps = 0;
  /** Gets the messages of rooms that are not open, too, in the stream's order. Must not throw. */
  onlooker: ((token: string, message: M) => void) | undefined;

  /** How far all was seen. */
  get reached(): number {
    return this.#reached;
  }

  /** A live message of the stream, whether its room is open or not. */
  live(token: string, message: M, nowMs: number): void {
    if (this.#state === "idle") return;
    this.saw(message);
    const { counters } = this.shared;
    if (this.#state !== "live") this.#hold(token, message);
    else if (message.sequence === this.#reached + 1) this.#take(token, message, nowMs);
    else if (message.sequence <= this.#reached) {
      counters.knownMessages += 1;
      this.doubt(nowMs);
    } else {
      counters.holes += 1;
      this.#hold(token, message);
      this.#repair();
    }
  }

  override tick(nowMs: number): void {
    super.tick(nowMs);
    if (nowMs < this.#dueMs) return;
    this.#dueMs = Number.POSITIVE_INFINITY;
    if (this.#state !== "live" || this.#reached >= this.#end) return;
    if (this.#reached < this.#dueUpTo) {
      this.shared.counters.sweptHoles += 1;
      this.#repair();
    } else this.#await(nowMs);
  }

  rangeAsk(id: number): RangeAsk | undefined {
    if (this.#state !== "repairing") return undefined;
    this.#askedGaps = this.gaps;
    const limit = this.shared.limits.rangeMessages;
    return { kind: "range", id, partition: this, after: this.#reached, limit };
  }

  range(answer: RangeAnswer<M>, nowMs: number): void {
    if (!this.admit(answer) || this.#state !== "repairing") return;
    const { ranges, counters } = this.shared;
    if (this.#askedGaps !== this.gaps) {
      ranges.want(this.reader);
      return;
    }
    const before = this.#reached;
    if (answer.upTo < before) counters.staleReads += 1;
    else this.#read(answer);
    const drained = this.#drain();
    if (this.#state !== "repairing") return;
    if (drained && !answer.more && this.#reached >= this.#end) {
      this.reader.errand.failures = 0;
      this.#state = "live";
    } else if (this.#reached > before) ranges.want(this.reader);
    else {
      this.doubt(nowMs);
      ranges.retry(this.reader, nowMs);
    }
  }

  override exists(_room: FlowRoom<M>, sequence: number): void {
    this.#end = Math.max(this.#end, sequence);
    if (this.#state !== "live" || sequence <= this.#reached) return;
    this.shared.counters.sweptHoles += 1;
    this.#repair();
  }

  protected override joined(room: FlowRoom<M>): void {
    room.needsUpTo = this.#reached;
    if (this.#state !== "idle") return;
    this.#state = "starting";
    this.shared.port.subscribe(this);
  }

  protected override left(): void {
    if (this.size > 0) return;
    this.restarted();
    this.#state = "idle";
    this.shared.port.unsubscribe(this);
  }

  protected override restarted(): void {
    this.shared.ranges.cancel(this.reader);
    this.#dropHeld();
    this.#end = 0;
    this.#dueMs = Number.POSITIVE_INFINITY;
    this.#reached = 0;
    if (this.#state !== "idle") this.#state = "starting";
  }

  protected override informed({ upTo }: StreamFacts, nowMs: number): void {
    if (this.#state === "starting") {
      this.#reached = upTo;
      this.#state = "live";
      // What came live may be of an epoch before.
      const missed = this.#held.length > 0 || this.#end > upTo;
      this.#dropHeld();
      this.#end = upTo;
      if (missed) this.#repair();
      return;
    }
    this.#end = Math.max(this.#end, upTo);
    if (this.#state === "live" && upTo > this.#reached) this.#await(nowMs);
  }

  /** The stream's own sequence vouches for all rooms. */
  protected override unchecked(): FlowRoom<M>[] {
    return [];
  }

  protected override swept(): void {}

  protected override begun(room: FlowRoom<M>): void {
    for (let held = room.held; held !== undefined && !room.isClosed; held = room.held) {
      if (held.message.sequence > room.head) room.deliver(held.message);
      room.shiftHeld();
    }
  }

  /** What was stored just now may be on its way. */
  #await(nowMs: number): void {
    if (this.#dueMs !== Number.POSITIVE_INFINITY) return;
    this.#dueMs = nowMs + this.shared.limits.graceMs;
    this.#dueUpTo = this.#end;
  }

  #repair(): void {
    this.#state = "repairing";
    this.shared.ranges.want(this.reader);
  }

  /** The next message of the stream. */
  #take(token: string, message: M, nowMs?: number): void {
    this.#reached = message.sequence;
    const room = this.room(token);
    if (room === undefined) {
      this.onlooker?.(token, message);
      return;
    }
    if (room.state !== "opening") {
      if (message.sequence > room.head) room.deliver(message, nowMs);
    } else room.hold(message, 0);
  }

  #read({ messages, more, first, upTo }: RangeAnswer<M>): void {
    const { counters } = this.shared;
    const last = messages.at(-1)?.message.sequence ?? 0;
    const end = more ? last : Math.max(upTo, last, this.#reached);
    const whole = wholeFrom(messages, end);
    let next = this.#reached;
    for (const [index, { token, message }] of messages.entries()) {
      if (this.#state !== "repairing") return;
      const { sequence } = message;
      if (sequence <= next) continue;
      if (index < whole && sequence !== next + 1) continue;
      if (index === whole && sequence !== next + 1) this.#lose(sequence - 1, first);
      this.saw(message);
      counters.repairedMessages += 1;
      this.#take(token, message);
      next = sequence;
    }
    if (this.#state !== "repairing" || this.#reached >= end) return;
    this.#lose(end, first);
    this.#reached = end;
  }

  /** Messages up to `head` are gone, of any room. */
  #lose(head: number, first: number): void {
    const crowd = head - this.#reached >= this.spec.messages;
    const reason = head < first || crowd ? "expired" : "purged";
    for (const room of this.rooms()) {
      if (room.state === "opening") room.needsUpTo = Math.max(room.needsUpTo, head);
      else if (room.head < head) room.reset(head, reason);
    }
  }

  #hold(token: string, message: M): void {
    const { port, limits, counters, queue } = this.shared;
    const bytes = port.size(message);
    if (this.#held.length >= limits.queueMessages || queue.bytes + bytes > limits.queueBytes) {
      counters.queueOverflows += 1;
      this.#dropHeld();
      this.#end = Math.max(this.#end, message.sequence);
      return;
    }
    this.#held.push({ token, message: port.keep(message), bytes });
    this.#heldBytes += bytes;
    queue.bytes += bytes;
  }

  /** Takes what waits and is next. False where the stream has to be read again for the rest. */
  #drain(): boolean {
    for (let held = this.#held.at(0); held !== undefined; held = this.#held.at(0)) {
      if (held.message.sequence > this.#reached + 1) return false;
      this.#held.shift();
      this.#heldBytes -= held.bytes;
      this.shared.queue.bytes -= held.bytes;
      if (held.message.sequence > this.#reached) this.#take(held.token, held.message);
    }
    return true;
  }

  #dropHeld(): void {
    this.shared.queue.bytes -= this.#heldBytes;
    this.#heldBytes = 0;
    this.#held = new Deque();
  }
}

/** The index from which on no message up to `end` is missing. */
function wholeFrom(messages: RangeAnswer<FlowMessage>["messages"], end: number): number {
  let index = messages.length;
  let expected = end;
  for (; index > 0 && messages[index - 1]?.message.sequence === expected; index -= 1) expected -= 1;
  return index;
}
