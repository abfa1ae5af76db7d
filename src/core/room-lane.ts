import type { ControlFrame, Rate } from "../protocol/frames.js";
import type { Message } from "../protocol/message.js";
import { jsonWire, msgpackWire, type ServerWire } from "../protocol/wire.js";
import type { Counters } from "./counters.js";
import { type Flow, goalFrom, messagesBetween, type Point } from "./flow.js";
import type { Flushable, Lane } from "./lane.js";
import type { Packer } from "./packer.js";
import type { Fanout } from "./ports.js";

/** A session as its rooms see it. */
export interface Member {
  readonly id: string;
  readonly wire: ServerWire;
  readonly lane: Lane;
  join(topic: string): void;
  leave(topic: string): void;
  send(bytes: Uint8Array): void;
}

/** What its part needs of a room, or of whatever else has a flow. */
export interface Parted {
  /** What its topics end with. */
  readonly topic: string;
  /** Its delivery class. */
  readonly rate: Rate;
  readonly flow: Flow;
  readonly counters: Counters;
  /** What is told where a flush ends at this point, after its messages, the last of which is at `reached`. */
  told(goal: Point, reached: number): readonly ControlFrame[];
  /** So many bytes went to sockets, those of each socket counted. */
  wrote(bytes: number): void;
  /** Nobody is in this part any more. */
  forget(part: RoomLane): void;
}

/**
 * One room's part in one lane: who of the lane is live in the room, and how far it was sent to them. It exists
 * while somebody is live or waits for its flush. There may be one for every connection, so it is small (no `#private` method,
 * which takes 8 bytes): a topic,
 * four times its own memory, is made for the second member only.
 */
export class RoomLane implements Flushable {
  readonly lane: Lane;
  queued = false;
  readonly #room: Parted;
  #sent: Point;
  /** Live members by wire. */
  #binary = 0;
  #text = 0;
  /** The only live member, while it has been alone: sent to directly, on no topic. */
  #alone: Member | undefined;
  /** Live members that must not get what they publish themselves (`echo: false`). */
  #echoless: Map<string, Member> | undefined;
  #waiting: (() => void)[] | undefined;

  constructor(room: Parted, lane: Lane) {
    this.#room = room;
    this.lane = lane;
    this.#sent = room.flow.enter();
  }

  /** What its live members were sent: everything before this point, nothing behind it. */
  get sent(): Point {
    return this.#sent;
  }

  get members(): number {
    return this.#binary + this.#text;
  }

  /** Takes a member in. It must have been sent everything up to {@link RoomLane.sent}, as the others have. */
  enter(member: Member, echo: boolean): void {
    if (this.members === 0) this.#alone = member;
    else {
      this.#alone?.join(this.topic(this.#alone.wire));
      this.#alone = undefined;
      member.join(this.topic(member.wire));
    }
    this.count(member.wire, 1);
    this.lane.telemetry.count(this.#room.rate, 1);
    if (echo) return;
    this.#echoless ??= new Map();
    this.#echoless.set(member.id, member);
  }

  leave(member: Member): void {
    this.count(member.wire, -1);
    this.lane.telemetry.count(this.#room.rate, -1);
    if (member === this.#alone) this.#alone = undefined;
    else member.leave(this.topic(member.wire));
    this.#echoless?.delete(member.id);
    this.forgetIfIdle();
  }

  /** Calls back once, after the next flush. */
  afterFlush(wake: () => void): void {
    this.#waiting ??= [];
    this.#waiting.push(wake);
  }

  /**
   * Puts what the room has taken in on the topics, packed, up to the first reset. What is behind that waits for
   * another tick: leaving a topic in the tick that published to it could lose what uWS still holds for the socket.
   */
  flush(fanout: Fanout, packer: Packer): void {
    // Everybody left since it was queued, and the flow has forgotten where it stood.
    if (this.isIdle) return;
    const { flow } = this.#room;
    const from = this.#sent;
    const goal = goalFrom(from);
    const messages = messagesBetween(from, goal);
    // First of all, so that nothing is sent twice, whatever throws.
    flow.move(from, goal);
    this.#sent = goal;
    try {
      this.send(messages, from, goal, fanout, packer);
    } finally {
      if (this.#waiting !== undefined) this.wake(this.#waiting);
      if (goal !== flow.last && !this.isIdle) this.lane.queue(this);
    }
  }

  private wake(waiting: readonly (() => void)[]): void {
    this.#waiting = undefined;
    for (const wake of waiting) wake();
    this.forgetIfIdle();
  }

  private get isIdle(): boolean {
    return this.#waiting === undefined && this.members === 0;
  }

  private forgetIfIdle(): void {
    if (!this.isIdle) return;
    this.#room.flow.leave(this.#sent);
    this.#room.forget(this);
  }

  private count({ binary }: ServerWire, members: number): void {
    if (binary) this.#binary += members;
    else this.#text += members;
  }

  private topic({ binary }: ServerWire): string {
    return (binary ? this.lane.binaryTopics : this.lane.textTopics) + this.#room.topic;
  }

  private send(messages: readonly Message[], from: Point, goal: Point, fanout: Fanout, packer: Packer): void {
    try {
      if (messages.length > 0) this.sendMessages(messages, fanout, packer);
    } finally {
      const reached = messages[messages.length - 1]?.offset ?? from.position.offset;
      for (const frame of this.#room.told(goal, reached)) this.sendControl(frame, fanout);
    }
  }

  private sendMessages(messages: readonly Message[], fanout: Fanout, packer: Packer): void {
    const { rate, counters } = this.#room;
    const { members } = this;
    // Only callbacks wait.
    if (members === 0) return;
    counters.deliveries += messages.length * members;
    this.lane.telemetry.note(rate, messages, members);
    if (this.#alone !== undefined) {
      for (const frame of this.framesFor(this.#alone, messages)) {
        this.#room.wrote(frame.length);
        this.lane.post(this.#alone, frame);
      }
      return;
    }
    const own = this.#echoless === undefined ? undefined : authors(messages, this.#echoless);
    // Such a member is off its topic for one flush, and is sent what the others publish.
    let binary = this.#binary;
    let text = this.#text;
    for (const member of own ?? []) {
      member.leave(this.topic(member.wire));
      if (member.wire.binary) binary -= 1;
      else text -= 1;
    }
    try {
      if (binary > 0) this.publish(messages, msgpackWire, binary, fanout, packer);
      if (text > 0) this.publish(messages, jsonWire, text, fanout, packer);
    } finally {
      for (const member of own ?? []) {
        // At once: a reset that follows comes by the topic.
        this.lane.send(member, this.framesFor(member, messages), packer);
        member.join(this.topic(member.wire));
      }
    }
  }

  private publish(
    messages: readonly Message[],
    wire: ServerWire,
    sockets: number,
    fanout: Fanout,
    packer: Packer,
  ): void {
    const topic = this.topic(wire);
    for (const message of messages) {
      const frame = wire.encodeMessage(message);
      if (packer.add(frame)) continue;
      this.emit(topic, wire, sockets, fanout, packer);
      packer.add(frame);
    }
    this.emit(topic, wire, sockets, fanout, packer);
  }

  private emit(topic: string, { binary }: ServerWire, sockets: number, fanout: Fanout, packer: Packer): void {
    const chunk = packer.take();
    if (chunk === undefined) return;
    const { counters } = this.#room;
    counters.topicPublishes += 1;
    counters.topicBytes += chunk.length;
    counters.topicSentBytes += chunk.length * sockets;
    counters.deliveryFrames += sockets;
    this.lane.published(chunk.length, sockets);
    this.#room.wrote(chunk.length * sockets);
    fanout.publish(topic, chunk, binary);
  }

  /** Messages for one member alone, chained over its own where it must not get those. */
  private framesFor({ wire, id }: Member, messages: readonly Message[]): Uint8Array[] {
    // Nobody leaves anything out. And messages of several rooms chain in each of them, not to each other.
    if (this.#echoless === undefined) return messages.map((message) => wire.encodeMessage(message));
    const echo = !this.#echoless.has(id);
    const frames: Uint8Array[] = [];
    let delivered = messages[0]?.prev ?? 0;
    for (const message of messages) {
      if (!echo && message.origin === id) {
        this.#room.counters.deliveries -= 1;
        continue;
      }
      frames.push(wire.encodeMessage(message, Math.min(message.prev, delivered)));
      delivered = message.offset;
    }
    const last = messages[messages.length - 1];
    // Its own message was the last: the position moves past it without the message.
    if (last !== undefined && last.offset > delivered)
      frames.push(wire.encode({ type: "live", room: last.room, offset: last.offset }));
    return frames;
  }

  private sendControl(frame: ControlFrame, fanout: Fanout): void {
    if (this.#alone !== undefined) {
      this.lane.post(this.#alone, this.#alone.wire.encode(frame));
      return;
    }
    if (this.#binary > 0) fanout.publish(this.topic(msgpackWire), msgpackWire.encode(frame), true);
    if (this.#text > 0) fanout.publish(this.topic(jsonWire), jsonWire.encode(frame), false);
  }
}

/** The members that published some of these themselves. */
function authors(messages: readonly Message[], members: ReadonlyMap<string, Member>): Set<Member> {
  const own = new Set<Member>();
  for (const { origin } of messages) {
    const member = origin === undefined ? undefined : members.get(origin);
    if (member !== undefined) own.add(member);
  }
  return own;
}
