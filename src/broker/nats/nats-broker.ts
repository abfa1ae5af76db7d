import { createHash } from "node:crypto";
import type { Broker, HistoryFrom, HistoryPage, Outgoing, Sink, Snapshot } from "../../core/ports.js";
import { CodedError } from "../../protocol/errors.js";
import type { Position } from "../../protocol/frames.js";
import { createMessage, isRemoval, type Message } from "../../protocol/message.js";
import type { RoomName } from "../../protocol/room-name.js";
import { insist } from "./js-api.js";
import { ownHeaders } from "./message-headers.js";
import type { NatsCounters } from "./nats-counters.js";
import type { NatsParts } from "./nats-parts.js";
import type { HistoryBounds, RoomPlace, StoredPage } from "./room-reader.js";
import { contentOf, type StoredMessage } from "./stored-message.js";
import { placeOf } from "./stream-plan.js";
import type { Stream } from "./streams.js";
import { encodeKey, encodeRoom, percentEncode } from "./subjects.js";

const EPHEMERAL: Position = Object.freeze({ epoch: "", offset: 0 });

/**
 * NATS JetStream as the broker: any number of nodes share its rooms. See `startNatsBroker`.
 *
 * - A room's offset is its message's number in the stream of the room's partition: it grows, with holes.
 * - A publish resolves when NATS has stored it. One that rejects as `unavailable` says whether it is known not to have
 *   been stored; sent again with the same id within two minutes it is stored once all the same.
 * - Publishes of one node to one room keep their order, also over elections (see outbox.ts), except those that are on their
 *   way at the very moment when a stream changes its leader: who cannot bear that waits for one before the next.
 * - What comes before the first message of a room, and the position of a room of which nothing is kept, is the number
 *   that its stream had come to.
 * - State of more keys than the limit leaves out the least recently updated, and says so.
 *
 * One sink a room: opening an open room rejects.
 */
export class NatsBroker implements Broker {
  readonly #parts: NatsParts;
  /** The same question asked again while it is being answered. */
  readonly #reading = new Map<string, Promise<HistoryPage | Snapshot>>();
  #stopping: Promise<void> | undefined;

  /** Use `startNatsBroker`. */
  constructor(parts: NatsParts) {
    this.#parts = parts;
  }

  get counters(): NatsCounters {
    return this.#parts.delivery.counters;
  }

  /** Whether NATS is there and serves this node. */
  get available(): boolean {
    return this.#stopping === undefined && this.#parts.live.connected && this.#parts.refusal() === undefined;
  }

  /** Partitions that are followed by one subscription, as most of their rooms are open here. Keyed ones do not count. */
  get widePartitions(): number {
    return this.#parts.flows.widePartitions;
  }

  async publish(outgoing: Outgoing): Promise<Position> {
    this.#refuseIfUnable();
    const { room, data, key, id, origin } = outgoing;
    const { plan, publisher, delivery, flows, keeper, ephemeral } = this.#parts;
    const { counters, nowMs } = delivery;
    const { set } = placeOf(plan, room);
    if (set === undefined) {
      ephemeral.publish({ room, data, key, origin });
      counters.published += 1;
      return EPHEMERAL;
    }
    const token = encodeRoom(room);
    const stream = this.#parts.streams.at(set, plan.subjects.partitionOf(token));
    const messageId = id === undefined ? publisher.nextId() : idOf(token, id);
    const isKeyInSubject = set.keyed && (key === undefined || !encodeKey(key).startsWith("%%"));
    const parcel = {
      subject: plan.subjects.storedOf(set, stream.partition, token, key),
      headers: ownHeaders({ time: nowMs(), origin, key: isKeyInSubject ? undefined : key, id: messageId }),
      data: data.slice(),
      stream: stream.name,
    };
    const { epoch, seen } = stream;
    const { sequence, isDuplicate } = await publisher.publish(parcel);
    if (isDuplicate) counters.duplicates += 1;
    else {
      counters.published += 1;
      // What is stored later has a higher number, or it is another numbering.
      if (stream.epoch === epoch && sequence <= seen) await keeper.verify(stream);
      if (stream.epoch === epoch) stream.anchors.noteOwn(sequence, messageId, parcel.data, token);
    }
    stream.see(sequence);
    const open = flows.room(room);
    if (open !== undefined && sequence > open.last) this.#parts.echoes.expect(open, sequence);
    return stream.position(sequence);
  }

  async open(room: RoomName, sink: Sink): Promise<Position> {
    this.#refuseIfUnable();
    const { plan, flows, ephemeral, delivery } = this.#parts;
    if (flows.has(room) || ephemeral.has(room)) throw new Error(`room ${room} is open already`);
    const { openRooms } = delivery.limits;
    if (flows.size + ephemeral.size >= openRooms)
      throw new CodedError("unavailable", `all ${openRooms} rooms of this broker are open`, 5_000);
    const place = placeOf(plan, room);
    if (place.set === undefined) {
      await ephemeral.open(room, sink);
      return EPHEMERAL;
    }
    const opened = await flows.open(room, sink, place);
    return opened.start ?? opened.stream.position(opened.last);
  }

  close(room: RoomName): void {
    this.#parts.ephemeral.close(room);
    this.#parts.flows.close(room);
  }

  async history(room: RoomName, from: HistoryFrom, limit: number): Promise<HistoryPage> {
    this.#refuseIfUnable();
    const place = this.#placeOf(room);
    const after = from !== "oldest" && "after" in from ? from.after : undefined;
    if (place === undefined)
      return after !== undefined && (after.epoch !== "" || after.offset > 0)
        ? { kind: "lost", reason: "epoch", head: EPHEMERAL }
        : { kind: "page", messages: [], more: false, head: EPHEMERAL };
    const { stream } = place;
    if (after === undefined || after.epoch === stream.epoch) {
      const known = this.#parts.flows.room(room)?.page(from, limit);
      if (known !== undefined) {
        this.counters.tailReads += 1;
        return known;
      }
    }
    const start = after !== undefined ? `a ${after.epoch} ${after.offset}` : JSON.stringify(from);
    return this.#once(`${this.#version(room, stream)} ${room} ${limit} ${start}`, () =>
      this.#read(room, place, from, limit),
    );
  }

  async state(room: RoomName): Promise<Snapshot> {
    this.#refuseIfUnable();
    const place = this.#placeOf(room);
    if (place === undefined) return { head: EPHEMERAL, messages: [], droppedKeys: 0 };
    return this.#once(`${this.#version(room, place.stream)} ${room} state`, () =>
      this.#readState(room, place),
    );
  }

  async stop(deadlineMs: number): Promise<void> {
    this.#stopping ??= this.#parts.stop(deadlineMs);
    await this.#stopping;
  }

  async #readState(room: RoomName, { stream, filter }: RoomPlace): Promise<Snapshot> {
    const { rooms, delivery, gate } = this.#parts;
    return this.#insist(async () => {
      const { epoch } = stream;
      const empty = this.#headOfEmpty(room, stream);
      if (!stream.set.keyed) {
        const head = await gate.run(() => rooms.head({ stream, filter }));
        return { head: stream.position(head || empty), messages: [], droppedKeys: 0 };
      }
      const read = await gate.run(() => rooms.snapshot({ stream, filter }, delivery.limits.keysPerRoom));
      if (stream.epoch !== epoch) throw renumbered();
      let prev = 0;
      const messages = read.messages.map((stored) => {
        const message = this.#message(room, stored, prev);
        prev = message.offset;
        return message;
      });
      const kept = messages.filter((message) => !isRemoval(message));
      return { head: stream.position(read.head || empty), messages: kept, droppedKeys: read.droppedKeys };
    });
  }

  #read(room: RoomName, place: RoomPlace, from: HistoryFrom, limit: number): Promise<HistoryPage> {
    const { plan, rooms, delivery, gate } = this.#parts;
    const { stream } = place;
    const { messages, seconds } = placeOf(plan, room).history;
    const bounds: HistoryBounds = { messages, maxAgeMs: seconds * 1_000 };
    return this.#insist(async () => {
      const { epoch } = stream;
      const empty = this.#headOfEmpty(room, stream);
      const nowMs = delivery.nowMs();
      let page: StoredPage;
      if (from === "oldest") page = await gate.run(() => rooms.last(place, messages, limit, bounds, nowMs));
      else if ("last" in from)
        page = await gate.run(() => rooms.last(place, from.last, limit, bounds, nowMs));
      else if (from.after.epoch !== epoch) {
        const head = await gate.run(() => rooms.head(place));
        page = { kind: "lost", reason: "epoch", head };
      } else {
        const { offset } = from.after;
        page = await gate.run(() => rooms.after(place, offset, limit, bounds, nowMs));
      }
      if (stream.epoch !== epoch) throw renumbered();
      return this.#page(room, page, stream.position(page.head || empty));
    });
  }

  #page(room: RoomName, page: StoredPage, head: Position): HistoryPage {
    if (page.kind === "lost") return { kind: "lost", reason: page.reason, head };
    let prev = page.before;
    const messages: Message[] = [];
    for (const stored of page.messages) {
      messages.push(this.#message(room, stored, prev));
      prev = stored.sequence;
    }
    return { kind: "page", messages, more: page.more, head };
  }

  /**
   * A room of which nothing is kept stands where it has come to here, or else where its stream stands: whoever begins
   * there misses nothing. To be asked before a read that may find nothing: what comes during it is not covered.
   */
  #headOfEmpty(room: RoomName, stream: Stream): number {
    const open = this.#parts.flows.room(room);
    return open?.isCurrent === true ? open.last : stream.seen;
  }

  #message(room: RoomName, stored: StoredMessage, prev: number): Message {
    const { limits, counters, nowMs } = this.#parts.delivery;
    const content = contentOf(room, stored, limits, counters, nowMs());
    return createMessage({ ...content, offset: stored.sequence, prev: Math.min(prev, stored.sequence) });
  }

  /** Undefined: the room is ephemeral. */
  #placeOf(room: RoomName): RoomPlace | undefined {
    const { plan, streams } = this.#parts;
    const { set } = placeOf(plan, room);
    if (set === undefined) return undefined;
    const token = encodeRoom(room);
    const partition = plan.subjects.partitionOf(token);
    return { stream: streams.at(set, partition), filter: plan.subjects.filter(set, partition, token) };
  }

  #insist<T>(attempt: () => Promise<T>): Promise<T> {
    const { counters, limits } = this.#parts.delivery;
    let tries = 0;
    return insist("NATS did not answer a read", limits.readMs, () => {
      tries += 1;
      if (tries === 1) counters.reads += 1;
      else counters.retriedReads += 1;
      return attempt();
    });
  }

  /** Whoever asks after a publish was acknowledged must not share an answer from before. */
  #version(room: RoomName, stream: Stream): number {
    return this.#parts.flows.room(room)?.acknowledged ?? stream.seen;
  }

  #once<T extends HistoryPage | Snapshot>(question: string, read: () => Promise<T>): Promise<T> {
    const running = this.#reading.get(question);
    // The question says what kind of answer it has.
    if (running !== undefined) return running as Promise<T>;
    const answer = read().finally(() => this.#reading.delete(question));
    this.#reading.set(question, answer);
    return answer;
  }

  #refuseIfUnable(): void {
    if (this.#stopping !== undefined) throw new CodedError("unavailable", "the broker has stopped", 1_000);
    const reason = this.#parts.refusal();
    if (reason !== undefined) throw new CodedError("unavailable", reason, 5_000);
  }
}

/** An id counts in its room; the server knows ids by stream. */
function idOf(token: string, id: string): string {
  const own = percentEncode(id);
  const short = own.length <= ID_MAX ? own : `%%${createHash("sha256").update(id).digest("base64url")}`;
  return `${token}/${short}`;
}

const ID_MAX = 200;

function renumbered(): CodedError {
  return new CodedError("unavailable", "the room has a new numbering", 0);
}
