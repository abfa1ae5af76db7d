import type { Subscription } from "@nats-io/transport-node";
import type { Sink } from "../../core/ports.js";
import { CodedError } from "../../protocol/errors.js";
import type { RoomName } from "../../protocol/room-name.js";
import type { NatsLink } from "./connection.js";
import { type FlowTools, PartitionFlow, RoomFlow } from "./flow.js";
import { insist } from "./js-api.js";
import { type LiveMessage, liveOfRoom, liveOfStream } from "./live-message.js";
import { type Delivery, OpenRoom } from "./open-room.js";
import type { PartitionReader } from "./partition-reader.js";
import type { Placement } from "./stream-plan.js";
import type { StreamReads } from "./stream-reader.js";
import type { Stream, Streams } from "./streams.js";
import { encodeRoom, type Subjects } from "./subjects.js";

export interface LiveFlowsOptions {
  /** The connection that live messages come over. */
  readonly link: NatsLink;
  /**
   * Reads over that same connection: a server passes on what it is told to subscribe to before what it is asked
   * afterwards, so that nothing can fall between a subscription and the baseline that is read after it.
   */
  readonly reads: StreamReads;
  readonly heads: PartitionReader;
  readonly subjects: Subjects;
  readonly streams: Streams;
  readonly tools: FlowTools;
  readonly delivery: Delivery;
}

interface Shared {
  readonly flow: PartitionFlow;
  readonly subscription: Subscription;
  readonly opened: Promise<void>;
}

interface Open {
  readonly room: OpenRoom;
  readonly flow: RoomFlow | PartitionFlow;
  /** Ends the room's part of the flow. */
  end(): void;
}

/** All open rooms that are stored: their subscriptions and their flows. */
export class LiveFlows {
  readonly #options: LiveFlowsOptions;
  readonly #open = new Map<RoomName, Open>();
  readonly #roomFlows = new Map<Stream, Set<RoomFlow>>();
  readonly #shared = new Map<Stream, Shared>();

  constructor(options: LiveFlowsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#open.size;
  }

  has(name: RoomName): boolean {
    return this.#open.has(name);
  }

  /** Also while it is being opened. */
  room(name: RoomName): OpenRoom | undefined {
    return this.#open.get(name)?.room;
  }

  /** Streams with open rooms. */
  streams(): Iterable<Stream> {
    return new Set([...this.#roomFlows.keys(), ...this.#shared.keys()]);
  }

  roomFlows(stream: Stream): Iterable<RoomFlow> {
    return this.#roomFlows.get(stream) ?? [];
  }

  partitionFlow(stream: Stream): PartitionFlow | undefined {
    return this.#shared.get(stream)?.flow;
  }

  /** Resolves with the room once everything after its `last` flows. @throws CodedError `unavailable` */
  async open(name: RoomName, sink: Sink, { set, history }: Placement): Promise<OpenRoom> {
    if (set === undefined) throw new Error(`room ${name} is ephemeral`);
    const { subjects, streams, delivery } = this.#options;
    const token = encodeRoom(name);
    const stream = streams.at(set, subjects.partitionOf(token));
    const room = new OpenRoom(name, token, stream, history, sink, delivery);
    const open: Open = set.keyed ? this.#openInStream(room) : this.#openAlone(room);
    this.#open.set(name, open);
    try {
      await this.#started.get(room);
    } catch (cause) {
      if (this.#open.get(name) === open) this.close(name);
      throw cause;
    } finally {
      this.#started.delete(room);
    }
    if (room.closed) throw new CodedError("unavailable", `room ${name} was closed while it was opened`, 0);
    return room;
  }

  close(name: RoomName): void {
    const open = this.#open.get(name);
    if (open === undefined) return;
    this.#open.delete(name);
    open.room.close();
    open.end();
  }

  closeAll(): void {
    for (const name of [...this.#open.keys()]) this.close(name);
  }

  /** It is known that the room has a message of this number. */
  exists(room: OpenRoom, sequence: number): void {
    const open = this.#open.get(room.name);
    if (open?.room === room) open.flow.exists(sequence);
  }

  /** The stream began a new numbering. */
  restart(stream: Stream): void {
    this.partitionFlow(stream)?.restart();
    for (const flow of this.roomFlows(stream)) flow.restart();
  }

  /** How rooms that are being opened come to their baseline. */
  readonly #started = new Map<OpenRoom, Promise<void>>();

  #openAlone(room: OpenRoom): Open {
    const { subjects, tools, link } = this.#options;
    const { stream, token } = room;
    const place = { stream, filter: subjects.filter(stream.set, stream.partition, token) };
    const flow = new RoomFlow(room, place, tools);
    const flows = this.#roomFlows.get(stream) ?? new Set();
    this.#roomFlows.set(stream, flows.add(flow));
    const subscription = link.connection.subscribe(subjects.live(stream.set, stream.partition, token), {
      callback: (cause, message) => this.#take(flow, cause, () => liveOfRoom(message, token)),
    });
    this.#started.set(
      room,
      this.#baseline(async (timeoutMs) => {
        const { epoch, seen } = stream;
        const head = await this.#options.reads.last(stream, place.filter, timeoutMs);
        if (stream.epoch !== epoch) throw new CodedError("unavailable", "the stream is another one", 0);
        flow.open(head, seen);
      }),
    );
    const end = (): void => {
      flow.closed = true;
      subscription.unsubscribe();
      flows.delete(flow);
      if (flows.size === 0 && this.#roomFlows.get(stream) === flows) this.#roomFlows.delete(stream);
    };
    return { room, flow, end };
  }

  #openInStream(room: OpenRoom): Open {
    const { stream } = room;
    const shared = this.#shared.get(stream) ?? this.#share(stream);
    this.#started.set(
      room,
      shared.opened.then(() => {
        if (!room.closed) shared.flow.add(room);
      }),
    );
    const end = (): void => {
      shared.flow.remove(room);
      if (shared.flow.size === 0) this.#endShared(stream, shared);
    };
    return { room, flow: shared.flow, end };
  }

  /** Follows a stream whole. */
  #share(stream: Stream): Shared {
    const { subjects, tools, link, heads } = this.#options;
    const flow = new PartitionFlow(stream, tools);
    const subscription = link.connection.subscribe(subjects.liveIn(stream.set, stream.partition), {
      callback: (cause, message) => this.#take(flow, cause, () => liveOfStream(message)),
    });
    const opened = this.#baseline(async () => {
      const { epoch } = stream;
      const head = await heads.head(stream);
      if (stream.epoch !== epoch) throw new CodedError("unavailable", "the stream is another one", 0);
      flow.open(head);
    });
    const shared: Shared = { flow, subscription, opened };
    this.#shared.set(stream, shared);
    // Who waits for it is told; the next one begins anew.
    opened.catch(() => this.#endShared(stream, shared));
    return shared;
  }

  #endShared(stream: Stream, shared: Shared): void {
    shared.flow.closed = true;
    shared.subscription.unsubscribe();
    if (this.#shared.get(stream) === shared) this.#shared.delete(stream);
  }

  #baseline(read: (timeoutMs: number) => Promise<void>): Promise<void> {
    return insist("NATS did not say where the room stands", this.#options.tools.limits.readMs, read);
  }

  /** Whatever throws here would end the client's reading for good. */
  #take(flow: RoomFlow | PartitionFlow, cause: Error | null, parse: () => LiveMessage | undefined): void {
    const { onTrouble, counters } = this.#options.tools;
    try {
      if (cause !== null) {
        onTrouble(`a subscription ended: ${cause.message}`);
        return;
      }
      const live = parse();
      if (live === undefined) counters.strayMessages += 1;
      else flow.receive(live);
    } catch (fault) {
      onTrouble(`a live message could not be handled: ${String(fault)}`);
    }
  }
}
