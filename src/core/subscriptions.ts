import { CodedError, toCodedError } from "../protocol/errors.js";
import type { ManyItem, Rate, SubscribeOptions } from "../protocol/frames.js";
import type { RoomName } from "../protocol/room-name.js";
import { ByName } from "./by-name.js";
import type { Counters } from "./counters.js";
import type { HistoryReader } from "./history-reader.js";
import type { Limits } from "./limits.js";
import type { Newest } from "./newest.js";
import { type Outages, untold } from "./outages.js";
import type { Paces } from "./paces.js";
import type { Packer } from "./packer.js";
import type { Patterns } from "./patterns.js";
import type { Attendee, PresenceDesk } from "./presence/desk.js";
import { INFOS, infoOf } from "./presence/info.js";
import { rateChangesOf } from "./rate-changes.js";
import type { Room } from "./room.js";
import type { Rooms } from "./rooms.js";
import { rateOf, slowRateOf } from "./settings.js";
import { atHead, checkOptions, isFresh, lastOffset, resolveStart } from "./start.js";
import {
  createReplay,
  isHeld,
  LAGGED,
  OPENING,
  READING,
  REOPENING,
  type Replay,
  type Start,
  Subscription,
} from "./subscription.js";
import { termsOf } from "./terms.js";

/** What all sessions of a process share. */
export interface Shared {
  readonly rooms: Rooms;
  readonly reader: HistoryReader;
  readonly newest: Newest;
  readonly paces: Paces;
  readonly presence: PresenceDesk;
  readonly patterns: Patterns;
  readonly limits: Limits;
  readonly counters: Counters;
}

/** A subscription with the place where it begins, once the broker has answered. */
export interface Opened {
  readonly subscription: Subscription;
  readonly start: Start;
  /** It asked for nothing but what comes from now on. */
  readonly isFresh: boolean;
}

export type Opening = Opened | CodedError;

/** The session's side, as its subscriptions need it. */
export interface Owner extends Attendee {
  /** Asks for a turn in the next tick. */
  wantTurn(): void;
  /** Sends the answer to a request at once. */
  sendAnswer(answer: Uint8Array): void;
  /** Asks for a turn after a while: the broker could not answer. */
  wantRetry(): void;
}

/** All subscriptions of one session, and the replays that are under way. No `#private` method, as in the session. */
export class Subscriptions {
  readonly #owner: Owner;
  readonly #shared: Shared;
  readonly #byRoom = new ByName<Subscription>();
  /** Replays that want to send, in turn; undefined where there are none. */
  #replaying: Set<Subscription> | undefined;

  constructor(owner: Owner, shared: Shared) {
    this.#owner = owner;
    this.#shared = shared;
  }

  get wantsToSend(): boolean {
    return this.#replaying !== undefined;
  }

  /** Opens one room and finds where the subscription begins; nothing is sent before {@link Subscriptions.begin}. Never rejects. */
  open(item: ManyItem, options: SubscribeOptions, nowMs: number): Opening | Promise<Opening> {
    const { room: name } = item;
    if (name instanceof CodedError) return name;
    const { last: _last, state: _state, ...others } = options;
    const wanted = item.after === undefined ? options : { ...others, after: item.after };
    try {
      const { rooms, limits, counters } = this.#shared;
      checkOptions(wanted, rooms.settingsOf(name), limits, counters);
      const info = infoOf(wanted, limits, counters);
      return this.openRoom(name, wanted, info, nowMs);
    } catch (cause) {
      // Whoever is refused has no subscription, also where one was there before.
      this.close(name, nowMs);
      return toCodedError(cause);
    }
  }

  /**
   * Starts what {@link Subscriptions.open} found. `answer`: of the request, if it is not sent yet. `lagging`: the socket loses
   * frames just now.
   */
  begin({ subscription, start }: Opened, answer: Uint8Array | undefined, lagging: boolean): void {
    if (subscription.abandoned || lagging) this.answer(answer);
    if (subscription.abandoned) return;
    const { name, terms } = subscription;
    this.#shared.patterns.find(this.#owner)?.hold(name);
    this.#shared.presence.enter(this.#owner, name, INFOS.get(subscription));
    INFOS.delete(subscription);
    if (lagging) {
      subscription.state = LAGGED;
      return;
    }
    subscription.begin(start, answer);
    this.queue(subscription);
    if (terms.members) this.#shared.presence.watch(this.#owner, name);
  }

  /** @param isUnsubscribed By a request for just that: then what patterns mean goes on where it stopped. */
  close(name: RoomName, nowMs: number, isUnsubscribed = false): void {
    const subscription = this.#byRoom.get(name);
    if (subscription === undefined) return;
    const { state } = subscription;
    this.drop(subscription, nowMs);
    if (!isHeld(state)) return;
    const isComplete = isUnsubscribed && state.kind === "live" && state.rate === "all";
    this.#shared.patterns.find(this.#owner)?.release(name, isComplete);
  }

  /** Rooms that come to it by their names: not those that are asked for and have not been answered. */
  held(): RoomName[] {
    return this.#byRoom.all().flatMap(({ name, state }) => (isHeld(state) ? [name] : []));
  }

  private drop(subscription: Subscription, nowMs: number): void {
    const { name } = subscription;
    if (subscription.state.kind !== "opening") this.#shared.presence.leave(this.#owner, name);
    this.detach(subscription);
    this.#byRoom.delete(subscription);
    subscription.abandon();
    // One that is still opening gives its place back when it has been opened.
    if (subscription.room !== undefined) this.#shared.rooms.release(name, nowMs);
  }

  /** Rooms that are subscribed or being subscribed to now. */
  rooms(): RoomName[] {
    return this.#byRoom.all().map(({ name }) => name);
  }

  /** Whether it wants to be told who is in this room. */
  watches(name: RoomName): boolean {
    return this.#byRoom.get(name)?.terms.members === true;
  }

  /** Rooms where others may see it: subscribed, and answered. */
  attended(): RoomName[] {
    return this.#byRoom.all().flatMap(({ name, state }) => (state.kind === "opening" ? [] : [name]));
  }

  closeAll(nowMs: number): void {
    for (const { name } of this.#byRoom.all()) this.close(name, nowMs);
  }

  /** Those of its rooms that are in an outage of which it was not told before. */
  untoldOutages(outages: Outages): RoomName[] {
    return untold(this, this.names(), outages);
  }

  /** The socket lost frames, and nobody knows of which rooms: uWS reports only the first loss of a batch. */
  lag(): void {
    for (const subscription of this.#byRoom.all()) {
      if (subscription.state.kind === "opening") {
        subscription.state = OPENING;
        continue;
      }
      this.detach(subscription);
      subscription.state = LAGGED;
    }
  }

  /** Whether any is in another class than its own. */
  get areMoved(): boolean {
    return this.#byRoom.all().some((subscription) => subscription.isMoved);
  }

  /**
   * Moves to the slowest classes those that may be, or all back to their own. Returns how many it moved. The client is
   * told at the begin of each replay, which waits for the buffer to drain; till then a moved one costs nothing.
   */
  pace(pace: "slow" | "own"): number {
    const { rooms } = this.#shared;
    let moved = 0;
    for (const subscription of this.#byRoom.all()) {
      const { name, terms } = subscription;
      const rate = pace === "own" ? terms.rate : slowRateOf(rooms.settingsOf(name), terms.rate);
      if (!subscription.move(rate, this.#owner)) continue;
      moved += 1;
      this.queue(subscription);
    }
    return moved;
  }

  /** Fills one chunk from the replays, in turn. Call it only when what it filled is sent before the next flush. */
  replay(packer: Packer): void {
    const { newest, paces, counters } = this.#shared;
    const tools = { packer, newest, paces, counters };
    for (const subscription of this.#replaying ?? []) {
      const { room, state } = subscription;
      if (room === undefined || state.kind !== "replaying") {
        this.unqueue(subscription);
        continue;
      }
      const slice = subscription.replay(room, state, this.#owner, tools);
      if (slice === "full") return;
      this.unqueue(subscription);
      if (slice === "history") this.readHistory(subscription, room, state);
      if (slice === "ahead") {
        const delivery = room.find(state.rate) ?? room;
        delivery.afterFlush(this.#owner.lane, () => this.queue(subscription));
      }
    }
  }

  private openRoom(
    name: RoomName,
    options: SubscribeOptions,
    info: Uint8Array | undefined,
    nowMs: number,
  ): Opening | Promise<Opening> {
    const { rooms, reader, limits, counters } = this.#shared;
    const before = this.#byRoom.get(name);
    if (before === undefined && this.#byRoom.size >= limits.roomsPerConnection) {
      counters.tooManyRooms += 1;
      throw new CodedError(
        "too_many_rooms",
        `this connection has ${limits.roomsPerConnection} rooms, its limit`,
      );
    }
    const rate = rateOf(rooms.settingsOf(name), options.rate);
    if (before !== undefined && before.terms.rate !== rate) this.countChange(nowMs);
    // The new subscription takes its place first, so that the room can not close in between.
    const room = rooms.acquire(name);
    const isAgain = before !== undefined && isHeld(before.state);
    if (before !== undefined) this.drop(before, nowMs);
    // The room's own copy of its name, where there is one: a string a subscription would be a third of its memory.
    const terms = termsOf(rate, options.echo ?? true, options.members ?? false);
    const subscription = new Subscription(room instanceof Promise ? name : room.name, terms);
    if (isAgain) subscription.state = REOPENING;
    this.#byRoom.add(subscription);
    if (info !== undefined) INFOS.set(subscription, info);
    if (room instanceof Promise) {
      return room.then(
        (opened) => this.resolve(subscription, opened, options),
        (cause: unknown) => this.fail(subscription, cause),
      );
    }
    subscription.room = room;
    const start = resolveStart(room, options, rate, reader);
    if (start instanceof Promise) return this.settle(subscription, start, options);
    return { subscription, start: paced(start, rate), isFresh: isFresh(options) };
  }

  /** @throws CodedError `rate_limited` */
  private countChange(nowMs: number): void {
    const { counters } = this.#shared;
    counters.rateChanges += 1;
    if (rateChangesOf(this).allows(this.#byRoom.size, nowMs)) return;
    counters.rateChangesRefused += 1;
    const text = "this connection changes the rates of its subscriptions too often";
    throw new CodedError("rate_limited", text, 1_000);
  }

  private resolve(
    subscription: Subscription,
    room: Room,
    options: SubscribeOptions,
  ): Opening | Promise<Opening> {
    if (subscription.abandoned) {
      this.#shared.rooms.release(subscription.name, 0);
      return superseded(subscription.name);
    }
    subscription.room = room;
    const start = Promise.resolve(resolveStart(room, options, subscription.terms.rate, this.#shared.reader));
    return this.settle(subscription, start, options);
  }

  private settle(
    subscription: Subscription,
    start: Promise<Start>,
    options: SubscribeOptions,
  ): Promise<Opening> {
    return start.then(
      (found) => {
        if (subscription.abandoned) return superseded(subscription.name);
        return { subscription, start: paced(found, subscription.terms.rate), isFresh: isFresh(options) };
      },
      (cause: unknown) => this.fail(subscription, cause),
    );
  }

  private fail(subscription: Subscription, cause: unknown): CodedError {
    if (!subscription.abandoned) {
      const { state } = subscription;
      this.#byRoom.delete(subscription);
      subscription.abandon();
      if (isHeld(state)) this.#shared.patterns.find(this.#owner)?.release(subscription.name, false);
      if (subscription.room !== undefined) this.#shared.rooms.release(subscription.name, 0);
    }
    return toCodedError(cause);
  }

  private readHistory(subscription: Subscription, room: Room, replay: Replay): void {
    subscription.state = READING;
    const { rate, cursor, delivered, resets } = replay;
    const { reader } = this.#shared;
    const after = { epoch: room.head.epoch, offset: cursor };
    const goOn = (next: Replay): void => {
      if (subscription.state !== READING) return;
      subscription.state = next;
      this.queue(subscription);
    };
    const read = rate === "all" ? reader.after(room.name, after) : reader.changes(room.name, after);
    read.then(
      (page) => {
        const next = createReplay(rate, cursor, delivered, resets, undefined);
        const upTo = page.kind === "page" ? lastOffset(page, cursor) : cursor;
        // A page that comes to nothing below the room's head would be read for ever: it is as good as lost.
        if (page.kind === "page" && upTo > cursor) next.fetched = { messages: page.messages, upTo };
        else next.lost = page.kind === "lost" ? page.reason : "expired";
        goOn(next);
      },
      () => {
        if (subscription.state !== READING) return;
        subscription.state = createReplay(rate, cursor, delivered, resets, undefined);
        this.#replaying ??= new Set();
        this.#replaying.add(subscription);
        this.#owner.wantRetry();
      },
    );
  }

  private *names(): Iterable<RoomName> {
    for (const { name } of this.#byRoom.all()) yield name;
  }

  private queue(subscription: Subscription): void {
    if (subscription.state.kind !== "replaying") return;
    this.#replaying ??= new Set();
    this.#replaying.add(subscription);
    this.#owner.wantTurn();
  }

  private answer(answer: Uint8Array | undefined): void {
    if (answer !== undefined) this.#owner.sendAnswer(answer);
  }

  private detach(subscription: Subscription): void {
    this.answer(subscription.takeAnswer());
    subscription.leave(this.#owner);
    if (subscription.terms.members) this.#shared.presence.unwatch(this.#owner, subscription.name);
    this.unqueue(subscription);
  }

  private unqueue(subscription: Subscription): void {
    this.#replaying?.delete(subscription);
    // An idle connection must cost nothing that it does not need, and there are many.
    if (this.#replaying?.size === 0) this.#replaying = undefined;
  }
}

/** What asked for nothing else begins where the room is now: what patterns match of it has come up to there. */
export function fromNowOn(opening: Opening): Opening {
  if (opening instanceof CodedError || !opening.isFresh) return opening;
  const { subscription } = opening;
  if (subscription.room === undefined) return opening;
  return { ...opening, start: paced(atHead(subscription.room), subscription.terms.rate) };
}

/** The answer says how a subscription is paced, where it is. */
function paced(start: Start, rate: Rate): Start {
  return rate === "all" ? start : { ...start, result: { ...start.result, rate } };
}

export function superseded(name: RoomName): CodedError {
  return new CodedError(
    "bad_request",
    `a later request of this connection for room ${name} took the place of this one`,
  );
}
