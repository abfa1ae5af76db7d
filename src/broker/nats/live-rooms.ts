import type { Sink } from "../../core/ports.js";
import { CodedError } from "../../protocol/errors.js";
import type { RoomName } from "../../protocol/room-name.js";
import type { NatsLink } from "./connection.js";
import type { EpochKeeper } from "./epoch-keeper.js";
import type { Ask, FlowPort, PartitionId } from "./flow/flow-port.js";
import { FlowRoom } from "./flow/flow-room.js";
import { LiveFlow } from "./flow/live-flow.js";
import type { Partition } from "./flow/partition.js";
import { WholePartition } from "./flow/whole-partition.js";
import type { FlowReader } from "./flow-reader.js";
import { isTransient, reasonOf } from "./js-api.js";
import type { LiveMessage } from "./live-message.js";
import { type LiveRoom, LiveSubscriptions } from "./live-subscriptions.js";
import { type Delivery, OpenRoom } from "./open-room.js";
import type { StoredMessage } from "./stored-message.js";
import { FLOW_TICK_MS, flowLimitsOf, partitionSpecOf, streamPortOf } from "./stream-flow.js";
import type { Placement } from "./stream-plan.js";
import type { Stream, Streams } from "./streams.js";
import { encodeRoom, type Subjects } from "./subjects.js";

export interface LiveRoomsOptions {
  /** The connection that live messages come over. */
  readonly link: NatsLink;
  readonly reader: FlowReader;
  readonly subjects: Subjects;
  readonly streams: Streams;
  readonly keeper: EpochKeeper;
  readonly delivery: Delivery;
  /** Told that an open room of the stream was purged up to a number. */
  readonly onPurgeSeen: (stream: Stream, token: string, upTo: number) => void;
  /** Told of what goes wrong and does not look as if it would pass. */
  readonly onTrouble: (what: string) => void;
  /** Told when no stream has answered for long though it was asked, and when one does again. */
  readonly onAnswering: (isAnswering: boolean) => void;
  /** Told which streams have not answered for long though others do, at every change. */
  readonly onAway: (streams: readonly string[]) => void;
}

interface Open {
  readonly room: OpenRoom;
  readonly flow: LiveRoom;
  /** Ends the wait of whoever opened it. */
  settle(cause?: CodedError): void;
}

/** Longer than elections take: then no stream has a leader, as where a cluster has lost most of its servers. */
const MUTE_MS = 10_000;

/** All open rooms that are stored: the live flow (flow/live-flow.ts), with the connection, the clock and the readers that it needs. */
export class LiveRooms {
  readonly #options: LiveRoomsOptions;
  readonly #flow: LiveFlow<StoredMessage>;
  readonly #subscriptions: LiveSubscriptions;
  readonly #partitions = new Map<Stream, Partition<StoredMessage>>();
  readonly #streams = new Map<PartitionId, Stream>();
  readonly #open = new Map<RoomName, Open>();
  /** The last number that came live, of streams that are followed by their own. */
  readonly #lastLive = new Map<Stream, number>();
  readonly #clock: NodeJS.Timeout;
  /** Streams that did not answer when they were asked last, and since when. */
  readonly #failing = new Map<Stream, number>();
  #isMute = false;
  /** Those that have failed for long while others answer. */
  #away: ReadonlySet<Stream> = new Set();
  #stopped = false;

  constructor(options: LiveRoomsOptions) {
    this.#options = options;
    const { link, subjects, streams, delivery, onTrouble } = options;
    const { counters, limits } = delivery;
    this.#subscriptions = new LiveSubscriptions({
      link,
      subjects,
      onRoom: (room, message, isRepeated) => this.#takeOfRoom(room, message, isRepeated),
      onStream: (stream, message) => this.#takeOfStream(stream, message),
      onStray: (kind) => {
        if (kind === "stray") counters.strayMessages += 1;
        else counters.misplacedMessages += 1;
      },
      onTrouble,
    });
    this.#flow = new LiveFlow<StoredMessage>(this.#port(), { limits: flowLimitsOf(limits), counters });
    for (const stream of streams.all()) this.#addPartition(stream);
    if (link.connected) this.#flow.connected(performance.now());
    this.#clock = setInterval(() => this.#tick(performance.now()), FLOW_TICK_MS);
  }

  get size(): number {
    return this.#open.size;
  }

  /** Partitions that are followed by one subscription though their rooms are not keyed. */
  get widePartitions(): number {
    return this.#subscriptions.wide;
  }

  has(name: RoomName): boolean {
    return this.#open.has(name);
  }

  /** Whether the stream has not answered for long, though others do. */
  isAway(stream: Stream): boolean {
    return this.#away.has(stream);
  }

  /** Also while it is being opened. */
  room(name: RoomName): OpenRoom | undefined {
    return this.#open.get(name)?.room;
  }

  /** Open rooms of the stream of which something up to a number is known to be missing still. */
  behind(stream: Stream, upTo: number): OpenRoom[] {
    const partition = this.#partitions.get(stream);
    const isBehind = partition instanceof WholePartition && partition.reached < upTo;
    return [...this.#open.values()]
      .filter(({ room, flow }) => room.stream === stream && (isBehind || flow.state === "repairing"))
      .map(({ room }) => room);
  }

  /** Resolves with the room once everything after its start flows. @throws CodedError `unavailable` */
  open(name: RoomName, sink: Sink, { set, history }: Placement): Promise<OpenRoom> {
    if (set === undefined) throw new Error(`room ${name} is ephemeral`);
    const { subjects, streams, delivery } = this.#options;
    const token = encodeRoom(name);
    const stream = streams.at(set, subjects.partitionOf(token));
    const partition = this.#partitions.get(stream);
    if (partition === undefined) throw new Error(`${stream.name} has no flow`);
    const { readMs } = delivery.limits;
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => {
        const text = `NATS did not say within ${readMs} ms where room ${name} stands`;
        this.#end(name, open, new CodedError("unavailable", text, LATE_RETRY_MS));
      }, readMs);
      const settle = (cause?: CodedError): void => {
        clearTimeout(late);
        if (cause === undefined) resolve(room);
        else reject(cause);
      };
      const room = new OpenRoom(name, token, stream, history, sink, delivery, settle);
      const open: Open = {
        room,
        flow: this.#flow.open(partition, { name, token, sink: room }, performance.now()),
        settle,
      };
      this.#open.set(name, open);
    });
  }

  close(name: RoomName): void {
    const open = this.#open.get(name);
    if (open === undefined) return;
    this.#end(name, open, new CodedError("unavailable", `room ${name} was closed while it was opened`, 0));
  }

  /** Ends everything. */
  stop(): void {
    this.#stopped = true;
    clearInterval(this.#clock);
    this.#subscriptions.stop();
    for (const name of [...this.#open.keys()]) this.close(name);
  }

  /** It was acknowledged that the room has a message of this number, and it has not come. */
  exists(room: OpenRoom, sequence: number): void {
    const open = this.#open.get(room.name);
    // Else the acknowledgement was of another numbering.
    if (open?.room !== room || sequence > room.acknowledged) return;
    this.#flow.exists(open.flow, sequence, performance.now());
  }

  /** The live connection was lost: what is sent meanwhile is missed. */
  disconnected(): void {
    this.#flow.disconnected();
  }

  /** It is back, and subscriptions are restored: all rooms are looked at. */
  connected(): void {
    this.#flow.connected(performance.now());
  }

  /** Something happened to a stream: what it stored meanwhile may not have come live. */
  leaderChanged(stream: Stream): void {
    const partition = this.#partitions.get(stream);
    if (partition !== undefined) this.#flow.leaderChanged(partition, performance.now());
  }

  /** The stream began a new numbering: open rooms begin anew, and are told. */
  restart(stream: Stream): void {
    this.#lastLive.delete(stream);
    this.#subscriptions.restart(stream);
    const partition = this.#partitions.get(stream);
    if (partition !== undefined) this.#flow.renew(partition, stream.epoch, performance.now());
  }

  /** A room of the stream was purged up to a number: it is told, if it is open. */
  purged(stream: Stream, token: string, upTo: number): void {
    const partition = this.#partitions.get(stream);
    if (partition !== undefined) this.#flow.purged(partition, token, upTo);
  }

  #tick(nowMs: number): void {
    this.#flow.tick(nowMs);
    // Without a connection nothing is asked, and nobody is mute.
    if (!this.#options.link.connected) this.#failing.clear();
    if (this.#failing.size > 0 || this.#away.size > 0 || this.#isMute) this.#lookWhoAnswers(nowMs);
  }

  /** Streams with open rooms are all asked within a sweep's time, and again and again while they do not answer. */
  #lookWhoAnswers(nowMs: number): void {
    const away = new Set<Stream>();
    let asked = 0;
    for (const [stream, partition] of this.#partitions) {
      if (partition.size === 0) continue;
      asked += 1;
      if (nowMs - (this.#failing.get(stream) ?? nowMs) >= MUTE_MS) away.add(stream);
    }
    const isMute = this.#failing.size > 0 && away.size === asked;
    if (isMute !== this.#isMute) {
      this.#isMute = isMute;
      this.#options.onAnswering(!isMute);
    }
    // Where none answers that is told of all.
    if (isMute) away.clear();
    if (away.size === this.#away.size && [...away].every((stream) => this.#away.has(stream))) return;
    this.#away = away;
    this.#options.onAway([...away].map(({ name }) => name));
  }

  #addPartition(stream: Stream): void {
    const partition = this.#flow.partition(partitionSpecOf(stream, stream.set.keyed), performance.now());
    this.#partitions.set(stream, partition);
    this.#streams.set(partition, stream);
  }

  #end(name: RoomName, open: Open, cause: CodedError): void {
    if (this.#open.get(name) !== open) return;
    this.#open.delete(name);
    open.room.close();
    this.#flow.close(open.flow);
    open.settle(cause);
  }

  #port(): FlowPort<StoredMessage> {
    return {
      ...streamPortOf(this.#options.keeper, (partition) => this.#streamOf(partition)),
      subscribe: (target) => {
        const stream = this.#streamOf(target);
        if (target instanceof FlowRoom) this.#subscriptions.addRoom(stream, target);
        else this.#subscriptions.addStream(stream);
      },
      unsubscribe: (target) => {
        const stream = this.#streamOf(target);
        if (target instanceof FlowRoom) this.#subscriptions.removeRoom(stream, target);
        else this.#subscriptions.removeStream(stream);
      },
      ask: (ask) => void this.#answer(ask),
      purged: (room, upTo) => this.#options.onPurgeSeen(this.#streamOf(room), room.token, upTo),
    };
  }

  async #answer(ask: Ask<StoredMessage>): Promise<void> {
    const { reader, onTrouble } = this.#options;
    const stream = this.#streamOf(ask.kind === "page" ? ask.room : ask.partition);
    const { counters } = this.#options.delivery;
    try {
      counters.reads += 1;
      switch (ask.kind) {
        case "heads":
          this.#flow.heads(ask.id, await reader.heads(stream, ask), performance.now());
          this.#failing.delete(stream);
          await this.#subscriptions.consider(stream);
          return;
        case "page":
          this.#flow.page(ask.id, await reader.page(stream, ask), performance.now());
          break;
        case "range":
          this.#flow.range(ask.id, await reader.range(stream, ask), performance.now());
          break;
      }
      this.#failing.delete(stream);
    } catch (cause) {
      if (this.#stopped) return;
      if (!this.#failing.has(stream)) this.#failing.set(stream, performance.now());
      if (!isTransient(cause)) onTrouble(`reading ${stream.name}: ${reasonOf(cause)}`);
      this.#flow.failed(ask.id, performance.now());
    }
  }

  #takeOfRoom(room: LiveRoom, message: LiveMessage, isRepeated: boolean): void {
    this.#note(this.#streamOf(room), message, isRepeated);
    this.#flow.live(room, message, message.previous, performance.now());
  }

  #takeOfStream(stream: Stream, message: LiveMessage): void {
    const partition = this.#partitions.get(stream);
    if (partition === undefined) return;
    const isRepeated = message.sequence <= (this.#lastLive.get(stream) ?? 0);
    if (!isRepeated) this.#lastLive.set(stream, message.sequence);
    this.#note(stream, message, isRepeated);
    this.#flow.liveWhole(partition, message.roomToken, message, performance.now());
  }

  /** A number that comes live for the second time may be one that the stream gives out again. */
  #note(stream: Stream, message: LiveMessage, isRepeated: boolean): void {
    if (isRepeated) void this.#options.keeper.verify(stream);
    stream.see(message.sequence);
    stream.anchors.note(message);
  }

  #streamOf(target: LiveRoom | PartitionId): Stream {
    const stream = this.#streams.get(target instanceof FlowRoom ? target.partition : target);
    if (stream === undefined) throw new Error("a partition that has no stream");
    return stream;
  }
}

const LATE_RETRY_MS = 500;
