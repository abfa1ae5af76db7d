import type { ControlFrame, Position, Rate, ResetReason } from "../protocol/frames.js";
import type { Message } from "../protocol/message.js";
import type { RoomName } from "../protocol/room-name.js";
import type { Counters } from "./counters.js";
import { Delivery, toldOfRoom } from "./delivery.js";
import type { Point } from "./flow.js";
import type { HistoryBudget } from "./history-budget.js";
import type { Lanes } from "./lanes.js";
import type { Paces } from "./paces.js";
import { Ring } from "./ring.js";
import { RoomClass } from "./room-class.js";
import type { RoomSettings } from "./settings.js";

/** A reset, and how many of the messages that wait with it came before it. */
interface PendingReset {
  readonly reason: ResetReason;
  readonly head: Position;
  readonly after: number;
}

/**
 * One open room of this process, and its class that gets every message. The broker's flow waits in `pending` until
 * {@link Room.takeIn} puts it into the ring and moves `head`; from there each lane sends it in its own turn. So the head
 * says what can be replayed, and `sentTo` what a lane's live members were sent: a subscription joins where it stands
 * exactly there.
 */
export class Room extends Delivery {
  readonly name: RoomName;
  readonly settings: RoomSettings;
  readonly ring: Ring;
  #lastReset: ResetReason = "epoch";
  /** Sent live to all members of all classes since it was asked last, and what was answered then. */
  #wroteBytes = 0;
  #tookBytes = 0;
  /** Offset of the newest message received, taken in or not. */
  #received: number;
  #pending: Message[] = [];
  #pendingResets: PendingReset[] | undefined;
  /** Up to here nothing follows what is pending. */
  #checkpoint: number | undefined;
  /** Conflated classes by rate, those with somebody in them. Made when the first comes: most rooms have none. */
  #classes: Map<number, RoomClass> | undefined;

  constructor(
    name: RoomName,
    settings: RoomSettings,
    head: Position,
    budget: HistoryBudget,
    ringMessages: number,
    counters: Counters,
  ) {
    super(counters, head, 0);
    this.name = name;
    this.settings = settings;
    this.#received = head.offset;
    this.ring = new Ring(name, budget, ringMessages, head.offset);
  }

  /** The position of the last message taken in. */
  get head(): Position {
    return this.flow.last.position;
  }

  /** Counts resets, so that a replay under way notices one. */
  get resets(): number {
    return this.flow.last.resets;
  }

  get lastReset(): ResetReason {
    return this.#lastReset;
  }

  get topic(): string {
    return this.name;
  }

  get rate(): Rate {
    return "all";
  }

  wrote(bytes: number): void {
    this.#wroteBytes += bytes;
  }

  told(goal: Point, reached: number): readonly ControlFrame[] {
    return toldOfRoom(this.name, goal, reached);
  }

  /** Bytes that its flow put on sockets since the last call. */
  takeWroteBytes(): number {
    this.#tookBytes = this.#wroteBytes;
    this.#wroteBytes = 0;
    return this.#tookBytes;
  }

  /** What {@link Room.takeWroteBytes} returned last. */
  get tookBytes(): number {
    return this.#tookBytes;
  }

  /** Every class with somebody in it, and how many are live there. */
  classMembers(): readonly { readonly rate: Rate; readonly members: number }[] {
    const conflated = [...(this.#classes?.values() ?? [])].map(({ rate, members }) => ({ rate, members }));
    return [{ rate: "all", members: this.members }, ...conflated];
  }

  /** The class of this rate: itself for every message, undefined where nobody is in a conflated one. */
  find(rate: Rate): Delivery | undefined {
    return rate === "all" ? this : this.#classes?.get(rate);
  }

  /** The class of this rate, to enter it at once: one that nobody is in does not come to an end by itself. */
  classOf(rate: Rate, paces: Paces): Delivery {
    if (rate === "all") return this;
    this.#classes ??= new Map();
    let found = this.#classes.get(rate);
    if (found === undefined) {
      found = new RoomClass(this, rate, paces);
      this.#classes.set(rate, found);
    }
    return found;
  }

  forgetClass({ rate }: RoomClass): void {
    this.#classes?.delete(rate);
    if (this.#classes?.size === 0) this.#classes = undefined;
  }

  /** Offset of the newest message received. */
  get received(): number {
    return this.#received;
  }

  /** Takes the next message from the broker. True where the room now waits to be taken in. */
  receive(message: Message): boolean {
    const first = !this.#hasPending;
    if (!this.settings.ephemeral) {
      if (message.offset <= this.#received) {
        this.counters.chainBroken += 1;
        return false;
      }
      // The port promises a gapless flow; members are told rather than left with a hole if it is ever broken.
      if (message.prev > this.#received) {
        this.counters.chainBroken += 1;
        this.reset({ epoch: this.#epoch, offset: message.prev }, "expired");
      }
      this.#received = message.offset;
    }
    this.#pending.push(message);
    return first;
  }

  /** Continuity is lost after what was received so far. True where the room now waits to be taken in. */
  reset(head: Position, reason: ResetReason): boolean {
    const first = !this.#hasPending;
    this.#received = head.offset;
    this.#pendingResets ??= [];
    this.#pendingResets.push({ reason, head, after: this.#pending.length });
    this.#checkpoint = undefined;
    return first;
  }

  /** Nothing lies between what was received last and this offset. True where the room now waits to be taken in. */
  checkpoint(offset: number): boolean {
    if (this.settings.ephemeral || offset <= this.#received) return false;
    const first = !this.#hasPending;
    this.#received = offset;
    this.#checkpoint = offset;
    return first;
  }

  /** Puts what is pending into the ring, moves the head, and queues the room at each of its lanes. */
  takeIn(lanes: Lanes, nowMs: number): void {
    const pending = this.#pending;
    const resets = this.#pendingResets;
    const checkpoint = this.#checkpoint;
    this.#pending = [];
    this.#pendingResets = undefined;
    this.#checkpoint = undefined;
    if (resets === undefined) this.#takeMessages(pending, lanes, nowMs);
    else this.#takeAll(pending, resets, lanes, nowMs);
    if (checkpoint !== undefined && checkpoint > this.head.offset)
      this.#takeCheckpoint(checkpoint, lanes, nowMs);
    this.queue(lanes);
  }

  /** Gives up what it holds: nobody is in it any more. */
  close(): void {
    this.#pending = [];
    this.#pendingResets = undefined;
    this.ring.clear(this.head.offset);
  }

  get #hasPending(): boolean {
    return this.#pending.length > 0 || this.#pendingResets !== undefined || this.#checkpoint !== undefined;
  }

  /** The epoch of what is received now. */
  get #epoch(): string {
    return (this.#pendingResets?.at(-1)?.head ?? this.head).epoch;
  }

  #takeAll(pending: readonly Message[], resets: readonly PendingReset[], lanes: Lanes, nowMs: number): void {
    let taken = 0;
    for (const { reason, head, after } of resets) {
      const messages = pending.slice(taken, after);
      this.flow.append(messages, reason, head);
      for (const one of this.#classes?.values() ?? []) {
        one.take(messages, lanes, nowMs);
        one.reset(head, reason, lanes, nowMs);
      }
      this.#lastReset = reason;
      this.counters.resets += 1;
      // What came before it went to the lanes only: nobody can resume there any more.
      this.ring.clear(head.offset);
      taken = after;
    }
    this.#takeMessages(pending.slice(taken), lanes, nowMs);
  }

  #takeCheckpoint(offset: number, lanes: Lanes, nowMs: number): void {
    const head = { epoch: this.head.epoch, offset };
    this.flow.append([], undefined, head);
    for (const one of this.#classes?.values() ?? []) one.checkpoint(head, lanes, nowMs);
  }

  #takeMessages(messages: readonly Message[], lanes: Lanes, nowMs: number): void {
    const last = messages[messages.length - 1];
    if (last === undefined) return;
    const { ephemeral } = this.settings;
    if (!ephemeral) for (const message of messages) this.counters.ringEvictions += this.ring.append(message);
    const offset = ephemeral ? this.head.offset : last.offset;
    this.flow.append(messages, undefined, { epoch: this.head.epoch, offset });
    if (this.#classes === undefined) return;
    for (const one of this.#classes.values()) one.take(messages, lanes, nowMs);
  }
}
