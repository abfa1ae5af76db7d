import type { Snapshot } from "../../core/ports.js";
import { CodedError } from "../../protocol/errors.js";
import { isRemoval, type Message } from "../../protocol/message.js";
import type { RoomName } from "../../protocol/room-name.js";
import type { FoundPage } from "../room-asks.js";
import type { NatsLimits } from "./limits.js";
import type { NatsCounters } from "./nats-counters.js";
import type { OpenRoom } from "./open-room.js";
import { markOf, type PageCache, type RoomMark } from "./page-cache.js";
import { indexAfter, verdictOf } from "./pass-verdict.js";
import type { RoomReader, StoredPage, StoredSnapshot } from "./room-reader.js";
import type { SnapshotPass } from "./snapshot-pass.js";
import type { StoredMessage } from "./stored-message.js";
import type { Passed, PassedRoom, StreamPass } from "./stream-pass.js";
import type { Stream } from "./streams.js";
import type { WaitingRoom } from "./waiting-room.js";

/** What reads work with. */
export interface DeskTools {
  readonly reader: RoomReader;
  readonly pass: StreamPass;
  readonly snapshots: SnapshotPass;
  readonly cache: PageCache;
  readonly limits: NatsLimits;
  readonly counters: NatsCounters;
  readonly nowMs: () => number;
  /** Whether the server that reads are asked of lets a consumer have many filters. */
  readonly manyFilters: () => boolean;
  readonly open: (room: RoomName) => OpenRoom | undefined;
  /** How far the room, or its stream, was acknowledged: grows. */
  readonly version: (room: WaitingRoom) => number;
  /** Where a room of which nothing is kept stands. */
  readonly headOfEmpty: (room: WaitingRoom) => number;
  readonly message: (room: RoomName, stored: StoredMessage, prev: number) => Message;
}

/** A room, and how it was when the read began. */
interface Begun {
  readonly room: WaitingRoom;
  readonly version: number;
  readonly empty: number;
  readonly mark: RoomMark | undefined;
}

type Page = Extract<StoredPage, { kind: "page" }>;

/** One read at NATS, for all who wait for what it brings: of one room, or a pass over a stream for many. */
export class RoomRead {
  readonly rooms: readonly WaitingRoom[];
  readonly isPass: boolean;
  readonly #tools: DeskTools;
  readonly #stream: Stream;
  readonly #epoch: string;
  readonly #begun: readonly Begun[];
  readonly #work: (read: RoomRead) => Promise<void>;

  private constructor(
    tools: DeskTools,
    stream: Stream,
    rooms: readonly WaitingRoom[],
    isPass: boolean,
    work: (read: RoomRead) => Promise<void>,
  ) {
    this.#tools = tools;
    this.#stream = stream;
    this.rooms = rooms;
    this.isPass = isPass;
    this.#epoch = stream.epoch;
    this.#work = work;
    this.#begun = rooms.map((room) => {
      const open = tools.open(room.name);
      const mark = open === undefined ? undefined : markOf(open);
      return { room, version: tools.version(room), empty: tools.headOfEmpty(room), mark };
    });
  }

  static alone(tools: DeskTools, stream: Stream, room: WaitingRoom): RoomRead {
    return new RoomRead(tools, stream, [room], false, (read) => read.#alone());
  }

  static pass(tools: DeskTools, stream: Stream, rooms: readonly WaitingRoom[], filtered: boolean): RoomRead {
    return new RoomRead(tools, stream, rooms, true, (read) => read.#pass(filtered));
  }

  /** Of the latest messages of all keys. */
  static states(tools: DeskTools, stream: Stream, rooms: readonly WaitingRoom[]): RoomRead {
    return new RoomRead(tools, stream, rooms, true, (read) => read.#states());
  }

  /** Settles whom it can; the others still wait. Never rejects. */
  async run(): Promise<void> {
    const { counters } = this.#tools;
    counters.reads += 1;
    if (this.isPass) {
      counters.passes += 1;
      counters.passRooms += this.rooms.length;
    }
    try {
      await this.#work(this);
    } catch (cause) {
      for (const room of this.rooms) room.fail(cause);
    }
  }

  async #alone(): Promise<void> {
    const [begun] = this.#begun;
    if (begun === undefined) return;
    const { room } = begun;
    if (room.states.length > 0) await this.#state(begun);
    else if (room.after.size > 0) await this.#after(begun);
    else if (room.last.size > 0) await this.#last(begun);
  }

  async #after(begun: Begun): Promise<void> {
    const { place, after, bounds } = begun.room;
    const { start, limit } = after;
    const page = await this.#tools.reader.after(place, start, limit, bounds, this.#tools.nowMs());
    this.#checkEpoch();
    if (page.kind === "lost") {
      after.lose(start, page.reason, this.#stream.position(page.head || begun.empty));
      return;
    }
    this.#serve(begun, this.#found(begun, page));
  }

  async #last(begun: Begun): Promise<void> {
    const { place, last, bounds } = begun.room;
    const wanted = last.wanted;
    const page = await this.#tools.reader.last(place, wanted.last, wanted.limit, bounds, this.#tools.nowMs());
    this.#checkEpoch();
    if (page.kind === "lost") throw new Error(`the last messages of ${begun.room.name} were told as lost`);
    const found = this.#found(begun, page);
    if (begun.mark !== undefined) this.#tools.cache.put(begun.mark, found);
    this.#shared(last.serve(found, wanted.last, begun.version));
  }

  async #state(begun: Begun): Promise<void> {
    const { room } = begun;
    const read = await this.#tools.reader.snapshot(room.place, this.#tools.limits.keysPerRoom);
    this.#checkEpoch();
    this.#shared(room.serveState(this.#snapshot(begun, read), begun.version));
  }

  async #states(): Promise<void> {
    const { snapshots, limits } = this.#tools;
    const rooms = this.rooms.map(({ token, place: { filter } }) => ({ token, filter }));
    const isOver = (): boolean => this.rooms.every(({ states }) => states.length === 0);
    const read = await snapshots.read(this.#stream, rooms, limits.keysPerRoom, limits.passBytes, isOver);
    this.#checkEpoch();
    for (const begun of this.#begun) {
      const { room } = begun;
      const found = read.get(room.token);
      if (found === undefined) room.isAlone = true;
      else this.#shared(room.serveState(this.#snapshot(begun, found), begun.version));
    }
  }

  async #pass(filtered: boolean): Promise<void> {
    const { pass, limits } = this.#tools;
    const rooms = this.rooms.map(({ token, place: { filter }, after }) => ({
      token,
      filter,
      after: after.lowest,
      limit: after.limit,
    }));
    const isOver = (): boolean => this.rooms.every(({ after }) => after.size === 0);
    const passed = await pass.read(this.#stream, rooms, { filtered, bytes: limits.passBytes, isOver });
    this.#checkEpoch();
    await Promise.all(
      this.#begun.map((begun) => {
        const met = passed.rooms.get(begun.room.token);
        if (met !== undefined) return this.#passedRoom(begun, met, passed);
        begun.room.isAlone = true;
        return undefined;
      }),
    );
  }

  async #passedRoom(begun: Begun, met: PassedRoom, passed: Passed): Promise<void> {
    const { room, empty } = begun;
    const { reader, nowMs } = this.#tools;
    const last = met.last > 0 ? met.last : await reader.head(room.place);
    this.#checkEpoch();
    const head = this.#stream.position(last || empty);
    let from: number | undefined;
    let purged: number | undefined;
    for (const after of room.after.positions) {
      // Asked for since then.
      if (after < met.after) continue;
      const verdict = verdictOf(after, met, passed, room.bounds, this.#stream.messagesMin, nowMs());
      if (verdict === "unknown") room.isAlone = true;
      if (verdict === "epoch" || verdict === "expired") room.after.lose(after, verdict, head);
      if (verdict !== "whole" && verdict !== "counted") continue;
      if (verdict === "counted") {
        purged ??= await reader.purgedUpTo(room.place);
        this.#checkEpoch();
        if (after < purged) {
          room.after.lose(after, "purged", head);
          continue;
        }
      }
      from = after;
      break;
    }
    if (from === undefined) return;
    const messages = met.messages.slice(indexAfter(met.messages, from));
    const page: Page = {
      kind: "page",
      messages,
      before: from,
      more: met.count > met.messages.length,
      head: last,
    };
    this.#serve(begun, this.#found(begun, page, passed.upTo));
  }

  #serve(begun: Begun, found: FoundPage): void {
    const { room, mark, version } = begun;
    const { cache } = this.#tools;
    let served = room.after.serve(found, version);
    if (mark !== undefined) {
      cache.put(mark, found);
      served += room.after.try(({ after, limit }) =>
        cache.page(mark.room, { after: { epoch: this.#epoch, offset: after } }, limit),
      );
    }
    this.#shared(served);
  }

  /** @param upTo Known to be complete up to there, where there is nothing more. */
  #found({ room, empty, mark }: Begun, page: Page, upTo = 0): FoundPage {
    let prev = page.before;
    const messages = page.messages.map((stored) => {
      const message = this.#tools.message(room.name, stored, prev);
      prev = stored.sequence;
      return message;
    });
    const { before, more, head } = page;
    // What the room had come to when the read began was stored by then: between the last found and it there is nothing.
    const known = more ? prev : Math.max(prev, head, mark?.last ?? 0, upTo);
    return { from: before, messages, more, upTo: known, head: this.#stream.position(head || empty) };
  }

  #snapshot({ room, empty }: Begun, read: StoredSnapshot): Snapshot {
    let prev = 0;
    const messages = read.messages.map((stored) => {
      const message = this.#tools.message(room.name, stored, prev);
      prev = message.offset;
      return message;
    });
    const kept = messages.filter((message) => !isRemoval(message));
    return { head: this.#stream.position(read.head || empty), messages: kept, droppedKeys: read.droppedKeys };
  }

  /** All but one of those whom a read serves did not need one of their own. */
  #shared(served: number): void {
    if (served > 1) this.#tools.counters.sharedReads += served - 1;
  }

  #checkEpoch(): void {
    if (this.#stream.epoch !== this.#epoch)
      throw new CodedError("unavailable", "the room has a new numbering", 0);
  }
}
