import type { Socket } from "node:net";
import type { LostWhere, Outgoing } from "../../core/ports.js";
import type { Guest } from "../../core/presence/exchange.js";
import { CodedError, toCodedError } from "../../protocol/errors.js";
import type { Position, ResetReason } from "../../protocol/frames.js";
import type { RoomName } from "../../protocol/room-name.js";
import type { PresenceHub } from "../presence/presence-hub.js";
import type { HeldKeys } from "./held-keys.js";
import { AWAY_RETRY_MS, lowWatermark, RECORD_BYTES_MAX } from "./hub-limits.js";
import { type HubRoom, RoomMember, type RoomPeer } from "./hub-room.js";
import type { HubWatch, WatchingPeer } from "./hub-watch.js";
import { PeerReads, type ReadsOwner } from "./peer-reads.js";
import { readWords, writePresence } from "./presence-record.js";
import { type HubRecord, MalformedRecord, RECORD, WIRE_VERSION, type WorkerRecord } from "./record.js";
import { readWorkerRecord, writeRecord } from "./record-codec.js";
import { RecordOutput } from "./record-output.js";
import { RecordReader } from "./record-reader.js";

/** What a peer needs of its hub. */
export interface PeerOwner extends ReadsOwner {
  /** Whether the broker can be reached. */
  readonly isAvailable: boolean;
  /** Parts of it that cannot. */
  readonly away: readonly string[];
  /** Who is in rooms; undefined: nobody wants to know. */
  readonly presence: PresenceHub | undefined;
  /** What all peers watch. */
  readonly patterns: HubWatch;
  /** Of all peers. */
  readonly keys: HeldKeys<HubPeer>;
  /** The room, which is being opened at the broker where nobody had it open. */
  room(name: RoomName): HubRoom;
  /** Takes a member out of its room, and closes that at the broker after the last. */
  leave(member: RoomMember): void;
  gone(peer: HubPeer): void;
}

/** Of what was not published. */
const NOWHERE: Position = Object.freeze({ epoch: "", offset: 0 });

/** "cutting": live messages were dropped; "cut": all rooms are left, and the peer is told so when it has read enough. */
type Flow = "flowing" | "cutting" | "cut";

/** The hub's side of one worker: reads its requests, answers them, and sends it the flow of its rooms. */
export class HubPeer implements RoomPeer, WatchingPeer {
  readonly #owner: PeerOwner;
  readonly #socket: Socket;
  readonly #output: RecordOutput;
  readonly #reader: RecordReader;
  readonly #reads: PeerReads;
  readonly #bufferBytes: number;
  readonly #lowBytes: number;
  readonly #members = new Map<RoomName, RoomMember>();
  /** Known from its hello on. */
  #worker: string | undefined;
  #flow: Flow = "flowing";
  /** In presence, from its hello on. */
  #guest: Guest | undefined;
  /** Publishes that wait for the broker. */
  #publishes = 0;
  #whenAnswered: (() => void) | undefined;
  #finishing = false;
  #closed = false;

  constructor(owner: PeerOwner, socket: Socket) {
    this.#owner = owner;
    this.#socket = socket;
    this.#bufferBytes = owner.limits.bufferBytes;
    this.#lowBytes = lowWatermark(owner.limits);
    this.#output = new RecordOutput(socket, (bytes) => this.#written(bytes));
    this.#reads = new PeerReads(owner, this.#output);
    this.#reader = new RecordReader(RECORD_BYTES_MAX, (bytes, view, start, end) => {
      owner.counters.recordsIn += 1;
      if (view.getUint8(start + 4) === RECORD.presence) {
        this.#guest?.say(readWords(bytes, start, end));
        return;
      }
      this.#handle(readWorkerRecord(bytes, view, start, end));
    });
    socket.on("data", (chunk) => this.#read(chunk));
    // Whatever goes wrong with a socket ends in its close.
    socket.on("error", () => {});
    socket.once("close", () => this.#close());
  }

  /** The name that it gave itself; "" before. */
  get worker(): string {
    return this.#worker ?? "";
  }

  /** Bytes that it has not read. */
  get waitingBytes(): number {
    return this.#output.waitingBytes;
  }

  /** Takes no requests any more; resolves when those before are answered, and the answers are with the kernel. */
  async finish(): Promise<void> {
    this.#finishing = true;
    this.#socket.pause();
    if (this.#publishes > 0 && !this.#closed)
      await new Promise<void>((resolve) => {
        this.#whenAnswered = resolve;
      });
    await this.#output.flushed();
  }

  /** Cuts it off. Its rooms are left before this returns. */
  destroy(): void {
    this.#socket.destroy();
    this.#close();
  }

  deliver(record: Uint8Array): void {
    if (this.#flow !== "flowing") return;
    if (this.#output.waitingBytes > this.#bufferBytes) {
      this.#cut();
      return;
    }
    this.#output.append(record);
    this.#owner.counters.deliveries += 1;
  }

  lacks(name: RoomName): boolean {
    return this.#members.get(name)?.isFollowing !== true;
  }

  deliverWatched(record: Uint8Array): void {
    this.deliver(record);
  }

  watching(ref: number): void {
    this.#write({ type: "watching", ref });
  }

  watchFailed(ref: number, error: CodedError): void {
    this.#write({ type: "failed", ref, error });
  }

  /** Where its flow is cut it will be told that anything may be lost. */
  watchLost(where: LostWhere): void {
    if (this.#flow === "flowing") this.#write({ type: "watchLost", where });
  }

  opened({ ref, room }: RoomMember, head: Position, lost: ResetReason | undefined): void {
    // Its patterns lack what was dropped before this position, and must be told first; then it opens every room again.
    if (this.#flow !== "flowing") return;
    if (lost !== undefined) this.#owner.counters.resets += 1;
    this.#write({ type: "opened", ref, number: room.number, head, lost });
  }

  failed({ ref, room }: RoomMember, error: CodedError): void {
    this.#members.delete(room.name);
    this.#write({ type: "failed", ref, error });
  }

  reset({ room }: RoomMember, head: Position, reason: ResetReason): void {
    this.#owner.counters.resets += 1;
    this.#write({ type: "reset", number: room.number, head, reason });
  }

  /** Says whether the broker can be reached. */
  tellStatus(): void {
    const { isAvailable: available, away } = this.#owner;
    if (this.#worker !== undefined) this.#write({ type: "status", available, away });
  }

  checkpoint({ room }: RoomMember, offset: number): void {
    if (this.#flow === "flowing") this.#write({ type: "checkpoint", number: room.number, offset });
  }

  replay(member: RoomMember): void {
    this.#reads.replay(member);
  }

  #read(chunk: Uint8Array): void {
    this.#owner.counters.bytesIn += chunk.length;
    try {
      this.#reader.push(chunk);
    } catch (cause) {
      if (cause instanceof MalformedRecord) this.#owner.counters.malformed += 1;
      this.#owner.fault(new Error(`the link of worker "${this.worker}" is closed: ${cause}`, { cause }));
      this.destroy();
    }
    // Live messages are cut off before it comes to this: these are answers that it does not read, so it may ask for no more.
    if (this.#output.waitingBytes > 2 * this.#bufferBytes) this.#socket.pause();
  }

  #handle(record: WorkerRecord): void {
    if (record.type === "hello") {
      this.#hello(record.version, record.worker);
      return;
    }
    if (this.#worker === undefined) throw new MalformedRecord("a request before hello");
    switch (record.type) {
      case "open":
        this.#open(record.ref, record.room, record.after);
        return;
      case "close":
        this.#leave(record.room);
        return;
      case "publish":
        this.#publish(record.ref, record.outgoing);
        return;
      case "watch":
        this.#owner.patterns.watch(this, record.ref, record.patterns);
        return;
      case "unwatch":
        this.#owner.patterns.unwatch(this, record.pattern);
        this.watching(record.ref);
        return;
      case "history":
      case "state":
      case "rooms":
        this.#reads.request(record);
        return;
    }
  }

  #hello(version: number, worker: string): void {
    if (this.#worker !== undefined) throw new MalformedRecord("a second hello");
    this.#worker = worker;
    this.#write({ type: "welcome", version: WIRE_VERSION });
    if (version === WIRE_VERSION) {
      if (!this.#owner.isAvailable || this.#owner.away.length > 0) this.tellStatus();
      this.#attend();
      return;
    }
    this.#owner.fault(new Error(`worker ${worker} speaks version ${version}, this hub ${WIRE_VERSION}`));
    this.#reader.end();
    void this.#output.flushed().then(() => this.#socket.destroySoon());
  }

  #attend(): void {
    const lacksPlace = (): boolean => this.#output.waitingBytes > this.#lowBytes;
    this.#guest = this.#owner.presence?.connect({
      get isReady() {
        return !lacksPlace();
      },
      told: (ops) => {
        if (!this.#closed) writePresence(this.#output, RECORD.presenceTold, ops);
      },
    });
  }

  #open(ref: number, name: RoomName, after: Position | undefined): void {
    // It opens every room again when it is told that its flow was cut.
    if (this.#flow !== "flowing") return;
    const room = this.#owner.room(name);
    const before = this.#members.get(name);
    if (before !== undefined) room.leave(before);
    const member = new RoomMember(this, room, ref, after);
    this.#members.set(name, member);
    room.join(member);
  }

  #leave(name: RoomName): void {
    const member = this.#members.get(name);
    if (member === undefined) return;
    this.#members.delete(name);
    // What it would have been sent yet it gets from nowhere.
    if (member.lacksSome) this.#loseIn(name);
    this.#owner.leave(member);
  }

  #loseIn(name: RoomName): void {
    const { patterns, counters } = this.#owner;
    if (!patterns.concerns(this, name)) return;
    counters.lostPatterns += 1;
    this.watchLost({ room: name });
  }

  #publish(ref: number, outgoing: Outgoing): void {
    const { broker, limits, counters } = this.#owner;
    if (this.#publishes >= limits.publishes) {
      counters.refused += 1;
      const text = `${limits.publishes} publishes of this worker wait at the hub, its limit`;
      this.#write({ type: "failed", ref, error: new CodedError("unavailable", text, AWAY_RETRY_MS) });
      return;
    }
    if (outgoing.hold !== undefined && this.#isHeldElsewhere(outgoing)) {
      this.#write({ type: "published", ref, position: NOWHERE });
      return;
    }
    this.#publishes += 1;
    broker.publish(outgoing).then(
      (position) => {
        counters.published += 1;
        this.#published({ type: "published", ref, position });
      },
      (cause: unknown) => {
        counters.publishErrors += 1;
        if (!(cause instanceof CodedError)) this.#owner.fault(cause);
        this.#published({ type: "failed", ref, error: toCodedError(cause) });
      },
    );
  }

  /** Whether it is to take out a key that another worker holds, too. */
  #isHeldElsewhere(outgoing: Outgoing): boolean {
    const { keys, counters } = this.#owner;
    const verdict = keys.note(this, outgoing);
    counters.heldKeys = keys.size;
    if (verdict === "untracked") counters.untrackedKeys += 1;
    return verdict === "drop";
  }

  #published(answer: HubRecord): void {
    this.#publishes -= 1;
    this.#write(answer);
    if (this.#publishes === 0) this.#whenAnswered?.();
  }

  /** The peer does not read. It loses all flow at once, so that it costs nobody else anything. */
  #cut(): void {
    this.#flow = "cutting";
    this.#owner.counters.lagged += 1;
    // Not at once: a room is walking through its members.
    setImmediate(() => {
      if (this.#closed) return;
      this.#leaveAll();
      this.#flow = "cut";
      this.#resumeFlow();
    });
  }

  /** Gives the flow back once the peer has read what waited: it opens its rooms after what it has got. */
  #resumeFlow(): void {
    if (this.#flow !== "cut" || this.#output.waitingBytes > this.#lowBytes) return;
    this.#flow = "flowing";
    this.#write({ type: "lagged" });
  }

  #leaveAll(): void {
    const members = [...this.#members.values()];
    this.#members.clear();
    for (const member of members) this.#owner.leave(member);
  }

  #written(bytes: number): void {
    this.#owner.counters.bytesOut += bytes;
    if (this.#socket.isPaused() && !this.#finishing && this.#output.waitingBytes <= this.#bufferBytes)
      this.#socket.resume();
    this.#resumeFlow();
    this.#reads.written();
  }

  #write(record: HubRecord): void {
    if (!this.#closed) writeRecord(this.#output, record);
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#reader.end();
    this.#output.close();
    this.#leaveAll();
    this.#guest?.leave();
    this.#reads.close();
    this.#whenAnswered?.();
    this.#owner.gone(this);
  }
}
