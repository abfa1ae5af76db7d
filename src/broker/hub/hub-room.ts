import type { Sink } from "../../core/ports.js";
import type { CodedError } from "../../protocol/errors.js";
import type { Position, ResetReason } from "../../protocol/frames.js";
import type { Message } from "../../protocol/message.js";
import type { RoomName } from "../../protocol/room-name.js";

/** A room's member at the hub: one worker that has it open. */
export interface RoomPeer {
  /** One live message, encoded. */
  deliver(record: Uint8Array): void;
  /** The flow after `head` begins, as the answer to `member`'s open. */
  opened(member: RoomMember, head: Position, lost: ResetReason | undefined): void;
  failed(member: RoomMember, error: CodedError): void;
  /** The flow of `member`, live or being replayed, goes on after `head`. */
  reset(member: RoomMember, head: Position, reason: ResetReason): void;
  /** Nothing lies between what `member`, which is live, was sent last and this offset. */
  checkpoint(member: RoomMember, offset: number): void;
  /** Reads what `member` lacks; calls {@link HubRoom.caughtUp} when it has been sent. */
  replay(member: RoomMember): void;
}

/** One time that a worker opens a room. */
export class RoomMember {
  readonly peer: RoomPeer;
  readonly room: HubRoom;
  /** Of the worker's request. */
  readonly ref: number;
  /** Of the position asked for; undefined where none was. */
  readonly epoch: string | undefined;
  /** What the worker has, or was sent, up to; while it is being replayed. */
  cursor: number;
  /** "waiting" for the broker to open the room; "gone" for good. */
  state: "waiting" | "replaying" | "live" | "gone" = "waiting";

  constructor(peer: RoomPeer, room: HubRoom, ref: number, after: Position | undefined) {
    this.peer = peer;
    this.room = room;
    this.ref = ref;
    this.epoch = after?.epoch;
    this.cursor = after?.offset ?? 0;
  }

  /** Whether it gets what comes now, or will by its replay. */
  get isFollowing(): boolean {
    return this.state === "live" || this.state === "replaying";
  }

  /** Whether it has been promised what it was not sent yet. */
  get lacksSome(): boolean {
    return this.state === "replaying" || (this.state === "waiting" && this.epoch !== undefined);
  }
}

/** What a room needs of its hub. */
export interface RoomOwner {
  /** Encodes a live message once, for all members; valid until the next call. */
  encode(number: number, message: Message): Uint8Array;
  /** A message for those who do not have the room open and whose patterns mean it. */
  watched(message: Message): void;
  /** The same must be told that something is lost. */
  lostIn(room: RoomName): void;
}

/**
 * One room that is open at the broker for all workers that have it open: the broker's sink. `head` is what the live
 * members have been sent; a member whose cursor has reached it becomes live in the same synchronous step: no gap, no double.
 */
export class HubRoom implements Sink {
  readonly name: RoomName;
  /** The same for all workers; used again for another room only after the last of them has closed this one. */
  readonly number: number;
  readonly #owner: RoomOwner;
  readonly #live: RoomMember[] = [];
  /** Members that wait or are being replayed. */
  readonly #others = new Set<RoomMember>();
  #epoch = "";
  #offset = 0;
  #isOpen = false;
  /** Of a reset that came while the broker was opening the room. */
  #earlyEpoch: string | undefined;

  constructor(name: RoomName, number: number, owner: RoomOwner) {
    this.name = name;
    this.number = number;
    this.#owner = owner;
  }

  get head(): Position {
    return { epoch: this.#epoch, offset: this.#offset };
  }

  /** The offset of {@link HubRoom.head}. */
  get offset(): number {
    return this.#offset;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  get isEmpty(): boolean {
    return this.#live.length === 0 && this.#others.size === 0;
  }

  /** Takes a member in; it is answered at once, or when the broker has opened the room. */
  join(member: RoomMember): void {
    this.#others.add(member);
    if (this.isOpen) this.#start(member);
  }

  /** Nothing goes to the member any more. */
  leave(member: RoomMember): void {
    if (member.state === "live") {
      const index = this.#live.indexOf(member);
      const last = this.#live.pop();
      if (last !== undefined && last !== member) this.#live[index] = last;
    } else this.#others.delete(member);
    member.state = "gone";
  }

  /** The broker has opened the room. What it handed over meanwhile lies before the answers: it is for patterns, else for nobody. */
  opened({ epoch, offset }: Position): void {
    this.#isOpen = true;
    this.#offset = this.#earlyEpoch === undefined ? Math.max(offset, this.#offset) : this.#offset;
    this.#epoch = this.#earlyEpoch ?? epoch;
    for (const member of [...this.#others]) this.#start(member);
  }

  /** The broker would not open it. */
  failed(error: CodedError): void {
    for (const member of [...this.#others]) {
      this.leave(member);
      member.peer.failed(member, error);
    }
  }

  message(message: Message): void {
    this.#offset = message.offset;
    if (this.#live.length > 0) {
      const record = this.#owner.encode(this.number, message);
      for (const member of this.#live) member.peer.deliver(record);
    }
    this.#owner.watched(message);
  }

  reset(_room: RoomName, { epoch, offset }: Position, reason: ResetReason): void {
    this.#offset = offset;
    this.#owner.lostIn(this.name);
    if (!this.#isOpen) {
      this.#earlyEpoch = epoch;
      return;
    }
    this.#epoch = epoch;
    for (const member of this.#live) member.peer.reset(member, this.head, reason);
    for (const member of [...this.#others]) this.lost(member, reason);
  }

  checkpoint(_room: RoomName, offset: number): void {
    if (offset <= this.#offset) return;
    this.#offset = offset;
    for (const member of this.#live) member.peer.checkpoint(member, offset);
  }

  /** A replaying member's position cannot be served: it goes on at the head, and is told. */
  lost(member: RoomMember, reason: ResetReason): void {
    member.peer.reset(member, this.head, reason);
    this.#goLive(member);
  }

  /** A replaying member was sent everything up to its cursor. True where it is live now, false where it lacks more. */
  caughtUp(member: RoomMember): boolean {
    if (member.cursor < this.#offset) return false;
    this.#goLive(member);
    return true;
  }

  #start(member: RoomMember): void {
    const { epoch, cursor, peer } = member;
    if (epoch === undefined || (epoch === this.#epoch && cursor === this.#offset)) {
      peer.opened(member, this.head, undefined);
      this.#goLive(member);
    } else if (epoch !== this.#epoch) {
      peer.opened(member, this.head, "epoch");
      this.#goLive(member);
    } else {
      peer.opened(member, { epoch, offset: cursor }, undefined);
      member.state = "replaying";
      peer.replay(member);
    }
  }

  #goLive(member: RoomMember): void {
    this.#others.delete(member);
    member.state = "live";
    this.#live.push(member);
  }
}
