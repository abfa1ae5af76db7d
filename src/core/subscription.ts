import type { Rate, ResetReason, SubscribeResult } from "../protocol/frames.js";
import type { Message } from "../protocol/message.js";
import type { RoomName } from "../protocol/room-name.js";
import type { ServerWire } from "../protocol/wire.js";
import type { Named } from "./by-name.js";
import type { Counters } from "./counters.js";
import type { Newest } from "./newest.js";
import type { Paces } from "./paces.js";
import type { Packer } from "./packer.js";
import type { Room } from "./room.js";
import type { Member } from "./room-lane.js";
import type { Terms } from "./terms.js";

/** Messages fetched for one subscription, handed out before anything from the ring. */
export interface Fetched {
  readonly messages: readonly Message[];
  /** Offset up to which they are complete. */
  readonly upTo: number;
}

/** A replay under way. */
export interface Replay {
  readonly kind: "replaying";
  /** The class that it leads into; a conflated one leaves out what a later message of the same key stands for. */
  readonly rate: Rate;
  /** Everything up to here has been sent, or need not be. */
  cursor: number;
  /** What the client has as its position: the `prev` of the next message is never above it. */
  delivered: number;
  /** `Room.resets` when the replay began: another number means that the cursor is void. */
  readonly resets: number;
  /** History after the cursor is gone: the cursor is void too. */
  lost: ResetReason | undefined;
  fetched: Fetched | undefined;
  /** Next message of `fetched`. */
  next: number;
  /** The server has moved the subscription to this class, and the client has still to be told. */
  untold: boolean;
  /** The answer to the request, which goes out in one write with what follows it; undefined once it has. */
  answer: Uint8Array | undefined;
}

/** On its lane's topic of a class. */
export interface Live {
  readonly kind: "live";
  readonly rate: Rate;
}

export type SubscriptionState =
  /** Waits for the broker; the request is not answered yet. `isAgain`: another one was before. */
  | { readonly kind: "opening"; readonly isAgain: boolean }
  | Replay
  /** Waits for a page of history. */
  | { readonly kind: "reading" }
  | Live
  /** The socket lost frames; the client will ask again. */
  | { readonly kind: "lagged" }
  /** The session has given it up. */
  | { readonly kind: "abandoned" };

export const OPENING: SubscriptionState = Object.freeze({ kind: "opening", isAgain: false });
export const REOPENING: SubscriptionState = Object.freeze({ kind: "opening", isAgain: true });
export const READING: SubscriptionState = Object.freeze({ kind: "reading" });
export const LAGGED: SubscriptionState = Object.freeze({ kind: "lagged" });
const ABANDONED: SubscriptionState = Object.freeze({ kind: "abandoned" });

/**
 * Whether the room comes to its session by name, and by no pattern: from the first answer to the end. Not while the client has
 * to ask again: it does not know which of its answers were lost.
 */
export function isHeld(state: SubscriptionState): boolean {
  switch (state.kind) {
    case "opening":
      return state.isAgain;
    case "replaying":
    case "reading":
    case "live":
      return true;
    case "lagged":
    case "abandoned":
      return false;
  }
}

const LIVE: Live = Object.freeze({ kind: "live", rate: "all" });
const LIVE_BY_RATE = new Map<Rate, Live>([["all", LIVE]]);

/** One object for all that are live in classes of this rate. */
function liveAt(rate: Rate): Live {
  let live = LIVE_BY_RATE.get(rate);
  if (live === undefined) {
    live = Object.freeze({ kind: "live", rate });
    LIVE_BY_RATE.set(rate, live);
  }
  return live;
}

/** Where a subscription begins: what `ok` says, and what is sent before the ring takes over. */
export interface Start {
  readonly result: SubscribeResult;
  readonly cursor: number;
  readonly fetched: Fetched | undefined;
  readonly resets: number;
}

/** What a slice of replay came to. */
export type Slice =
  /** The chunk is full: go on with the next one. */
  | "full"
  /** Caught up and joined. */
  | "live"
  /** The ring does not reach back: read history after the cursor. */
  | "history"
  /** Ahead of what its lane was sent, or even of what this process was handed: wait for the lane's next flush. */
  | "ahead";

/** What all replays of a process share. */
export interface ReplayTools {
  readonly packer: Packer;
  readonly newest: Newest;
  readonly paces: Paces;
  readonly counters: Counters;
}

/** One session's place in one room. Holds no offset while live: then the topic does all the work. */
export class Subscription implements Named<Subscription> {
  readonly name: RoomName;
  /** {@link ByName}'s. */
  following: Subscription | undefined;
  readonly terms: Terms;
  room: Room | undefined;
  state: SubscriptionState = OPENING;

  constructor(name: RoomName, terms: Terms) {
    this.name = name;
    this.terms = terms;
  }

  /** Whether the session has given it up, perhaps while the room was opening. */
  get abandoned(): boolean {
    return this.state === ABANDONED;
  }

  abandon(): void {
    this.state = ABANDONED;
  }

  /** Whether the server has moved it to another class than it asked for. */
  get isMoved(): boolean {
    const { state } = this;
    return (state.kind === "live" || state.kind === "replaying") && state.rate !== this.terms.rate;
  }

  /** `answer`: what to send before anything else. */
  begin(start: Start, answer: Uint8Array | undefined): void {
    const { cursor, result, resets, fetched } = start;
    const replay = createReplay(this.terms.rate, cursor, result.offset, resets, fetched);
    replay.answer = answer;
    this.state = replay;
  }

  /** The answer where it has not been sent; it is the caller's to send now. */
  takeAnswer(): Uint8Array | undefined {
    if (this.state.kind !== "replaying") return undefined;
    const { answer } = this.state;
    this.state.answer = undefined;
    return answer;
  }

  /**
   * Fills the packer with what comes next. Where its lane's topic stands it joins that and adds `live` in this same
   * synchronous step: no gap, no duplicate, no merge. The caller sends the chunk before anything else is flushed.
   *
   * A conflated class is behind the room by what waits in it. There the replay goes to the room's head and joins at
   * once: what the class then sends of before that is dropped by the client, and nobody waits for a window.
   */
  replay(room: Room, replay: Replay, member: Member, tools: ReplayTools): Slice {
    const { wire, lane } = member;
    const { packer, counters } = tools;
    const { rate } = replay;
    if (replay.answer !== undefined) {
      if (!packer.add(replay.answer)) return "full";
      replay.answer = undefined;
    }
    if (replay.untold) {
      if (!packer.add(wire.encode({ type: "rate", room: room.name, rate }))) return "full";
      replay.untold = false;
    }
    if (replay.lost !== undefined || replay.resets !== room.resets)
      return restart(this, room, replay, wire, packer);
    const sent = room.find(rate)?.sentTo(lane) ?? room.flow.last;
    // The topic has still to get a reset that lies behind this replay: until then its offsets mean something else.
    if (sent.resets !== room.resets) return "ahead";
    const conflated = rate !== "all";
    const { offset } = conflated ? room.head : sent.position;
    for (;;) {
      const message = nextMessage(room, replay, offset);
      if (message === "history") return "history";
      if (message === undefined) break;
      if (conflated && tools.newest.isSuperseded(room, message)) counters.conflated += 1;
      else if (this.terms.echo || message.origin !== member.id) {
        if (!packer.add(wire.encodeMessage(message, Math.min(message.prev, replay.delivered)))) return "full";
        replay.delivered = message.offset;
        counters.replayedMessages += 1;
      }
      advance(replay, message);
    }
    if (replay.cursor > offset && !conflated) return "ahead";
    const head = Math.max(offset, replay.cursor);
    if (!packer.add(wire.encode({ type: "live", room: room.name, offset: head }))) return "full";
    room.classOf(rate, tools.paces).enter(member, this.terms.echo);
    this.state = liveAt(rate);
    return "live";
  }

  /**
   * Goes on in another class: takes it off its topic, and replays from where that stood. False where it is there
   * already, or not yet where it could be moved.
   */
  move(rate: Rate, member: Member): boolean {
    const { room, state } = this;
    if (room === undefined || (state.kind !== "live" && state.kind !== "replaying") || state.rate === rate)
      return false;
    if (state.kind === "replaying") {
      this.state = { ...state, rate, untold: true };
      return true;
    }
    const delivery = room.find(state.rate) ?? room;
    const { position, resets } = delivery.sentTo(member.lane);
    delivery.leave(member);
    const replay = createReplay(rate, position.offset, position.offset, resets, undefined);
    replay.untold = true;
    this.state = replay;
    return true;
  }

  /** Takes a live subscription off its topic. */
  leave(member: Member): void {
    if (this.state.kind === "live") this.room?.find(this.state.rate)?.leave(member);
  }
}

// No private method: each of a class's objects would be 8 bytes bigger for it, and there are some for every connection.
/** What the cursor stood on is gone: the client is told, and goes on from the head. */
function restart(
  subscription: Subscription,
  room: Room,
  replay: Replay,
  wire: ServerWire,
  packer: Packer,
): Slice {
  const { epoch, offset } = room.head;
  const reason = replay.lost ?? room.lastReset;
  if (packer.add(wire.encode({ type: "reset", room: room.name, epoch, offset, reason })))
    subscription.state = createReplay(replay.rate, offset, offset, room.resets, undefined);
  return "full";
}

export function createReplay(
  rate: Rate,
  cursor: number,
  delivered: number,
  resets: number,
  fetched: Fetched | undefined,
): Replay {
  return {
    kind: "replaying",
    rate,
    cursor,
    delivered,
    resets,
    lost: undefined,
    fetched,
    next: 0,
    untold: false,
    answer: undefined,
  };
}

/** The next message to send, undefined where the replay has reached `end`, "history" where some are missing before that. */
function nextMessage(room: Room, replay: Replay, end: number): Message | "history" | undefined {
  const { fetched } = replay;
  if (fetched !== undefined) {
    const message = fetched.messages[replay.next];
    if (message !== undefined) return message;
    replay.cursor = Math.max(replay.cursor, fetched.upTo);
    replay.fetched = undefined;
  }
  if (replay.cursor >= end) return undefined;
  if (!room.ring.covers(replay.cursor)) return "history";
  const message = room.ring.at(room.ring.indexAfter(replay.cursor));
  // `prev` is rewritten for the client, so a hole must be seen here.
  return message !== undefined && message.prev > replay.cursor ? "history" : message;
}

function advance(replay: Replay, message: Message): void {
  if (replay.fetched !== undefined) replay.next += 1;
  replay.cursor = Math.max(replay.cursor, message.offset);
}
