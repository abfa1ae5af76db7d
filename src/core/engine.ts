import type { Position, Rate } from "../protocol/frames.js";
import type { RoomName } from "../protocol/room-name.js";
import type { ServerWire } from "../protocol/wire.js";
import { type Access, type Guard, OPEN_ACCESS } from "./access.js";
import { type Allowances, allowances } from "./allowance.js";
import { Census, type RoomCounts } from "./census.js";
import type { Counters } from "./counters.js";
import { HistoryReader } from "./history-reader.js";
import { Lanes } from "./lanes.js";
import type { Limits } from "./limits.js";
import { Newest } from "./newest.js";
import type { Outages } from "./outages.js";
import { Paces } from "./paces.js";
import { Packer } from "./packer.js";
import { Patterns } from "./patterns.js";
import type { Broker, Fanout, Outbox } from "./ports.js";
import { listLimits, PresenceDesk } from "./presence/desk.js";
import { type PresenceLine, SoloLine } from "./presence/line.js";
import { Rooms } from "./rooms.js";
import { Session } from "./session.js";
import type { SessionHost } from "./session-host.js";
import type { SettingsOf } from "./settings.js";
import { Signatures } from "./signatures.js";
import { type SlowLook, SlowWatch } from "./slow-watch.js";
import { Telemetry } from "./telemetry.js";

export type { Session } from "./session.js";

export interface EngineOptions {
  /** This node's name, told in `welcome`. */
  readonly node: string;
  readonly broker: Broker;
  readonly fanout: Fanout;
  readonly settingsOf: SettingsOf;
  readonly limits: Limits;
  readonly counters: Counters;
  /** Default: one that tells no namespaces apart. */
  readonly telemetry?: Telemetry;
  /** Default: there are none. */
  readonly outages?: Outages;
  /** Default: nobody but the rights decides. */
  readonly guard?: Guard;
  /** Tells who is in rooms of other processes. Default: there are none. */
  readonly presence?: PresenceLine;
}

/** What {@link Engine.look} tells. */
export interface EngineLook {
  readonly rooms: RoomCounts;
  readonly slow: SlowLook;
}

/** What {@link Engine.inspect} tells. */
export interface RoomReport {
  readonly subscribers: number;
  /** Live members by class; who is being replayed is none yet. */
  readonly classes: readonly { readonly rate: Rate; readonly members: number }[];
  readonly head: Position;
  /** Messages that can be replayed without the broker. */
  readonly ringMessages: number;
}

const NO_OUTAGES: Outages = { isAny: false, outageOf: () => undefined };

/**
 * What a turn counts at the least. A small one costs a write, some 7 to 10 µs whatever its bytes: with the default of
 * `replayBytesPerTick` this makes 256 turns, so that a storm of resumes holds a tick up for some 3 ms.
 */
const TURN_BYTES_MIN = 4_096;

/**
 * The part of `replayBytesPerTick` that replays have while lanes wait for their turn. Each lane waits for one tick more, so
 * what a tick spends on who catches up comes as often on top of how late everybody else is.
 */
const REPLAY_SHARE_BESIDE_LANES = 0.25;

/**
 * One process's rooms and sessions, sans-IO: time comes in as an argument, all output goes through ports. Every `nowMs` is in
 * milliseconds on one clock that never goes back; where it begins does not matter.
 */
export class Engine implements SessionHost {
  readonly broker: Broker;
  readonly outages: Outages;
  readonly rooms: Rooms;
  readonly lanes: Lanes;
  readonly reader: HistoryReader;
  readonly newest = new Newest();
  readonly paces: Paces;
  readonly presence: PresenceDesk;
  readonly patterns: Patterns;
  readonly signatures: Signatures;
  readonly limits: Limits;
  readonly allowances: Allowances;
  readonly counters: Counters;
  readonly guard: Guard;
  readonly telemetry: Telemetry;
  readonly #node: string;
  readonly #fanout: Fanout;
  readonly #packer = new Packer();
  readonly #slow: SlowWatch;
  readonly #census = new Census();
  #turns: Session[] = [];
  #lagging: Session[] = [];
  #retries: Session[] = [];

  constructor(options: EngineOptions) {
    const { node, broker, fanout, settingsOf, limits, counters, guard = {}, outages } = options;
    this.#node = node;
    this.broker = broker;
    this.outages = outages ?? NO_OUTAGES;
    this.#fanout = fanout;
    this.limits = limits;
    this.allowances = allowances(limits);
    this.counters = counters;
    this.guard = guard;
    this.patterns = new Patterns(broker, fanout, limits, counters);
    this.rooms = new Rooms(broker, settingsOf, limits, counters, () => fanout.requestFlush(), this.patterns);
    this.telemetry = options.telemetry ?? new Telemetry();
    this.lanes = new Lanes(limits.laneSockets, counters, this.telemetry);
    this.signatures = new Signatures(broker, counters, limits);
    this.paces = new Paces(this.lanes, limits.conflationBytes, fanout);
    const line = options.presence ?? new SoloLine(listLimits(limits));
    this.presence = new PresenceDesk({ line, settingsOf, limits, counters, fanout });
    this.reader = new HistoryReader(broker, counters, limits.historyMessages);
    this.#slow = new SlowWatch(limits, counters);
  }

  /** Open rooms, for health and metrics. */
  get openRooms(): number {
    return this.rooms.size;
  }

  /**
   * Who and what is large and slow, for operators. Each call goes on with a pass over the rooms for a bounded number of
   * them, so that it costs about a millisecond however many there are. To be called about once a second while somebody
   * looks, and not at all otherwise.
   * @param rooms Told of too where they are open.
   */
  look(nowMs: number, rooms: readonly RoomName[] = []): EngineLook {
    return { rooms: this.#census.step(this.rooms, nowMs, rooms), slow: this.#slow.look(nowMs) };
  }

  /** One room as it is here; undefined where it is not open. */
  inspect(name: RoomName): RoomReport | undefined {
    const found = this.rooms.find(name);
    if (found?.room === undefined) return undefined;
    const { head, ring } = found.room;
    return { subscribers: found.members, classes: found.room.classMembers(), head, ringMessages: ring.size };
  }

  /** Takes a connection and sends it `welcome`. `id` is unique for the life of the deployment. */
  connect(id: string, wire: ServerWire, outbox: Outbox, access: Access = OPEN_ACCESS): Session {
    const session = new Session(id, wire, outbox, this, access);
    this.counters.connections += 1;
    this.counters.connectionsTotal += 1;
    const { pingMs, payloadBytes } = this.limits;
    session.sendControl({ type: "welcome", session: id, node: this.#node, pingMs, maxBytes: payloadBytes });
    return session;
  }

  /** What `Fanout.requestTick` asked for, and where `takeIn` what `Fanout.requestFlush` did. Never called inside a socket handler, where a flush would cost a system call a message. */
  tick(nowMs: number, takeIn = true): void {
    // Whatever a tick that threw left behind belongs to nobody.
    this.#packer.take();
    this.reader.forgetAnswered(nowMs);
    this.newest.forget();
    this.telemetry.nowMs = this.wallMs();
    // What earlier ticks published has reached the sockets' buffers by now.
    this.lanes.look(this.#slow.checkBytes);
    // Before the flush, so that a socket that lost frames gets nothing more that would look like progress.
    const lagging = this.#lagging;
    this.#lagging = [];
    for (const session of lagging) session.adapt(nowMs);
    try {
      this.patterns.settle();
      if (takeIn) this.#takeIn(nowMs);
      this.paces.flushDue(nowMs);
      this.presence.tick(this.lanes, nowMs);
      this.lanes.flush(this.#fanout, this.#packer);
      this.#takeTurns(nowMs);
    } finally {
      // Where something threw before they were asked.
      if (takeIn && (this.rooms.isWaiting || this.patterns.isWaiting)) this.#fanout.requestFlush();
      if (this.lanes.isWaiting || this.patterns.isSettling || this.#turns.length > 0)
        this.#fanout.requestTick();
    }
  }

  /** About once a second: closes idle rooms, retries reads, closes sockets that are too slow for too long. */
  sweep(nowMs: number): void {
    // Also where nobody asks for a tick: what was read must not be served minutes later.
    this.reader.forgetAnswered(nowMs);
    this.rooms.sweep(nowMs, this.wallMs());
    this.#slow.sweep(nowMs);
    this.signatures.sweep();
    this.telemetry.sweep();
    this.presence.sweep(nowMs);
    this.patterns.sweep(nowMs);
    const retries = this.#retries;
    this.#retries = [];
    for (const session of retries) this.wantTurn(session);
  }

  wallMs(): number {
    return this.#fanout.wallMs();
  }

  wantTurn(session: Session): void {
    if (session.queued) return;
    session.queued = true;
    this.#turns.push(session);
    this.#fanout.requestTick();
  }

  wantRetry(session: Session): void {
    this.#retries.push(session);
  }

  wantLag(session: Session): void {
    this.#lagging.push(session);
    this.#fanout.requestTick();
  }

  watch(session: Session, nowMs: number): void {
    this.#slow.watch(session, nowMs);
  }

  lookAt(session: Session, expectedBytes: number): void {
    this.#slow.check(session, expectedBytes);
  }

  noteDrain(session: Session): void {
    this.#slow.drained(session);
  }

  /** Both in the same tick, so that a room's flow and those of patterns always stand at the same point. */
  #takeIn(nowMs: number): void {
    try {
      this.rooms.takeIn(this.lanes, nowMs);
    } finally {
      this.patterns.takeIn(this.lanes);
    }
  }

  /** Replays in turn, a chunk each, until this tick's bytes are spent; the rest waits for the next tick. What is live goes first. */
  #takeTurns(nowMs: number): void {
    const share = this.lanes.isWaiting ? REPLAY_SHARE_BESIDE_LANES : 1;
    let left = this.limits.replayBytesPerTick * share;
    while (this.#turns.length > 0 && left > 0) {
      const turns = this.#turns;
      this.#turns = [];
      let done = 0;
      try {
        for (const session of turns) {
          if (left <= 0) break;
          done += 1;
          session.queued = false;
          left -= Math.max(TURN_BYTES_MIN, session.turn(this.#packer, nowMs));
        }
      } finally {
        if (done < turns.length) this.#turns = turns.slice(done).concat(this.#turns);
      }
    }
  }
}
