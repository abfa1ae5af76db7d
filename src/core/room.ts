import type { Position, ResetReason } from "../protocol/frames.js";
import type { Message } from "../protocol/message.js";
import type { RoomName } from "../protocol/room-name.js";
import type { ServerWire } from "../protocol/wire.js";
import type { ByteBudget } from "./byte-budget.js";
import type { Counters } from "./counters.js";
import type { Packer } from "./packer.js";
import type { Fanout } from "./ports.js";
import { Ring } from "./ring.js";
import type { RoomSettings } from "./settings.js";

/** A session as its rooms see it. */
export interface Member {
  readonly id: string;
  readonly wire: ServerWire;
  join(topic: string): void;
  leave(topic: string): void;
  send(bytes: Uint8Array): void;
}

type Pending = { readonly message: Message } | { readonly reset: ResetReason; readonly head: Position };

/**
 * One open room of this process. The broker's flow waits in `pending` until {@link Room.flush} puts it on the
 * topics and into the ring in one synchronous step. So `head` is what every live member was sent, and a
 * subscription that has been replayed up to `head` joins without a gap or a duplicate.
 */
export class Room {
  readonly name: RoomName;
  readonly settings: RoomSettings;
  readonly ring: Ring;
  /** Counts resets, so that a replay under way notices one. */
  resets = 0;
  #head: Position;
  #lastReset: ResetReason = "epoch";
  /** Position of the newest message received, flushed or not. */
  #received: Position;
  #pending: Pending[] = [];
  readonly #counters: Counters;
  readonly #live = new Map<ServerWire, number>();
  /** Live members that must not get what they publish themselves (`echo: false`). */
  #echoless: Map<string, Member> | undefined;
  #waiting: (() => void)[] = [];

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
    this.#head = head;
    this.#received = head;
    this.#counters = counters;
    this.ring = new Ring(budget, ringMessages, head.offset);
  }

  /** The last flushed message's position. */
  get head(): Position {
    return this.#head;
  }

  /** Whether something waits for a flush. */
  get hasPending(): boolean {
    return this.#pending.length > 0;
  }

  get lastReset(): ResetReason {
    return this.#lastReset;
  }

  /** The uWS topic of this room's live members on one wire. */
  topic(wire: ServerWire): string {
    return wire.binary ? `b.${this.name}` : `j.${this.name}`;
  }

  /** Counts a live member; call it in the same synchronous step as the topic's join. */
  enter(member: Member, echo: boolean): void {
    this.#live.set(member.wire, (this.#live.get(member.wire) ?? 0) + 1);
    if (echo) return;
    this.#echoless ??= new Map();
    this.#echoless.set(member.id, member);
  }

  leave(member: Member): void {
    this.#live.set(member.wire, (this.#live.get(member.wire) ?? 0) - 1);
    this.#echoless?.delete(member.id);
  }

  /** Calls back once, after the next flush. */
  afterFlush(wake: () => void): void {
    this.#waiting.push(wake);
  }

  /** Takes the next message from the broker. True where the room now waits for its first flush. */
  receive(message: Message): boolean {
    const first = this.#pending.length === 0;
    if (!this.settings.ephemeral) {
      if (message.offset <= this.#received.offset) {
        this.#counters.chainBroken += 1;
        return false;
      }
      // The port promises a gapless flow; members are told rather than left with a hole if it is ever broken.
      if (message.prev > this.#received.offset) {
        this.#counters.chainBroken += 1;
        this.reset({ epoch: this.#received.epoch, offset: message.prev }, "expired");
      }
      this.#received = { epoch: this.#received.epoch, offset: message.offset };
    }
    this.#pending.push({ message });
    return first;
  }

  /** Continuity is lost after what was received so far. True where the room now waits for its first flush. */
  reset(head: Position, reason: ResetReason): boolean {
    this.#received = head;
    return this.#pending.push({ reset: reason, head }) === 1;
  }

  /**
   * Puts what is pending on the topics, packed, and into the ring, up to the first reset; what is behind it waits for
   * another tick: leaving a topic in the tick that published to it could lose what uWS still holds for the socket.
   */
  flush(fanout: Fanout, packer: Packer): void {
    const resetAt = this.#pending.findIndex((item) => "reset" in item);
    const end = resetAt < 0 ? this.#pending.length : resetAt + 1;
    const pending = this.#pending;
    this.#pending = pending.slice(end);
    const messages: Message[] = [];
    for (let index = 0; index < end; index += 1) {
      const item = pending[index];
      if (item === undefined) continue;
      if ("message" in item) {
        messages.push(item.message);
        continue;
      }
      this.#flushMessages(messages, fanout, packer);
      messages.length = 0;
      this.#flushReset(item.head, item.reset, fanout);
    }
    this.#flushMessages(messages, fanout, packer);
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  #flushMessages(messages: readonly Message[], fanout: Fanout, packer: Packer): void {
    const last = messages[messages.length - 1];
    if (last === undefined) return;
    // First of all, so that whoever misses one of these, for whatever reason, can be replayed.
    if (!this.settings.ephemeral) {
      for (const message of messages) this.#counters.ringEvictions += this.ring.append(message);
      this.#head = { epoch: this.#head.epoch, offset: last.offset };
    }
    const own = this.#echoless === undefined ? [] : this.#leaveOut(messages, this.#echoless);
    try {
      for (const [wire, members] of this.#live) {
        if (members > 0) this.#publish(messages, wire, fanout, packer);
      }
    } finally {
      // Left over only where a publish threw.
      if (own.length > 0) packer.take();
      for (const member of own) this.#sendOthers(messages, member, packer);
    }
  }

  #publish(messages: readonly Message[], wire: ServerWire, fanout: Fanout, packer: Packer): void {
    const topic = this.topic(wire);
    for (const message of messages) {
      const frame = wire.encodeMessage(message);
      if (packer.add(frame)) continue;
      this.#emit(topic, wire, fanout, packer);
      packer.add(frame);
    }
    this.#emit(topic, wire, fanout, packer);
  }

  #emit(topic: string, wire: ServerWire, fanout: Fanout, packer: Packer): void {
    const chunk = packer.take();
    if (chunk === undefined) return;
    this.#counters.topicPublishes += 1;
    this.#counters.topicBytes += chunk.length;
    fanout.publish(topic, chunk, wire.binary);
  }

  /** Takes the members that published some of these themselves off the topic for one flush. */
  #leaveOut(messages: readonly Message[], echoless: Map<string, Member>): Member[] {
    const own = new Set<Member>();
    for (const { origin } of messages) {
      const member = origin === undefined ? undefined : echoless.get(origin);
      if (member !== undefined) own.add(member);
    }
    for (const member of own) member.leave(this.topic(member.wire));
    return [...own];
  }

  /** Sends such a member the others' messages, chained over its own, and puts it back on the topic. */
  #sendOthers(messages: readonly Message[], member: Member, packer: Packer): void {
    const send = (): void => {
      const chunk = packer.take();
      if (chunk !== undefined) member.send(chunk);
    };
    let delivered = messages[0]?.prev ?? 0;
    for (const message of messages) {
      if (message.origin === member.id) continue;
      const frame = member.wire.encodeMessage(message, Math.min(message.prev, delivered));
      if (!packer.add(frame)) {
        send();
        packer.add(frame);
      }
      delivered = message.offset;
    }
    send();
    member.join(this.topic(member.wire));
    const last = messages[messages.length - 1];
    // Its own message was the last: the position moves past it without the message.
    if (last !== undefined && last.offset > delivered) {
      member.send(member.wire.encode({ type: "live", room: this.name, offset: last.offset }));
    }
  }

  #flushReset(head: Position, reason: ResetReason, fanout: Fanout): void {
    this.#head = head;
    this.#lastReset = reason;
    this.resets += 1;
    this.#counters.resets += 1;
    this.ring.clear(head.offset);
    for (const [wire, members] of this.#live) {
      if (members <= 0) continue;
      const frame = wire.encode({
        type: "reset",
        room: this.name,
        epoch: head.epoch,
        offset: head.offset,
        reason,
      });
      fanout.publish(this.topic(wire), frame, wire.binary);
    }
  }
}
