import { CodedError } from "../../protocol/errors.js";
import type { RoomName } from "../../protocol/room-name.js";
import type { ServerWire } from "../../protocol/wire.js";
import type { Access } from "../access.js";
import type { Counters } from "../counters.js";
import type { Lanes } from "../lanes.js";
import type { Limits } from "../limits.js";
import type { Fanout } from "../ports.js";
import type { SettingsOf } from "../settings.js";
import { Census } from "./census.js";
import { Changes } from "./changes.js";
import { changesFrame, encodeMembers, wholeFrame } from "./frames.js";
import type { PresenceLine, PresenceSink } from "./line.js";
import { type ListLimits, NOBODY, type PresenceOp, type View } from "./op.js";
import { Roster } from "./roster.js";
import type { Viewer } from "./watch-part.js";
import { WatchedRoom } from "./watched-room.js";

/** Somebody with a place in rooms. */
export interface Attendee extends Viewer {
  readonly access: Access;
}

/** What is here waits so long for more before it is reported: with what hubs and other nodes wait, well below two seconds. */
const REPORT_MS = 100;
/** Events of one room are so far apart. */
const EVENT_MS = 1_000;
/** How often rooms that wait for their event are looked through. */
const ROUND_MS = 100;
/** Rooms of a round; more wait for the next, so that sockets are served between. */
const ROOMS_A_ROUND = 2_000;
/** Reported at once; more wait as well. */
const OPS_A_REPORT = 10_000;
/** A room that was asked about is watched so long, so that asking again costs nothing. */
const LINGER_MS = 5_000;
/** Rooms watched for nothing but such questions. */
const LINGERING_MAX = 10_000;
/** An answer takes no longer, or there is none. */
const ASK_MS = 3_000;
const RETRY_MS = 1_000;

/** The limits of lists, as the configuration has them. A list must fit into a socket's buffer beside what else waits there. */
export function listLimits({ presenceMembers }: Pick<Limits, "presenceMembers">): ListLimits {
  return { members: presenceMembers, bytes: LIST_BYTES_MAX };
}

/** Names and data of a room's list. */
const LIST_BYTES_MAX = 16_000;

/** As a member is known to others: by the token's subject, which all tabs share, else as the session that it is. */
function memberIdOf(id: string, { sub }: Access): string {
  return sub ?? id;
}

/** Of all rooms here together, with what a member costs besides: what connections and rooms allow would be a hundred times that. */
const LISTS_BYTES_MAX = 67_108_864;

export interface DeskOptions {
  readonly line: PresenceLine;
  readonly settingsOf: SettingsOf;
  readonly limits: Limits;
  readonly counters: Counters;
  readonly fanout: Pick<Fanout, "requestTick" | "wakeAt">;
}

/**
 * One process's part in presence: reports who is in rooms here, and tells those who want to know who is in theirs anywhere. What
 * namespaces do not ask for costs nothing.
 */
export class PresenceDesk implements PresenceSink {
  readonly #options: DeskOptions;
  readonly #census: Census;
  /** What is known of watched rooms. */
  readonly #known = new Roster();
  readonly #events = new Changes();
  readonly #watched = new Map<RoomName, WatchedRoom>();
  /** Of these, those that nobody here watches any more, the longest first. */
  readonly #lingering = new Map<RoomName, WatchedRoom>();
  /** With newcomers who wait for a lane. */
  readonly #arrivals = new Set<WatchedRoom>();
  /** With newcomers who may still wait: for what is known of the room, or for their socket. */
  readonly #patient = new Set<WatchedRoom>();
  /** With questions that wait for their answer. */
  readonly #asked = new Set<WatchedRoom>();
  #reportMs = Number.POSITIVE_INFINITY;
  #roundMs = 0;

  constructor(options: DeskOptions) {
    this.#options = options;
    this.#census = new Census(listLimits(options.limits), LISTS_BYTES_MAX, () => {
      options.counters.presenceListsCut += 1;
    });
    options.line.connect(this);
  }

  /** Rooms whose presence this process is told of. */
  get watchedRooms(): number {
    return this.#watched.size;
  }

  /** Somebody has come into a room. `info`: data for others to see, where given. */
  enter(attendee: Attendee, room: RoomName, info: Uint8Array | undefined): void {
    const { presence } = this.#options.settingsOf(room);
    if (presence === "off") return;
    if (presence === "count") this.#census.count(room, 1);
    else this.#census.enter(room, memberIdOf(attendee.id, attendee.access), info);
    this.#wantReport();
  }

  /** Somebody has gone. */
  leave(attendee: Attendee, room: RoomName): void {
    const { presence } = this.#options.settingsOf(room);
    if (presence === "off") return;
    if (presence === "count") this.#census.count(room, -1);
    else this.#census.leave(room, memberIdOf(attendee.id, attendee.access));
    this.#wantReport();
  }

  /** Somebody in these rooms is known by another name from now on. */
  rename(attendee: Attendee, rooms: readonly RoomName[], next: Access): void {
    const before = memberIdOf(attendee.id, attendee.access);
    const after = memberIdOf(attendee.id, next);
    if (before === after) return;
    for (const room of rooms) {
      if (this.#options.settingsOf(room).presence !== "members") continue;
      this.#census.enter(room, after, this.#census.leave(room, before));
      this.#wantReport();
    }
  }

  /** From now on it is sent what happens there, beginning with all that is known. */
  watch(viewer: Viewer, room: RoomName): void {
    const watched = this.#watch(room);
    watched.enter(viewer);
    this.#arrivals.add(watched);
    this.#options.fanout.requestTick();
  }

  unwatch(viewer: Viewer, room: RoomName): void {
    const watched = this.#watched.get(room);
    if (watched === undefined) return;
    watched.leave(viewer);
    if (!watched.isEmpty) return;
    watched.emptyMs = undefined;
    this.#lingering.set(room, watched);
  }

  /** Who is in a room. Rejects with a CodedError `unavailable` where that cannot be found out. */
  ask(room: RoomName): Promise<View> {
    const { line, counters } = this.#options;
    if (!line.isReady(room)) return Promise.reject(unknown(room));
    let watched = this.#watched.get(room);
    if (watched === undefined) {
      if (this.#lingering.size >= LINGERING_MAX) {
        counters.presenceAsksRefused += 1;
        return Promise.reject(unknown(room));
      }
      watched = this.#watch(room);
      this.#lingering.set(room, watched);
    }
    if (watched.isKnown) return Promise.resolve(this.#view(room));
    this.#asked.add(watched);
    const asked = watched;
    return new Promise((resolve, reject) => {
      asked.askers.push((isKnown) => (isKnown ? resolve(this.#view(room)) : reject(unknown(room))));
    });
  }

  up(isConcerned: (room: RoomName) => boolean): void {
    this.#census.reportAnew(isConcerned);
    this.#wantReport();
    const rooms = [...this.#watched.keys()].filter(isConcerned);
    this.#options.line.say(rooms.map((room) => ({ kind: "watch", room })));
  }

  told(ops: readonly PresenceOp[]): void {
    for (const op of ops) {
      const { room } = op;
      const watched = this.#watched.get(room);
      // Not any more: it was under way.
      if (watched === undefined) continue;
      this.#known.apply(op);
      this.#events.note(room, op.kind === "join" || op.kind === "leave" ? op.id : undefined);
      if (watched.isKnown) continue;
      // Before the first list is whole, which it is when all of these are taken.
      watched.isKnown = true;
      if (watched.hasNewcomers) this.#arrivals.add(watched);
    }
    this.#answer();
    this.#options.fanout.requestTick();
  }

  /** Reports, and puts what is to be told into the lanes. */
  tick(lanes: Lanes, nowMs: number): void {
    this.#report(nowMs);
    for (const watched of this.#arrivals) {
      watched.queueNewcomers(lanes);
      this.#patient.add(watched);
    }
    this.#arrivals.clear();
    if (this.#events.size + this.#patient.size === 0) return;
    if (isDue(this.#roundMs, ROUND_MS, nowMs)) {
      this.#roundMs = nowMs + ROUND_MS;
      for (const watched of this.#patient)
        if (!watched.hasNewcomers) this.#patient.delete(watched);
        else if (watched.isKnown) watched.queueNewcomers(lanes);
      this.#round(lanes, nowMs);
    }
    if (this.#events.size + this.#patient.size > 0) this.#options.fanout.wakeAt(this.#roundMs);
  }

  /** About once a second: gives up rooms that nobody has asked about for a while, and answers that do not come. */
  sweep(nowMs: number): void {
    for (const watched of this.#asked) {
      watched.askedMs ??= nowMs;
      if (nowMs - watched.askedMs >= ASK_MS) {
        this.#asked.delete(watched);
        watched.answer(false);
      }
    }
    const gone: RoomName[] = [];
    for (const [room, watched] of this.#lingering) {
      watched.emptyMs ??= nowMs;
      if (nowMs - watched.emptyMs < LINGER_MS) continue;
      this.#lingering.delete(room);
      this.#watched.delete(room);
      this.#known.remove(room);
      this.#events.forget(room);
      watched.answer(false);
      this.#asked.delete(watched);
      gone.push(room);
    }
    if (gone.length > 0) this.#options.line.say(gone.map((room) => ({ kind: "unwatch", room })));
  }

  #view(room: RoomName): View {
    return this.#known.view(room) ?? NOBODY;
  }

  #watch(room: RoomName): WatchedRoom {
    const known = this.#watched.get(room);
    if (known !== undefined) {
      this.#lingering.delete(room);
      return known;
    }
    const { counters, line } = this.#options;
    const watched: WatchedRoom = new WatchedRoom(room, counters, (wire) =>
      watched.isKnown ? encodeMembers(wholeFrame(room, this.#view(room)), wire) : undefined,
    );
    this.#watched.set(room, watched);
    line.say([{ kind: "watch", room }]);
    return watched;
  }

  #answer(): void {
    for (const watched of this.#asked) {
      if (!watched.isKnown) continue;
      this.#asked.delete(watched);
      watched.answer(true);
    }
  }

  #wantReport(): void {
    // The tick has the time, which is not at hand here.
    if (this.#reportMs === Number.POSITIVE_INFINITY) this.#options.fanout.requestTick();
  }

  #report(nowMs: number): void {
    if (!this.#census.hasChanges) return;
    const { fanout, line } = this.#options;
    if (this.#reportMs === Number.POSITIVE_INFINITY) this.#reportMs = nowMs + REPORT_MS;
    else if (isDue(this.#reportMs, REPORT_MS, nowMs)) {
      if (!line.isBusy) line.say(this.#census.takeChanges(OPS_A_REPORT));
      this.#reportMs = this.#census.hasChanges ? nowMs + REPORT_MS : Number.POSITIVE_INFINITY;
    }
    if (this.#census.hasChanges) fanout.wakeAt(this.#reportMs);
  }

  #round(lanes: Lanes, nowMs: number): void {
    let left = ROOMS_A_ROUND;
    for (const room of this.#events.rooms()) {
      const watched = this.#watched.get(room);
      if (watched === undefined || watched.isEmpty) {
        this.#events.forget(room);
        continue;
      }
      if (nowMs - watched.eventMs < EVENT_MS && nowMs >= watched.eventMs) continue;
      watched.eventMs = nowMs;
      this.#send(watched, lanes);
      left -= 1;
      if (left === 0) return;
    }
  }

  #send(watched: WatchedRoom, lanes: Lanes): void {
    const { room } = watched;
    const ops: PresenceOp[] = [];
    this.#events.takeRoom(room, this.#known, ops);
    const frame = changesFrame(room, this.#view(room), ops);
    this.#options.counters.presenceEvents += 1;
    const encoded = new Map<ServerWire, Uint8Array[]>();
    const frames = (wire: ServerWire): Uint8Array[] => {
      const made = encoded.get(wire) ?? encodeMembers(frame, wire);
      encoded.set(wire, made);
      return made;
    };
    watched.queue({ frames }, lanes);
  }
}

/** Whether a time that was so far away when it was set has come, also where the clock was set back meanwhile. */
function isDue(atMs: number, awayMs: number, nowMs: number): boolean {
  return nowMs >= atMs || nowMs < atMs - awayMs;
}

function unknown(room: RoomName): CodedError {
  return new CodedError("unavailable", `who is in room ${room} cannot be found out now`, RETRY_MS);
}
