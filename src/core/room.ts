import type { Position, ResetReason } from "../protocol/frames.js";
import type { Message } from "../protocol/message.js";
import type { RoomName } from "../protocol/room-name.js";
import type { ByteBudget } from "./byte-budget.js";
import type { Counters } from "./counters.js";
import { Flow, type Point } from "./flow.js";
import type { Lane } from "./lane.js";
import type { Lanes } from "./lanes.js";
import { Ring } from "./ring.js";
import { type Member, type Parted, RoomLane } from "./room-lane.js";
import type { RoomSettings } from "./settings.js";

/** A reset, and how many of the messages that wait with it came before it. */
interface PendingReset {
  readonly reason: ResetReason;
  readonly head: Position;
  readonly after: number;
}

/**
 * One open room of this process. The broker's flow waits in `pending` until {@link Room.takeIn} puts it into the
 * ring and moves `head`; from there each lane sends it in its own turn. So the head says what can be replayed, and
 * {@link Room.sentTo} what a lane's live members were sent: a subscription joins where it stands exactly there.
 */
export class Room implements Parted {
  readonly name: RoomName;
  readonly settings: RoomSettings;
  readonly ring: Ring;
  readonly flow: Flow;
  readonly counters: Counters;
  #lastReset: ResetReason = "epoch";
  /** Offset of the newest message received, taken in or not. */
  #received: number;
  #pending: Message[] = [];
  #pendingResets: PendingReset[] | undefined;
  /** By lane, those where somebody is live or waits. */
  readonly #parts = new Map<Lane, RoomLane>();

  constructor(
    name: RoomName,
    settings: RoomSettings,
    head: Position,
    budget: ByteBudget,
    ringMessages: number,
    counters: Counters,
  ) {
    this.name = name;
    this.settings = settings;
    this.#received = head.offset;
    this.counters = counters;
    this.flow = new Flow(head);
    this.ring = new Ring(budget, ringMessages, head.offset);
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

  /** How far the room's live members in this lane were sent it; the head, where there are none. */
  sentTo(lane: Lane): Point {
    return this.#parts.get(lane)?.sent ?? this.flow.last;
  }

  /** Puts a member on its lane's topic. It must stand at {@link Room.sentTo}, checked in the same synchronous step. */
  enter(member: Member, echo: boolean): void {
    this.#part(member.lane).enter(member, echo);
  }

  /** Takes a live member off. */
  leave(member: Member): void {
    this.#parts.get(member.lane)?.leave(member);
  }

  /** Calls back once, after the lane's next flush of this room. */
  afterFlush(lane: Lane, wake: () => void): void {
    this.#part(lane).afterFlush(wake);
  }

  forget({ lane }: RoomLane): void {
    this.#parts.delete(lane);
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
    return first;
  }

  /** Puts what is pending into the ring, moves the head, and queues the room at each of its lanes. */
  takeIn(lanes: Lanes): void {
    const pending = this.#pending;
    const resets = this.#pendingResets;
    this.#pending = [];
    this.#pendingResets = undefined;
    if (resets === undefined) this.#takeMessages(pending);
    else this.#takeAll(pending, resets);
    for (const [lane, part] of this.#parts) lanes.queue(lane, part);
  }

  /** Gives up what it holds: nobody is in it any more. */
  close(): void {
    this.#pending = [];
    this.#pendingResets = undefined;
    this.ring.clear(this.head.offset);
  }

  get #hasPending(): boolean {
    return this.#pending.length > 0 || this.#pendingResets !== undefined;
  }

  /** The epoch of what is received now. */
  get #epoch(): string {
    return (this.#pendingResets?.at(-1)?.head ?? this.head).epoch;
  }

  #takeAll(pending: readonly Message[], resets: readonly PendingReset[]): void {
    let taken = 0;
    for (const { reason, head, after } of resets) {
      this.flow.append(pending.slice(taken, after), reason, head);
      this.#lastReset = reason;
      this.counters.resets += 1;
      // What came before it went to the lanes only: nobody can resume there any more.
      this.ring.clear(head.offset);
      taken = after;
    }
    this.#takeMessages(pending.slice(taken));
  }

  #takeMessages(messages: readonly Message[]): void {
    const last = messages[messages.length - 1];
    if (last === undefined) return;
    if (this.settings.ephemeral) {
      this.flow.append(messages, undefined, this.head);
      return;
    }
    for (const message of messages) this.counters.ringEvictions += this.ring.append(message);
    this.flow.append(messages, undefined, { epoch: this.head.epoch, offset: last.offset });
  }

  #part(lane: Lane): RoomLane {
    const found = this.#parts.get(lane);
    if (found !== undefined) return found;
    const part = new RoomLane(this, lane);
    this.#parts.set(lane, part);
    return part;
  }
}
