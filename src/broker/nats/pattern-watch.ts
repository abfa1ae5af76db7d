import { PatternIndex } from "../../core/pattern-index.js";
import type { LostWhere, Sink, Watcher } from "../../core/ports.js";
import { CodedError } from "../../protocol/errors.js";
import { createMessage, type Message } from "../../protocol/message.js";
import type { RoomName } from "../../protocol/room-name.js";
import { namespaceOfPattern, type RoomPattern } from "../../protocol/room-pattern.js";
import type { EphemeralRooms } from "./ephemeral.js";
import type { LiveRooms } from "./live-rooms.js";
import type { Delivery, OpenRoom } from "./open-room.js";
import { contentOf, type StoredMessage } from "./stored-message.js";
import { placeOf, type StreamPlan } from "./stream-plan.js";
import type { Stream } from "./streams.js";
import { decodeRoom, encodeRoom, type SetName } from "./subjects.js";
import { WatchFlow, type WatchFlowOptions } from "./watch-flow.js";
import type { WatchedStream } from "./watched-stream.js";

export interface PatternWatchOptions extends WatchFlowOptions {
  readonly plan: StreamPlan;
  readonly delivery: Delivery;
  readonly flows: LiveRooms;
  readonly ephemeral: EphemeralRooms;
  /** Whether any namespace is ephemeral. */
  readonly hasEphemeral: boolean;
}

/** Which streams a pattern's rooms are in, and whether any may be ephemeral. */
interface Reach {
  readonly streams: readonly WatchedStream[];
  readonly ephemeral: boolean;
}

/** Rooms of which it is remembered whether they are meant. */
const KNOWN_ROOMS = 20_000;

/** More than so many patterns are told as all. */
const LOST_PATTERNS = 100;

/**
 * The patterns that are watched. All that any of their rooms could be in is taken whole meanwhile: the streams of their namespaces, each in
 * its own order and without a hole (watched-stream.ts), and what ephemeral rooms get.
 */
export class PatternWatch {
  readonly #options: PatternWatchOptions;
  readonly #index = new PatternIndex<Reach>();
  readonly #flow: WatchFlow;
  readonly #reaches = new Map<SetName | "all" | undefined, Reach>();
  /** How many patterns reach a stream, and ephemeral rooms. */
  readonly #watches = new Map<WatchedStream, number>();
  #ephemeralWatches = 0;
  #watcher: Watcher | undefined;
  /** By token, the rooms that are meant; undefined: the token's are not. */
  readonly #known = new Map<string, RoomName | undefined>();
  #knownVersion = -1;

  constructor(options: PatternWatchOptions) {
    this.#options = options;
    const { flows, ephemeral } = options;
    this.#flow = new WatchFlow(options, {
      hand: (room, message) => this.#hand(room, message),
      lose: (room) => {
        if (this.#index.matches(room)) this.#lost({ room });
      },
      openRoom: (room) => flows.room(room),
      blame: (cause, room) => this.#blame(cause, room),
      meant: (stream, token) => this.#meant(stream, token),
      loseStream: (stream) => this.#loseWhere(({ streams }) => streams.includes(stream)),
      behind: (stream, upTo) => flows.behind(stream, upTo),
    });
    ephemeral.onlooker = {
      matches: (room) => this.#index.matches(room) && placeOf(options.plan, room).set === undefined,
      message: (message) => this.#deliver(message),
    };
  }

  /** @throws CodedError `unavailable` */
  async watch(pattern: RoomPattern, watcher: Watcher): Promise<void> {
    const { counters, limits } = this.#options.delivery;
    const known = this.#index.get(pattern);
    if (known === undefined && this.#index.size >= limits.patterns) {
      counters.refusedPatterns += 1;
      throw new CodedError(
        "unavailable",
        `${limits.patterns} patterns are watched at this broker, its limit`,
        5_000,
      );
    }
    this.#watcher = watcher;
    const reach = known ?? this.#reachOf(pattern);
    if (known === undefined) this.#enter(pattern, reach);
    counters.watchedPatterns = this.#index.size;
    try {
      await within(limits.readMs, pattern, [
        ...reach.streams.map((stream) => this.#flow.begin(stream)),
        reach.ephemeral ? this.#options.ephemeral.takeWhole() : undefined,
      ]);
    } catch (cause) {
      if (known === undefined) this.unwatch(pattern);
      throw cause;
    }
    // Another call has ended it, or could not wait any more.
    if (!this.#index.has(pattern))
      throw new CodedError("unavailable", `pattern ${pattern} was ended while its watch began`, 0);
  }

  unwatch(pattern: RoomPattern): void {
    const reach = this.#index.get(pattern);
    if (reach === undefined) return;
    this.#index.delete(pattern);
    this.#options.delivery.counters.watchedPatterns = this.#index.size;
    for (const stream of reach.streams) {
      const left = (this.#watches.get(stream) ?? 0) - 1;
      this.#watches.set(stream, left);
      if (left === 0) this.#flow.end(stream);
    }
    if (!reach.ephemeral) return;
    this.#ephemeralWatches -= 1;
    if (this.#ephemeralWatches === 0) this.#options.ephemeral.takeEach();
  }

  /** Opens a room of a stream; what `open` gives the sink begins where what is the watcher's ends. */
  open(
    room: RoomName,
    stream: Stream,
    sink: Sink,
    open: (sink: Sink) => Promise<OpenRoom>,
  ): Promise<OpenRoom> {
    const watched = this.#flow.at(stream);
    if (watched === undefined) return open(sink);
    return watched.open(room, encodeRoom(room), sink, open, () => performance.now());
  }

  /** @param open As it was before it was closed. */
  close(open: OpenRoom): void {
    this.#flow.at(open.stream)?.close(open.token, open);
  }

  /** A publish through this node was stored under this number. */
  expect(stream: Stream, sequence: number): void {
    const watched = this.#flow.at(stream);
    if (watched !== undefined) this.#flow.expect(watched, sequence);
  }

  /** The live connection was lost: what ephemeral rooms get meanwhile is missed. */
  disconnected(): void {
    this.#flow.disconnected();
    this.#loseWhere(({ ephemeral }) => ephemeral);
  }

  connected(): void {
    this.#flow.connected();
    // What was published before all servers knew of the subscription.
    this.#loseWhere(({ ephemeral }) => ephemeral);
  }

  leaderChanged(stream: Stream): void {
    this.#flow.leaderChanged(stream);
  }

  restart(stream: Stream): void {
    this.#flow.restart(stream);
  }

  stop(): void {
    for (const pattern of [...this.#index.patterns()]) this.unwatch(pattern);
    this.#flow.stop();
  }

  #enter(pattern: RoomPattern, reach: Reach): void {
    this.#index.set(pattern, reach);
    for (const stream of reach.streams) this.#watches.set(stream, (this.#watches.get(stream) ?? 0) + 1);
    if (reach.ephemeral) this.#ephemeralWatches += 1;
  }

  /** One object for all patterns that reach the same. */
  #reachOf(pattern: RoomPattern): Reach {
    const { plan, hasEphemeral } = this.#options;
    const namespace = namespaceOfPattern(pattern);
    const set = namespace === undefined ? "all" : plan.placeOf(namespace).set;
    const known = this.#reaches.get(set);
    if (known !== undefined) return known;
    const streams = [...this.#flow.all()].filter(({ stream }) => set === "all" || stream.set === set);
    const reach = { streams, ephemeral: set === undefined || (set === "all" && hasEphemeral) };
    this.#reaches.set(set, reach);
    return reach;
  }

  /** The room of a token, if it is a pattern's, and in the stream that is its place. */
  #meant(stream: Stream, token: string): RoomName | undefined {
    if (this.#knownVersion !== this.#index.version || this.#known.size > KNOWN_ROOMS) {
      this.#known.clear();
      this.#knownVersion = this.#index.version;
    }
    const question = `${stream.name} ${token}`;
    const known = this.#known.get(question);
    if (known !== undefined || this.#known.has(question)) return known;
    const { plan } = this.#options;
    const room = decodeRoom(token);
    const isMeant =
      room !== undefined &&
      this.#index.matches(room) &&
      placeOf(plan, room).set === stream.set &&
      plan.subjects.partitionOf(token) === stream.partition;
    this.#known.set(question, isMeant ? room : undefined);
    return isMeant ? room : undefined;
  }

  #hand(room: RoomName, stored: StoredMessage): void {
    if (!this.#index.matches(room)) return;
    const { limits, counters, nowMs } = this.#options.delivery;
    const content = contentOf(room, stored, limits, counters, nowMs());
    this.#deliver(createMessage({ ...content, offset: stored.sequence, prev: 0 }));
  }

  #deliver(message: Message): void {
    this.#options.delivery.counters.watchedMessages += 1;
    try {
      this.#watcher?.message(message);
    } catch (cause) {
      this.#blame(cause, message.room);
    }
  }

  #loseWhere(holds: (reach: Reach) => boolean): void {
    const patterns = [...this.#index.entries()]
      .filter(([, reach]) => holds(reach))
      .map(([pattern]) => pattern);
    if (patterns.length === 0) return;
    this.#lost(patterns.length > LOST_PATTERNS ? "all" : { patterns });
  }

  #lost(where: LostWhere): void {
    this.#options.delivery.counters.lostPatterns += 1;
    try {
      this.#watcher?.lost(where);
    } catch (cause) {
      this.#blame(cause, undefined);
    }
  }

  #blame(cause: unknown, room: RoomName | undefined): void {
    const { counters, onSinkError } = this.#options.delivery;
    counters.sinkErrors += 1;
    onSinkError(cause, room ?? NO_ROOM_NAME);
  }
}

/** Stands for none, where the watcher threw for several. */
const NO_ROOM_NAME = ">" as RoomName;

async function within(
  ms: number,
  pattern: RoomPattern,
  work: readonly (Promise<void> | undefined)[],
): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () =>
        reject(
          new CodedError(
            "unavailable",
            `NATS did not say within ${ms} ms where pattern ${pattern} begins`,
            500,
          ),
        ),
      ms,
    );
  });
  try {
    await Promise.race([Promise.all(work), late]);
  } finally {
    clearTimeout(timer);
  }
}
