import { parseRoom, type RoomName } from "../../protocol/room-name.js";
import type { NatsLink } from "./connection.js";
import type { EpochKeeper } from "./epoch-keeper.js";
import type { Ask, FlowPort, PartitionId, RoomSink } from "./flow/flow-port.js";
import { FlowRoom } from "./flow/flow-room.js";
import { LiveFlow } from "./flow/live-flow.js";
import { WholePartition } from "./flow/whole-partition.js";
import type { FlowReader } from "./flow-reader.js";
import { isTransient, reasonOf } from "./js-api.js";
import type { NatsLimits } from "./limits.js";
import type { LiveMessage } from "./live-message.js";
import { LiveSubscriptions } from "./live-subscriptions.js";
import type { OpenRoom } from "./open-room.js";
import type { StoredMessage } from "./stored-message.js";
import { FLOW_TICK_MS, flowLimitsOf, partitionSpecOf, streamPortOf } from "./stream-flow.js";
import type { Stream, Streams } from "./streams.js";
import { NO_ROOM, type Subjects } from "./subjects.js";
import { WatchedStream, type WatchedStreamPort } from "./watched-stream.js";

export interface WatchFlowOptions {
  /** The connection that live messages come over. */
  readonly link: NatsLink;
  readonly reader: FlowReader;
  readonly subjects: Subjects;
  readonly streams: Streams;
  readonly keeper: EpochKeeper;
  readonly limits: NatsLimits;
  readonly onTrouble: (what: string) => void;
}

export interface WatchFlowPort extends Omit<WatchedStreamPort, "expect"> {
  /** The room of a token, if a pattern means it and the stream is its place. */
  meant(stream: Stream, token: string): RoomName | undefined;
  /** Something of any room of the stream may have been missed. */
  loseStream(stream: WatchedStream): void;
  /** Open rooms of the stream of which something up to a number is known to be missing still. */
  behind(stream: Stream, upTo: number): Iterable<OpenRoom>;
}

/** One stream, while it is watched. */
interface Running {
  readonly room: FlowRoom<StoredMessage>;
  readonly began: Promise<void>;
  readonly settle: () => void;
}

interface Expected {
  sequence: number;
  readonly epoch: string;
  readonly sinceMs: number;
}

/** No room: what stands in for all of a stream's in its flow. */
const STAND_IN = parseRoom("nobody");

/**
 * Whole streams, each in its own order: the live flow (flow/live-flow.ts) once more, with one room a stream that stands in for all. Whatever
 * happens to the stream befalls it, too.
 */
export class WatchFlow {
  readonly #options: WatchFlowOptions;
  readonly #port: WatchFlowPort;
  readonly #flow: LiveFlow<StoredMessage>;
  readonly #subscriptions: LiveSubscriptions;
  readonly #watched = new Map<Stream, WatchedStream>();
  readonly #byPartition = new Map<PartitionId, WatchedStream>();
  readonly #running = new Map<WatchedStream, Running>();
  readonly #expected = new Map<WatchedStream, Expected>();
  readonly #lastLive = new Map<Stream, number>();
  #clock: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: WatchFlowOptions, port: WatchFlowPort) {
    this.#options = options;
    this.#port = port;
    const { link, subjects, streams, limits, onTrouble } = options;
    this.#subscriptions = new LiveSubscriptions({
      link,
      subjects,
      onRoom: () => undefined,
      onStream: (stream, message) => this.#take(stream, message),
      // Counted where rooms are open.
      onStray: () => undefined,
      onTrouble,
    });
    this.#flow = new LiveFlow<StoredMessage>(this.#flowPort(), { limits: flowLimitsOf(limits) });
    for (const stream of streams.all()) this.#add(stream);
    if (link.connected) this.#flow.connected(performance.now());
  }

  all(): Iterable<WatchedStream> {
    return this.#watched.values();
  }

  /** Undefined: it is not watched. */
  at(stream: Stream): WatchedStream | undefined {
    if (this.#running.size === 0) return undefined;
    const watched = this.#watched.get(stream);
    return watched?.isActive === true ? watched : undefined;
  }

  /** Resolves when all that the stream gets from now on comes. */
  begin(watched: WatchedStream): Promise<void> {
    const running = this.#running.get(watched);
    if (running !== undefined) return running.began;
    watched.activate();
    let settle: () => void = () => undefined;
    const began = new Promise<void>((resolve) => {
      settle = resolve;
    });
    const sink: RoomSink<StoredMessage> = {
      opened: () => {
        watched.begun(this.#port.behind(watched.stream, watched.partition.reached));
        settle();
      },
      deliver: () => undefined,
      reset: () => this.#port.loseStream(watched),
      checkpoint: () => undefined,
    };
    const opening = { name: STAND_IN, token: NO_ROOM, sink };
    const room = this.#flow.open(watched.partition, opening, performance.now());
    this.#running.set(watched, { room, began, settle });
    this.#clock ??= setInterval(() => this.#tick(performance.now()), FLOW_TICK_MS);
    return began;
  }

  end(watched: WatchedStream): void {
    const running = this.#running.get(watched);
    if (running === undefined) return;
    this.#running.delete(watched);
    this.#expected.delete(watched);
    this.#flow.close(running.room);
    watched.deactivate();
    running.settle();
    if (this.#running.size > 0) return;
    clearInterval(this.#clock);
    this.#clock = undefined;
  }

  /** The stream has a message of this number; what is not there soon is read. */
  expect(watched: WatchedStream, sequence: number): void {
    if (watched.partition.reached >= sequence) return;
    const { epoch } = watched.stream;
    const known = this.#expected.get(watched);
    if (known === undefined || known.epoch !== epoch || known.sequence <= watched.partition.reached)
      this.#expected.set(watched, { sequence, epoch, sinceMs: performance.now() });
    else if (sequence > known.sequence) known.sequence = sequence;
  }

  disconnected(): void {
    this.#flow.disconnected();
  }

  connected(): void {
    this.#flow.connected(performance.now());
  }

  leaderChanged(stream: Stream): void {
    const watched = this.#watched.get(stream);
    if (watched !== undefined) this.#flow.leaderChanged(watched.partition, performance.now());
  }

  restart(stream: Stream): void {
    this.#lastLive.delete(stream);
    const watched = this.#watched.get(stream);
    if (watched === undefined) return;
    this.#expected.delete(watched);
    if (watched.isActive) watched.restart();
    this.#flow.renew(watched.partition, stream.epoch, performance.now());
  }

  stop(): void {
    this.#stopped = true;
    clearInterval(this.#clock);
    this.#subscriptions.stop();
  }

  #add(stream: Stream): void {
    const partition = this.#flow.partition(partitionSpecOf(stream, true), performance.now());
    if (!(partition instanceof WholePartition)) throw new Error(`${stream.name} is not taken whole`);
    const port = {
      ...this.#port,
      expect: (one: WatchedStream, sequence: number) => this.expect(one, sequence),
    };
    const watched = new WatchedStream(stream, partition, port);
    partition.onlooker = (token, message) => {
      const room = this.#port.meant(stream, token);
      if (room !== undefined) watched.take(room, message);
    };
    this.#watched.set(stream, watched);
    this.#byPartition.set(partition, watched);
  }

  #tick(nowMs: number): void {
    this.#flow.tick(nowMs);
    for (const [watched, { sequence, epoch, sinceMs }] of this.#expected) {
      if (watched.partition.reached < sequence && nowMs - sinceMs < this.#options.limits.graceMs) continue;
      this.#expected.delete(watched);
      const room = this.#running.get(watched)?.room;
      if (watched.partition.reached < sequence && room !== undefined && epoch === watched.stream.epoch)
        this.#flow.exists(room, sequence, nowMs);
    }
    for (const watched of this.#running.keys()) watched.tick(nowMs);
  }

  #take(stream: Stream, message: LiveMessage): void {
    const watched = this.#watched.get(stream);
    if (watched === undefined) return;
    // A number that comes live for the second time may be one that the stream gives out again.
    if (message.sequence <= (this.#lastLive.get(stream) ?? 0)) void this.#options.keeper.verify(stream);
    else this.#lastLive.set(stream, message.sequence);
    stream.see(message.sequence);
    stream.anchors.note(message);
    this.#flow.liveWhole(watched.partition, message.roomToken, message, performance.now());
  }

  #flowPort(): FlowPort<StoredMessage> {
    return {
      ...streamPortOf(this.#options.keeper, (partition) => this.#streamOf(partition)),
      subscribe: (target) => this.#subscriptions.addStream(this.#streamOf(target)),
      unsubscribe: (target) => {
        const stream = this.#streamOf(target);
        this.#lastLive.delete(stream);
        this.#subscriptions.removeStream(stream);
      },
      ask: (ask) => void this.#answer(ask),
      purged: () => undefined,
    };
  }

  async #answer(ask: Ask<StoredMessage>): Promise<void> {
    const { reader, onTrouble } = this.#options;
    if (ask.kind === "page") throw new Error("a whole stream is read by its numbers");
    const stream = this.#streamOf(ask.partition);
    try {
      if (ask.kind === "heads") this.#flow.heads(ask.id, await reader.heads(stream, ask), performance.now());
      else this.#flow.range(ask.id, await reader.range(stream, ask), performance.now());
    } catch (cause) {
      if (this.#stopped) return;
      if (!isTransient(cause)) onTrouble(`reading ${stream.name}: ${reasonOf(cause)}`);
      this.#flow.failed(ask.id, performance.now());
    }
  }

  #streamOf(target: FlowRoom<StoredMessage> | PartitionId): Stream {
    const watched = this.#byPartition.get(target instanceof FlowRoom ? target.partition : target);
    if (watched === undefined) throw new Error("a partition that has no stream");
    return watched.stream;
  }
}
