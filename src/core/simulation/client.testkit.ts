import type {
  AskedRate,
  Position,
  Rate,
  ServerFrame,
  SubscribeOptions,
  SubscribeResult,
} from "../../protocol/frames.js";
import type { RoomName } from "../../protocol/room-name.js";
import { PaceWatch } from "./pace-watch.testkit.js";
import { SimulatedPeer } from "./peer.testkit.js";
import type { Scheduler } from "./scheduler.testkit.js";
import type { SimulatedWorker } from "./worker.testkit.js";

export interface Wish {
  readonly room: RoomName;
  readonly start: SubscribeOptions;
}

/** What a client was promised at one `ok` or `reset`, and what it then got. */
export interface Segment {
  readonly client: string;
  readonly room: RoomName;
  readonly epoch: string;
  /** Everything after this offset was promised. */
  readonly from: number;
  /** Begun by a snapshot: what comes before `live` is the latest of each key only. */
  readonly snapshot: boolean;
  liveAt: number | undefined;
  readonly delivered: { readonly offset: number; readonly data: unknown }[];
  /** Offsets of own messages that may be missing. */
  readonly echo: boolean;
  /** What a later message of the same key stands for may be missing. */
  readonly conflated: boolean;
}

interface RoomState {
  readonly wish: Wish;
  position: Position | undefined;
  /** The subscribe whose answer is awaited. */
  ref: number;
  /** Asked to resume: an answer that does not is a telling. */
  resuming: boolean;
  /** The class that is asked for. */
  rate: AskedRate;
  /** The class that it is in: the server may have moved it. */
  current: AskedRate;
  segment: Segment | undefined;
}

/**
 * A client written from PROTOCOL.md alone, apart from the product's own. It follows the page's rules and keeps a
 * record of what it was promised and what it got.
 */
export class SimulatedClient extends SimulatedPeer {
  readonly name: string;
  readonly rooms = new Map<RoomName, RoomState>();
  readonly segments: Segment[] = [];
  readonly wireFaults: string[] = [];
  readonly pace = new PaceWatch();
  sessions = new Set<string>();
  resets = 0;
  gaps = 0;
  lags = 0;
  moves = 0;
  /** Which rooms a subscribe under way asked for, in its order. */
  readonly #asked = new Map<number, readonly RoomState[]>();
  /** On this connection, by room: the last offset seen on the wire since the last answer to a subscribe. */
  readonly #wireLast = new Map<RoomName, number>();
  /** The same of the last live message: the one that follows it is chained to it. */
  readonly #wireLive = new Map<RoomName, number>();

  constructor(
    name: string,
    scheduler: Scheduler,
    workers: readonly SimulatedWorker[],
    wishes: readonly Wish[],
  ) {
    super(scheduler, workers);
    this.name = name;
    for (const wish of wishes) {
      const rate = wish.start.rate ?? "all";
      this.rooms.set(wish.room, {
        wish,
        position: undefined,
        ref: 0,
        resuming: false,
        rate,
        current: rate,
        segment: undefined,
      });
    }
    this.connect();
  }

  /** Asks again for a room that it has: from its position, or in its first manner. */
  resubscribe(room: RoomName, afresh: boolean): void {
    const state = this.rooms.get(room);
    if (state === undefined || !this.isOpen) return;
    if (afresh) state.position = undefined;
    this.#subscribe(state);
  }

  /** Moves to another class, from its position. */
  setRate(room: RoomName, rate: AskedRate): void {
    const state = this.rooms.get(room);
    if (state === undefined || !this.isOpen) return;
    state.rate = rate;
    this.#subscribe(state);
  }

  protected override connect(): void {
    this.pace.lost();
    this.#wireLast.clear();
    this.#wireLive.clear();
    this.#asked.clear();
    super.connect();
    const session = this.socket?.session;
    if (session !== undefined) this.sessions.add(session.id);
  }

  protected override take(frame: ServerFrame, sentMs: number): void {
    switch (frame.type) {
      case "welcome":
        this.isOpen = true;
        this.#subscribeAll();
        break;
      case "lagged":
        this.pace.lost();
        this.lags += 1;
        this.#subscribeAll();
        break;
      case "ok":
        this.#answered(frame.ref, frame.result);
        break;
      case "error":
        this.#refused(frame.ref);
        break;
      case "message":
        this.#message(frame, sentMs);
        break;
      case "live":
        this.#live(frame.room, frame.offset);
        break;
      case "rate":
        this.#moved(frame.room, frame.rate);
        break;
      case "reset":
        this.#reset(frame.room, { epoch: frame.epoch, offset: frame.offset });
        break;
    }
  }

  #subscribeAll(): void {
    const states = [...this.rooms.values()];
    if (this.scheduler.random.chance(0.5)) {
      for (const state of states) this.#subscribe(state);
      return;
    }
    // Options hold for all rooms of the frame, so only those with a position, or all that begin at the head, share one.
    const together = states.filter(
      ({ position, wish, rate }) => position !== undefined && wish.start.echo !== false && rate === "all",
    );
    const ref = this.ref++;
    for (const state of together) {
      state.ref = ref;
      state.resuming = true;
    }
    this.#asked.set(ref, together);
    const rooms = together.map(({ wish, position }) => ({ room: wish.room, after: position }));
    if (rooms.length > 0) this.send({ type: "subscribeMany", ref, rooms, options: {} });
    for (const state of states) if (!together.includes(state)) this.#subscribe(state);
  }

  #subscribe(state: RoomState): void {
    const { room, start } = state.wish;
    state.ref = this.ref++;
    this.#asked.set(state.ref, [state]);
    state.resuming = state.position !== undefined;
    const echo = start.echo === false ? { echo: false } : {};
    const from = state.position === undefined ? start : { after: state.position, ...echo };
    const options = { ...from, rate: state.rate };
    this.send({ type: "subscribe", ref: state.ref, room, options });
  }

  #answered(ref: number, result: unknown): void {
    const results: readonly unknown[] = Array.isArray(result) ? result : [result];
    const asked = this.#asked.get(ref) ?? [];
    this.#asked.delete(ref);
    asked.forEach((state, index) => {
      const one = results[index];
      if (state.ref !== ref) return;
      state.ref = 0;
      if (Array.isArray(one)) this.#retry(state);
      else this.#positioned(state, one as SubscribeResult);
    });
  }

  #positioned(state: RoomState, { epoch, offset, recovered }: SubscribeResult): void {
    this.#wireLast.set(state.wish.room, offset);
    this.#wireLive.delete(state.wish.room);
    this.pace.ended(state.wish.room);
    state.current = state.rate;
    const conflated = state.rate !== "all";
    if (state.resuming && recovered && conflated === state.segment?.conflated) return;
    if (state.resuming && !recovered) this.resets += 1;
    this.#begin(state.wish.room, { epoch, offset }, !state.resuming && state.wish.start.state === true);
  }

  /** From here on it is promised something else. */
  #moved(room: RoomName, rate: Rate): void {
    const state = this.rooms.get(room);
    if (state?.position === undefined || state.ref !== 0) return;
    this.moves += 1;
    this.pace.ended(room);
    state.current = rate;
    // A snapshot goes on where it is moved on its way.
    const { segment } = state;
    this.#begin(room, state.position, segment?.snapshot === true && segment.liveAt === undefined);
    // What it joined ahead of, it may be sent again.
    this.#wireLast.delete(room);
  }

  #reset(room: RoomName, position: Position): void {
    if (this.rooms.get(room)?.ref !== 0) return;
    this.resets += 1;
    this.pace.reset(room);
    this.#begin(room, position, false);
  }

  #begin(room: RoomName, position: Position, snapshot: boolean): void {
    const state = this.rooms.get(room);
    if (state === undefined) return;
    this.#wireLast.set(room, position.offset);
    this.#wireLive.delete(room);
    state.position = position;
    const { epoch, offset: from } = position;
    const echo = state.wish.start.echo !== false;
    state.segment = {
      client: this.name,
      room,
      epoch,
      from,
      snapshot,
      liveAt: undefined,
      delivered: [],
      echo,
      conflated: state.current !== "all",
    };
    this.segments.push(state.segment);
  }

  #refused(ref: number): void {
    for (const state of this.#asked.get(ref) ?? []) {
      if (state.ref !== ref) continue;
      state.ref = 0;
      this.#retry(state);
    }
    this.#asked.delete(ref);
  }

  #retry(state: RoomState): void {
    this.scheduler.soon(100, () => {
      if (state.ref === 0 && this.isOpen) this.#subscribe(state);
    });
  }

  #message(frame: ServerFrame & { type: "message" }, sentMs: number): void {
    const { room, offset, prev, data } = frame;
    const state = this.rooms.get(room);
    // Until the answer to a subscribe has come, what comes belongs to the subscription before it.
    if (state === undefined || state.ref !== 0) return;
    this.#watchWire(state, offset, prev);
    if (this.socket !== undefined) this.pace.message(frame, sentMs, this.socket);
    if (state.position === undefined || offset <= state.position.offset) return;
    if (prev > state.position.offset) {
      this.gaps += 1;
      this.#subscribe(state);
      return;
    }
    state.position = { epoch: state.position.epoch, offset };
    state.segment?.delivered.push({ offset, data });
  }

  #live(room: RoomName, offset: number): void {
    const state = this.rooms.get(room);
    if (state?.position === undefined || state.segment === undefined || state.ref !== 0) return;
    this.#wireLast.set(room, Math.max(this.#wireLast.get(room) ?? 0, offset));
    if (state.wish.start.echo !== false) this.#wireLive.set(room, 0);
    this.pace.began(room, state.current);
    state.segment.liveAt ??= offset;
    if (offset > state.position.offset) state.position = { epoch: state.position.epoch, offset };
  }

  /** Stricter than a client must be: while nothing was dropped, the server itself keeps order, once each, no hole. */
  #watchWire(state: RoomState, offset: number, prev: number): void {
    const last = this.#wireLast.get(state.wish.room);
    if (last === undefined || (this.socket?.drops ?? 0) > 0) return;
    // A conflated class is behind those who join it.
    if (offset <= last && state.current === "all")
      this.wireFaults.push(`${this.name}: ${state.wish.room} ${offset} came again after ${last}`);
    if (prev > last)
      this.wireFaults.push(
        `${this.name}: ${state.wish.room} ${offset} follows ${prev}, but ${last} was last`,
      );
    this.#wireLast.set(state.wish.room, Math.max(offset, last));
    const live = this.#wireLive.get(state.wish.room);
    if (live === undefined) return;
    if (live > 0 && prev !== live)
      this.wireFaults.push(
        `${this.name}: ${state.wish.room} ${offset} is chained to ${prev}, not to ${live}`,
      );
    this.#wireLive.set(state.wish.room, offset);
  }
}
