import type { Sink } from "../../core/ports.js";
import { CodedError } from "../../protocol/errors.js";
import type { RoomName } from "../../protocol/room-name.js";
import type { WholePartition } from "./flow/whole-partition.js";
import { GatedSink } from "./gated-sink.js";
import { keepMessage } from "./live-message.js";
import type { OpenRoom } from "./open-room.js";
import type { StoredMessage } from "./stored-message.js";
import type { Stream } from "./streams.js";

/** Where what a stream got goes, and what it has to know of rooms. */
export interface WatchedStreamPort {
  /** To the watcher, if a pattern means the room. */
  hand(room: RoomName, message: StoredMessage): void;
  /** Something of the room may have been missed. */
  lose(room: RoomName): void;
  /** Also while it is being opened. */
  openRoom(room: RoomName): OpenRoom | undefined;
  /** Told what a sink threw. */
  blame(cause: unknown, room: RoomName): void;
  /** The stream is to come as far as this soon; else it is to be read. */
  expect(stream: WatchedStream, sequence: number): void;
}

/** Which messages of one room are its sink's, and which the watcher's. */
interface Switch {
  readonly room: RoomName;
  readonly token: string;
  /**
   * "opening": nobody knows from where on they are the sink's. "waiting": that is known, and the watcher has still to get
   * what is before. "closed": what the sink had is still to come here.
   */
  phase: "opening" | "waiting" | "open" | "closed";
  open: OpenRoom | undefined;
  gate: GatedSink | undefined;
  /** What came here and may be the watcher's, in order. */
  queue: StoredMessage[];
  /** The last that there was no room for in the queue; 0: there was always. */
  missed: number;
  /** Up to here a sink was given everything. */
  skipTo: number;
  /** The sink's are those after it; in phase "waiting". */
  start: number;
  sinceMs: number;
  proceed: (() => void) | undefined;
}

/** Messages of one room that wait here, or behind its gate. */
const QUEUE_MESSAGES = 1_000;

/** So long the begin of a sink's flow waits for what comes before. Then that counts as lost. */
const GATE_MS = 3_000;

/**
 * One stream that is watched whole, in its own order and without a hole, beside the flows of its rooms that are open. Either
 * may be ahead of the other. So at `open` what comes here for the room waits until the position is known at which it was
 * opened: what is up to there goes to the watcher, and only then its sink gets anything. While it is open, what comes here
 * before it comes to the sink is kept; at `close` what of it the sink was not given goes to the watcher, and what is
 * still to come here up to the sink's last is left out.
 */
export class WatchedStream {
  readonly stream: Stream;
  readonly partition: WholePartition<StoredMessage>;
  readonly #port: WatchedStreamPort;
  readonly #switches = new Map<string, Switch>();
  readonly #waiting = new Set<Switch>();
  /** Where the watch began. */
  #base = 0;
  #isActive = false;

  constructor(stream: Stream, partition: WholePartition<StoredMessage>, port: WatchedStreamPort) {
    this.stream = stream;
    this.partition = partition;
    this.#port = port;
  }

  get isActive(): boolean {
    return this.#isActive;
  }

  /** It is being watched from somewhere on. */
  activate(): void {
    this.#isActive = true;
  }

  /** All that it gets comes here from now on. @param behind Rooms whose sinks may lack something of before. */
  begun(behind: Iterable<OpenRoom>): void {
    this.#base = this.partition.reached;
    for (const open of behind) {
      const known = this.#switches.get(open.token) ?? this.#adopt(open.token, open.name);
      if (known?.open === open) known.missed = Math.max(known.missed, this.#base);
    }
  }

  deactivate(): void {
    this.#isActive = false;
    const known = [...this.#switches.values()];
    this.#switches.clear();
    for (const one of known) this.#release(one);
  }

  /** A message of a room that a pattern means; it is the stream's next. */
  take(room: RoomName, message: StoredMessage): void {
    this.#place(room, message);
    if (this.#waiting.size > 0) this.#look();
  }

  /** Opens a room: `open` hands its flow to a sink. Resolves when all before its position has come to the watcher. */
  async open(
    room: RoomName,
    token: string,
    sink: Sink,
    open: (sink: Sink) => Promise<OpenRoom>,
    nowMs: () => number,
  ): Promise<OpenRoom> {
    const gate = new GatedSink(sink, (cause) => this.#port.blame(cause, room));
    const known = this.#switches.get(token) ?? createSwitch(room, token);
    Object.assign(known, { phase: "opening", open: undefined, gate, queue: [], missed: 0 });
    this.#switches.set(token, known);
    let opened: OpenRoom;
    try {
      opened = await open(gate);
    } catch (cause) {
      if (known.gate === gate) this.#giveBack(known);
      throw cause;
    }
    if (known.gate === gate) {
      known.open = opened;
      known.sinceMs = nowMs();
      await this.#begin(known, opened);
    }
    if (gate.isDropped) throw new CodedError("unavailable", `room ${room} was closed while it was opened`, 0);
    return opened;
  }

  /** @param open As it was before it was closed; nothing comes to its sink any more. */
  close(token: string, open: OpenRoom): void {
    if (!this.#isActive) return;
    const known = this.#switches.get(token) ?? createSwitch(open.name, token);
    this.#switches.set(token, known);
    if (known.gate !== undefined) {
      known.gate.drop();
      this.#giveBack(known);
      return;
    }
    if (open.start === undefined) {
      this.#giveBack(known);
      return;
    }
    if (known.phase === "opening") this.#settle(known, open);
    const last = open.isCurrent ? open.last : 0;
    // What came of another numbering than the sink's is in no order with what the sink got.
    if (!open.isCurrent || known.missed > last) this.#port.lose(open.name);
    this.#end(known, last);
  }

  /** The stream begins a new numbering. */
  restart(): void {
    for (const known of [...this.#switches.values()]) {
      known.queue = [];
      known.missed = 0;
      known.skipTo = 0;
      if (known.phase === "closed") this.#switches.delete(known.token);
      else if (known.phase === "waiting") this.#abandon(known);
      // Where it is opened, that is in the new numbering.
      else this.#port.lose(known.room);
    }
  }

  /** Call it some times a second. */
  tick(nowMs: number): void {
    this.#look();
    for (const known of this.#waiting)
      if (nowMs - known.sinceMs >= GATE_MS || (known.gate?.size ?? 0) > QUEUE_MESSAGES) this.#abandon(known);
  }

  #place(room: RoomName, message: StoredMessage): void {
    const { roomToken: token, sequence } = message;
    const known = this.#switches.get(token) ?? this.#adopt(token, room);
    if (known === undefined) {
      this.#port.hand(room, message);
      return;
    }
    if (sequence <= known.skipTo) return;
    if (known.gate === undefined && known.open !== undefined) {
      // Opened before the pattern was watched.
      if (this.#port.openRoom(room) !== known.open) this.#giveBack(known);
      else if (known.phase === "opening" && known.open.start !== undefined) this.#settle(known, known.open);
    }
    const isWatchers = known.phase === "closed" || (known.phase === "waiting" && sequence <= known.start);
    if (isWatchers) {
      if (known.phase === "closed") this.#switches.delete(token);
      this.#port.hand(room, message);
    } else if (known.phase === "open" && known.open?.isCurrent && sequence <= known.open.last)
      known.queue = [];
    else this.#keep(known, message);
  }

  /** A room that was open before it was watched. */
  #adopt(token: string, room: RoomName): Switch | undefined {
    const open = this.#port.openRoom(room);
    if (open === undefined) return undefined;
    const known = createSwitch(room, token);
    known.phase = open.start === undefined ? "opening" : "open";
    known.open = open;
    this.#switches.set(token, known);
    return known;
  }

  /** The position of a room without a gate is known: what was up to there is late. */
  #settle(known: Switch, open: OpenRoom): void {
    const start = open.isCurrent ? (open.start?.offset ?? 0) : 0;
    known.phase = "open";
    if (!known.queue.some(({ sequence }) => sequence <= start)) return;
    this.#port.lose(known.room);
    known.queue = known.queue.filter(({ sequence }) => sequence > start);
  }

  async #begin(known: Switch, opened: OpenRoom): Promise<void> {
    const { start } = opened;
    if (start === undefined || start.epoch !== this.partition.epoch || !opened.isCurrent) {
      this.#abandon(known);
      return;
    }
    known.start = start.offset;
    known.phase = "waiting";
    if (known.missed > 0) this.#port.lose(known.room);
    const { queue } = known;
    known.queue = queue.filter(({ sequence }) => sequence > start.offset);
    for (const message of queue) if (message.sequence <= start.offset) this.#port.hand(known.room, message);
    if (this.partition.reached >= start.offset) {
      this.#release(known);
      return;
    }
    this.#port.expect(this, start.offset);
    this.#waiting.add(known);
    await new Promise<void>((resolve) => {
      known.proceed = resolve;
    });
  }

  /** What the watcher has still to get of before the room's begin counts as lost. */
  #abandon(known: Switch): void {
    this.#port.lose(known.room);
    known.queue = known.queue.filter(({ sequence }) => sequence > known.start);
    this.#release(known);
  }

  #look(): void {
    for (const known of this.#waiting) if (this.partition.reached >= known.start) this.#release(known);
  }

  /** From here on the sink gets what is its own. */
  #release(known: Switch): void {
    const { gate, proceed } = known;
    this.#waiting.delete(known);
    known.phase = "open";
    known.gate = undefined;
    known.proceed = undefined;
    gate?.release();
    proceed?.();
  }

  /** As if the room had never been opened. */
  #giveBack(known: Switch): void {
    const { proceed } = known;
    this.#waiting.delete(known);
    known.gate = undefined;
    known.proceed = undefined;
    if (known.missed > 0) this.#port.lose(known.room);
    this.#end(known, known.skipTo);
    proceed?.();
  }

  /** The room is the watcher's again, after what its sink got last. */
  #end(known: Switch, last: number): void {
    const { queue, room, token } = known;
    Object.assign(known, { phase: "closed", open: undefined, queue: [], missed: 0 });
    known.skipTo = Math.max(last, known.skipTo);
    if (known.skipTo <= this.partition.reached) this.#switches.delete(token);
    for (const message of queue) if (message.sequence > last) this.#port.hand(room, message);
  }

  #keep(known: Switch, message: StoredMessage): void {
    if (known.queue.length >= QUEUE_MESSAGES) {
      const { open } = known;
      const last = open?.isCurrent ? open.last : 0;
      known.queue = known.queue.filter(({ sequence }) => sequence > last);
      if (known.queue.length >= QUEUE_MESSAGES) {
        known.missed = known.queue.at(-1)?.sequence ?? 0;
        known.queue = [];
      }
    }
    known.queue.push(keepMessage(message));
  }
}

function createSwitch(room: RoomName, token: string): Switch {
  return {
    room,
    token,
    phase: "closed",
    open: undefined,
    gate: undefined,
    queue: [],
    missed: 0,
    skipTo: 0,
    start: 0,
    sinceMs: 0,
    proceed: undefined,
  };
}
