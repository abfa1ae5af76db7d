import type { Sink } from "../../core/ports.js";
import { CodedError } from "../../protocol/errors.js";
import type { Position } from "../../protocol/frames.js";
import type { RoomName } from "../../protocol/room-name.js";
import { FrameArena } from "./frame-arena.js";
import type { HubLinkCounters } from "./hub-counters.js";
import { AWAY_RETRY_MS } from "./hub-limits.js";
import type { LinkWatch } from "./link-watch.js";
import { numberOf, readMessage, roomIn } from "./message-record.js";
import type { HubRecord, WorkerRecord } from "./record.js";

/** What the rooms of a link need of it. */
export interface LinkRoomsOwner {
  readonly counters: HubLinkCounters;
  /** Sends to the hub. Nothing happens where the link is down. */
  send(record: WorkerRecord): void;
  nextRef(): number;
  /** Told what a sink threw. */
  fault(cause: unknown): void;
  /** Where what comes for closed rooms goes. */
  readonly patterns: Pick<LinkWatch, "concerns" | "opening" | "message" | "lostRoom">;
}

/** A room that the caller has opened; its place in the numbering is what its sink was handed last. */
interface LinkRoom {
  readonly name: RoomName;
  readonly sink: Sink;
  epoch: string;
  offset: number;
  state: LinkRoomState;
  /** Messages came for patterns while it was away, and were left out for its replay. */
  leftOut: boolean;
  readonly frames: FrameArena;
}

type LinkRoomState =
  /** For the first time: the caller waits. */
  | {
      readonly kind: "opening";
      ref: number;
      readonly dueMs: number;
      readonly resolve: (head: Position) => void;
      readonly reject: (cause: CodedError) => void;
    }
  /** Again, after its position: the caller sees nothing, or a reset. */
  | { readonly kind: "reopening"; readonly ref: number }
  | { readonly kind: "flowing"; readonly number: number }
  /** Closed while a pattern means it: what the hub sent before it heard of that is for the watcher. */
  | { readonly kind: "closed"; readonly dueMs: number }
  /** The link is down, or the hub could not open it and is asked again soon. */
  | { readonly kind: "away" };

/**
 * The rooms that this worker has open at one hub. Whatever ends their flow (a lost link, a lag, a room that the hub could not
 * open), they stay open and are opened again after the position they have reached.
 */
export class LinkRooms {
  readonly #owner: LinkRoomsOwner;
  readonly #rooms = new Map<RoomName, LinkRoom>();
  /** By the hub's number; numbers are small. */
  #flowing: (LinkRoom | undefined)[] = [];
  /** By the ref of the request that the hub has not answered. */
  readonly #asked = new Map<number, LinkRoom>();
  /** Those of #asked that were closed before the hub has begun to replay them. */
  readonly #ghosts = new Map<RoomName, LinkRoom>();
  #retry: NodeJS.Timeout | undefined;
  /** Of rooms that are not open. */
  readonly #watchedFrames = new FrameArena();

  constructor(owner: LinkRoomsOwner) {
    this.#owner = owner;
  }

  get size(): number {
    return this.#rooms.size;
  }

  open(name: RoomName, sink: Sink, dueMs: number): Promise<Position> {
    if (this.#rooms.has(name)) return Promise.reject(new Error(`room ${name} is open already`));
    return new Promise((resolve, reject) => {
      const state: LinkRoomState = { kind: "opening", ref: 0, dueMs, resolve, reject };
      const frames = new FrameArena();
      const room: LinkRoom = { name, sink, epoch: "", offset: 0, state, leftOut: false, frames };
      this.#rooms.set(name, room);
      this.#ask(room);
    });
  }

  close(name: RoomName): void {
    const room = this.#rooms.get(name);
    if (room === undefined) return;
    if (room.state.kind === "opening")
      room.state.reject(new CodedError("unavailable", `room ${name} was closed while it was being opened`));
    this.#leave(room);
    this.#owner.send({ type: "close", room: name });
  }

  /** The link is up: everything is opened again. */
  up(): void {
    for (const room of this.#rooms.values()) this.#ask(room);
  }

  /** The link is down, and with it every flow. Rooms whose opener still waits are given up. */
  down(why: CodedError): void {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    this.#flowing = [];
    this.#asked.clear();
    this.#ghosts.clear();
    for (const room of this.#rooms.values()) {
      if (room.state.kind === "opening") {
        this.#rooms.delete(room.name);
        room.state.reject(why);
      }
      room.state = AWAY;
    }
  }

  /** The hub dropped live messages, of any room. */
  lagged(): void {
    this.#owner.counters.lagged += 1;
    this.#flowing = [];
    for (const room of this.#rooms.values()) if (room.state.kind !== "away") this.#ask(room);
  }

  opened({ ref, number, head, lost }: Extract<HubRecord, { type: "opened" }>): void {
    const room = this.#asked.get(ref);
    // Closed meanwhile, or asked for again.
    if (room === undefined) return;
    this.#answered(ref, room);
    const { state } = room;
    this.#flowing[number] = room;
    if (state.kind === "closed") {
      const goesOn = lost === undefined && head.epoch === room.epoch;
      if (room.epoch !== "" && !goesOn) this.#owner.patterns.lostRoom(room.name);
      room.epoch = head.epoch;
      // The watcher may be further on.
      room.offset = goesOn ? Math.max(room.offset, head.offset) : head.offset;
      return;
    }
    room.state = { kind: "flowing", number };
    room.leftOut = false;
    if (state.kind === "opening") {
      room.epoch = head.epoch;
      room.offset = head.offset;
      this.#owner.patterns.opening(room.name);
      state.resolve(head);
    } else if (lost !== undefined) this.#reset(room, head, lost);
  }

  /** False where the ref is none of a room. */
  failed({ ref, error }: Extract<HubRecord, { type: "failed" }>): boolean {
    const room = this.#asked.get(ref);
    if (room === undefined) return false;
    this.#answered(ref, room);
    if (room.state.kind === "closed") {
      if (room.epoch !== "") this.#owner.patterns.lostRoom(room.name);
    } else if (room.state.kind === "opening") {
      this.#forget(room);
      room.state.reject(error);
    } else {
      room.state = AWAY;
      this.#retryLater(error.retryMs ?? AWAY_RETRY_MS);
    }
    return true;
  }

  /** Hands a live message on, encoded as it came. @throws MalformedRecord */
  message(bytes: Uint8Array, view: DataView, start: number, end: number): void {
    const { counters } = this.#owner;
    const room = this.#flowing[numberOf(view, start, end)];
    if (room === undefined) {
      counters.ignored += 1;
      return;
    }
    const message = readMessage(bytes, view, start, end, room.name, room.frames);
    if (room.epoch !== "") {
      if (message.offset <= room.offset) {
        counters.ignored += 1;
        return;
      }
      if (message.prev > room.offset && room.state.kind !== "closed") {
        counters.chainBroken += 1;
        this.#ask(room);
        return;
      }
      room.offset = message.offset;
    }
    if (room.state.kind === "closed") {
      // No pattern may ever have meant it, or none does any more.
      if (this.#owner.patterns.concerns(room.name)) this.#owner.patterns.message(message);
      else counters.ignored += 1;
      return;
    }
    counters.received += 1;
    try {
      room.sink.message(message);
    } catch (cause) {
      this.#sinkThrew(cause);
    }
  }

  /** A message for patterns: of a room that this worker did not have open when the hub sent it. @throws MalformedRecord */
  watched(bytes: Uint8Array, view: DataView, start: number, end: number): void {
    const name = roomIn(bytes, view, start, end);
    const room = this.#rooms.get(name);
    if (room === undefined || room.state.kind === "opening") {
      const message = readMessage(bytes, view, start, end, name, this.#watchedFrames);
      const ghost = this.#ghosts.get(name);
      // Its replay is not to bring it again, nor what lies before it.
      if (ghost !== undefined) ghost.offset = Math.max(ghost.offset, message.offset);
      this.#owner.patterns.message(message);
      return;
    }
    // It is opened anew. What is numbered comes by its replay; of what is not, this is all that comes.
    if (room.epoch !== "") {
      room.leftOut = true;
      this.#owner.counters.ignored += 1;
      return;
    }
    this.#owner.counters.received += 1;
    try {
      room.sink.message(readMessage(bytes, view, start, end, name, this.#watchedFrames));
    } catch (cause) {
      this.#sinkThrew(cause);
    }
  }

  reset({ number, head, reason }: Extract<HubRecord, { type: "reset" }>): void {
    const room = this.#flowing[number];
    if (room === undefined) this.#owner.counters.ignored += 1;
    else if (room.state.kind === "closed") {
      room.epoch = head.epoch;
      room.offset = head.offset;
      this.#owner.patterns.lostRoom(room.name);
    } else this.#reset(room, head, reason);
  }

  checkpoint({ number, offset }: Extract<HubRecord, { type: "checkpoint" }>): void {
    const room = this.#flowing[number];
    if (room === undefined || room.epoch === "" || offset <= room.offset || room.state.kind === "closed") {
      this.#owner.counters.ignored += 1;
      return;
    }
    room.offset = offset;
    try {
      room.sink.checkpoint?.(room.name, offset);
    } catch (cause) {
      this.#sinkThrew(cause);
    }
  }

  /** Gives up rooms whose opener has waited long enough. */
  expire(nowMs: number): void {
    for (const [ref, room] of this.#asked) {
      const { state } = room;
      // The hub never took that request: it was not reading then.
      if (state.kind === "closed" && state.dueMs <= nowMs) this.#answered(ref, room);
      if (state.kind !== "opening" || state.dueMs > nowMs) continue;
      this.#owner.counters.timeouts += 1;
      this.#leave(room);
      state.reject(new CodedError("timeout", `the hub did not open room ${room.name} in time`));
      this.#owner.send({ type: "close", room: room.name });
    }
  }

  /** Asks the hub for the room's flow: from its head on at first, later after what the sink was handed. */
  #ask(room: LinkRoom): void {
    const { state } = room;
    const ref = this.#owner.nextRef();
    this.#unmap(room);
    // What comes under an earlier request of this kind lies before the answer to this one.
    if (state.kind === "opening" && state.ref !== 0) this.#haunt(room, state.ref, state.dueMs);
    this.#asked.set(ref, room);
    if (state.kind === "opening") {
      state.ref = ref;
      this.#owner.send({ type: "open", ref, room: room.name, after: undefined });
      return;
    }
    room.state = { kind: "reopening", ref };
    this.#owner.counters.reopened += 1;
    const { epoch, offset } = room;
    this.#owner.send({ type: "open", ref, room: room.name, after: { epoch, offset } });
  }

  #reset(room: LinkRoom, head: Position, reason: Extract<HubRecord, { type: "reset" }>["reason"]): void {
    room.epoch = head.epoch;
    room.offset = head.offset;
    this.#owner.counters.resets += 1;
    try {
      room.sink.reset(room.name, head, reason);
    } catch (cause) {
      this.#sinkThrew(cause);
    }
  }

  #retryLater(ms: number): void {
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined;
      for (const room of this.#rooms.values()) if (room.state.kind === "away") this.#ask(room);
    }, ms);
  }

  /** It is closed. Where a pattern means it, what is still under way for it goes to the watcher. */
  #leave(room: LinkRoom): void {
    const { state } = room;
    if (!this.#owner.patterns.concerns(room.name)) {
      this.#forget(room);
      return;
    }
    this.#rooms.delete(room.name);
    if (state.kind === "flowing") room.state = { kind: "closed", dueMs: 0 };
    else if (state.kind === "away") {
      if (room.epoch !== "") this.#owner.patterns.lostRoom(room.name);
    } else {
      this.#unmap(room);
      if (state.kind === "closed") return;
      // Before any message that follows them may come.
      if (room.leftOut) this.#owner.patterns.lostRoom(room.name);
      const ghost = this.#haunt(room, state.ref, performance.now() + GHOST_MS);
      if (state.kind === "reopening") this.#ghosts.set(room.name, ghost);
    }
  }

  /** Leaves a closed room in the place of one whose request the hub may still answer. */
  #haunt(room: LinkRoom, ref: number, dueMs: number): LinkRoom {
    const ghost: LinkRoom = { ...room, state: { kind: "closed", dueMs } };
    this.#asked.set(ref, ghost);
    return ghost;
  }

  /** Or will not be. */
  #answered(ref: number, room: LinkRoom): void {
    this.#asked.delete(ref);
    if (this.#ghosts.get(room.name) === room) this.#ghosts.delete(room.name);
  }

  #forget(room: LinkRoom): void {
    this.#unmap(room);
    this.#rooms.delete(room.name);
  }

  /** What still comes for the room under its old number or ref is not for it any more. */
  #unmap(room: LinkRoom): void {
    const { state } = room;
    if (state.kind === "flowing") {
      if (this.#flowing[state.number] === room) this.#flowing[state.number] = undefined;
    } else if (state.kind === "opening" || state.kind === "reopening") this.#asked.delete(state.ref);
  }

  #sinkThrew(cause: unknown): void {
    this.#owner.counters.sinkErrors += 1;
    this.#owner.fault(cause);
  }
}

/** The hub answers a request within that, or never took it. */
const GHOST_MS = 30_000;

const AWAY: LinkRoomState = Object.freeze({ kind: "away" });
