import { createHash } from "node:crypto";
import type {
  Broker,
  Gossip,
  HistoryFrom,
  HistoryPage,
  Outgoing,
  RoomList,
  Sink,
  Snapshot,
  Watcher,
} from "../../core/ports.js";
import { CodedError } from "../../protocol/errors.js";
import type { Position } from "../../protocol/frames.js";
import type { RoomName } from "../../protocol/room-name.js";
import type { RoomPattern } from "../../protocol/room-pattern.js";
import { firstBytes } from "./anchors.js";
import { insist } from "./js-api.js";
import { ownHeaders } from "./message-headers.js";
import type { NatsCounters } from "./nats-counters.js";
import type { NatsParts } from "./nats-parts.js";
import { headOfEmpty, versionOf } from "./nats-reads.js";
import type { HistoryBounds, RoomPlace } from "./room-reader.js";
import { Routes } from "./routes.js";
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
 * - `rooms` lists those of which a stream keeps a message, without heads (room-catalog.ts).
 * - State of more keys than the limit leaves out the least recently updated, and says so.
 *
 * One sink a room: opening an open room rejects.
 */
export class NatsBroker implements Broker {
  readonly #parts: NatsParts;
  readonly #routes: Routes;
  readonly #heads = new Map<string, Promise<Snapshot>>();
  #stopping: Promise<void> | undefined;

  /** Use `startNatsBroker`. */
  constructor(parts: NatsParts) {
    this.#parts = parts;
    this.#routes = new Routes(parts.plan, parts.streams);
  }

  get counters(): NatsCounters {
    return this.#parts.delivery.counters;
  }

  get gossip(): Gossip | undefined {
    return this.#parts.gossip;
  }

  /** Whether NATS is there and serves this node. */
  get available(): boolean {
    const { live, refusal, isAnswering } = this.#parts;
    return this.#stopping === undefined && live.connected && isAnswering() && refusal() === undefined;
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
    const route = this.#routes.of(room);
    if (route === "ephemeral") {
      ephemeral.publish({ room, data, key, origin });
      counters.published += 1;
      return EPHEMERAL;
    }
    const { stream, token } = route;
    this.#refuseIfAway(room, stream);
    const messageId = id === undefined ? publisher.nextId() : idOf(token, id);
    const isKeyInSubject = stream.set.keyed && (key === undefined || !encodeKey(key).startsWith("%%"));
    const [length, first] = [data.length, firstBytes(data)];
    const stored = publisher.publish({
      subject: route.subject ?? plan.subjects.storedOf(stream.set, stream.partition, token, key),
      headers: ownHeaders({ time: nowMs(), origin, key: isKeyInSubject ? undefined : key, id: messageId }),
      data,
      stream: stream.name,
    });
    const { epoch, seen } = stream;
    const { sequence, isDuplicate } = await stored;
    if (isDuplicate) counters.duplicates += 1;
    else {
      counters.published += 1;
      // What is stored later has a higher number, or it is another numbering.
      if (stream.epoch === epoch && sequence <= seen) await keeper.verify(stream);
      if (stream.epoch === epoch) stream.anchors.noteOwn(sequence, messageId, length, first, token);
    }
    stream.see(sequence);
    if (stream.epoch === epoch) this.#parts.patterns.expect(stream, sequence);
    const open = flows.room(room);
    if (open !== undefined && sequence > open.last) this.#parts.echoes.expect(open, sequence);
    return stream.position(sequence);
  }

  async open(room: RoomName, sink: Sink): Promise<Position> {
    this.#refuseIfUnable();
    const { plan, flows, ephemeral, delivery, patterns } = this.#parts;
    if (flows.has(room) || ephemeral.has(room)) throw new Error(`room ${room} is open already`);
    const { openRooms } = delivery.limits;
    if (flows.size + ephemeral.size >= openRooms)
      throw new CodedError("unavailable", `all ${openRooms} rooms of this broker are open`, 5_000);
    const place = placeOf(plan, room);
    if (place.set === undefined) {
      await ephemeral.open(room, sink);
      return EPHEMERAL;
    }
    if (this.#isAway)
      throw new CodedError("unavailable", `room ${room} cannot be opened: NATS is away`, 1_000);
    const stream = this.#parts.streams.at(place.set, plan.subjects.partitionOf(encodeRoom(room)));
    this.#refuseIfAway(room, stream);
    const opened = await patterns.open(room, stream, sink, (given) => flows.open(room, given, place));
    return opened.start ?? opened.stream.position(opened.last);
  }

  close(room: RoomName): void {
    const { ephemeral, flows, patterns } = this.#parts;
    ephemeral.close(room);
    const open = flows.room(room);
    flows.close(room);
    if (open !== undefined) patterns.close(open);
  }

  /** Takes all that the pattern's rooms could be in whole, on this node's connection (see pattern-watch.ts). */
  async watch(pattern: RoomPattern, watcher: Watcher): Promise<void> {
    this.#refuseIfUnable();
    if (this.#isAway)
      throw new CodedError("unavailable", `pattern ${pattern} cannot be watched: NATS is away`, 1_000);
    await this.#parts.patterns.watch(pattern, watcher);
  }

  unwatch(pattern: RoomPattern): void {
    this.#parts.patterns.unwatch(pattern);
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
    return this.#insist(async () => {
      if (after !== undefined && after.epoch !== stream.epoch) {
        const { head } = await this.#head(room, place);
        return { kind: "lost", reason: "epoch", head };
      }
      return this.#parts.desk.page({ room, place, bounds: this.#boundsOf(room) }, from, limit);
    });
  }

  async state(room: RoomName): Promise<Snapshot> {
    this.#refuseIfUnable();
    const place = this.#placeOf(room);
    if (place === undefined) return { head: EPHEMERAL, messages: [], droppedKeys: 0 };
    return this.#insist(() =>
      place.stream.set.keyed
        ? this.#parts.desk.state({ room, place, bounds: this.#boundsOf(room) })
        : this.#head(room, place),
    );
  }

  async rooms(prefix: string, after: string, limit: number): Promise<RoomList> {
    this.#refuseIfUnable();
    return this.#parts.catalog.list({ prefix, after, limit });
  }

  /** {@link RevokedLog.post}. @throws CodedError `bad_request` where this node does not share revocations. */
  async revoke(id: string, text: string): Promise<void> {
    const { revoked } = this.#parts;
    if (revoked === undefined)
      throw new CodedError("bad_request", "this node shares no revocations: it uses no tokens");
    await revoked.post(id, text);
  }

  async stop(deadlineMs: number): Promise<void> {
    this.#parts.desk.stop();
    this.#stopping ??= this.#parts.stop(deadlineMs);
    await this.#stopping;
  }

  /** Where a room that keeps no state stands; asked once for all who ask at the same time. */
  #head(room: RoomName, { stream, filter }: RoomPlace): Promise<Snapshot> {
    const question = `${versionOf(stream, this.#parts.flows.room(room))} ${stream.epoch} ${room}`;
    const running = this.#heads.get(question);
    if (running !== undefined) return running;
    const read = async (): Promise<Snapshot> => {
      const { epoch } = stream;
      const empty = headOfEmpty(stream, this.#parts.flows.room(room));
      const head = await this.#parts.gate.run(() => this.#parts.rooms.head({ stream, filter }));
      if (stream.epoch !== epoch) throw new CodedError("unavailable", "the room has a new numbering", 0);
      return { head: stream.position(head || empty), messages: [], droppedKeys: 0 };
    };
    this.counters.reads += 1;
    const answer = read().finally(() => this.#heads.delete(question));
    this.#heads.set(question, answer);
    return answer;
  }

  #boundsOf(room: RoomName): HistoryBounds {
    const { messages, seconds } = placeOf(this.#parts.plan, room).history;
    return { messages, maxAgeMs: seconds * 1_000 };
  }

  /** Undefined: the room is ephemeral. */
  #placeOf(room: RoomName): RoomPlace | undefined {
    const route = this.#routes.of(room);
    if (route === "ephemeral") return undefined;
    const { stream, token } = route;
    return { stream, filter: this.#parts.plan.subjects.filter(stream.set, stream.partition, token) };
  }

  #insist<T>(attempt: () => Promise<T>): Promise<T> {
    const { counters, limits } = this.#parts.delivery;
    let tries = 0;
    const tryOnce = (): Promise<T> => {
      tries += 1;
      if (tries > 1) counters.retriedReads += 1;
      return attempt();
    };
    // What memory serves it serves all the same.
    return insist("NATS did not answer a read", limits.readMs, tryOnce, () => !this.#isAway);
  }

  /** For so long that it is not worth waiting for. */
  get #isAway(): boolean {
    return this.#parts.awayMs() >= this.#parts.delivery.limits.awayMs;
  }

  /** What would only wait for its deadline. */
  #refuseIfAway(room: RoomName, stream: Stream): void {
    if (!this.#parts.flows.isAway(stream)) return;
    const text = `stream ${stream.name}, which keeps room ${room}, does not answer: it has no leader`;
    throw new CodedError("unavailable", text, STREAM_RETRY_MS);
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

/** A stream that has not answered for ten seconds is looked after by somebody, or nobody. */
const STREAM_RETRY_MS = 2_000;
