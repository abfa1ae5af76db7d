import type { CloseCode } from "../../protocol/errors.js";
import type { RoomName } from "../../protocol/room-name.js";
import { msgpackWire } from "../../protocol/wire.js";
import { type Counters, createCounters } from "../counters.js";
import { Engine, type Session } from "../engine.js";
import type { Limits } from "../limits.js";
import type { Fanout, Outbox } from "../ports.js";
import type { SettingsOf } from "../settings.js";
import type { Link } from "./broker.testkit.js";
import type { Scheduler } from "./scheduler.testkit.js";

/** Frames that one socket may have queued from topics before it is flushed at once; 32 in uWS, fewer here to see it more. */
const PENDING_MAX = [1, 1, 4];

/** How long a flush may be put off: not at all, or beyond some turns. */
const FLUSH_MS = [0, 0, 20];

/** How often the loop says that it is busy. */
const BUSY_SHARES = [0, 0.5, 1];

/** What the far end of a socket is told. */
export interface SocketPeer {
  readable(): void;
  /** `sentMs`: when the worker put it on the socket. */
  received(bytes: Uint8Array, sentMs: number): void;
  closed(code: number): void;
}

/** One worker: a real engine on a simulated uWS. */
export class SimulatedWorker implements Fanout {
  readonly engine: Engine;
  readonly counters: Counters = createCounters();
  readonly scheduler: Scheduler;
  readonly sockets = new Set<SimulatedSocket>();
  readonly topics = new Map<string, Set<SimulatedSocket>>();
  readonly faults: string[] = [];
  readonly pendingMax: number;
  readonly #limits: Limits;
  readonly #turnMs: number;
  readonly #link: Link;
  /** Sockets that a topic was flushed to in this tick. */
  readonly #flushedTo = new Set<SimulatedSocket>();
  readonly #flushMs: number;
  readonly #busyShare: number;
  #tickAsked = false;
  #flushAsked = false;
  #flushDue = false;
  #sessions = 0;

  constructor(
    name: string,
    scheduler: Scheduler,
    link: Link,
    settingsOf: SettingsOf,
    limits: Limits,
    turnMs: number,
  ) {
    this.scheduler = scheduler;
    this.#limits = limits;
    this.#turnMs = turnMs;
    this.#link = link;
    this.#flushMs = scheduler.random.pick(FLUSH_MS);
    this.#busyShare = scheduler.random.pick(BUSY_SHARES);
    this.pendingMax = scheduler.random.pick(PENDING_MAX);
    this.engine = new Engine({
      node: name,
      broker: link,
      fanout: this,
      settingsOf,
      limits,
      counters: this.counters,
    });
  }

  publish(topic: string, bytes: Uint8Array): void {
    for (const socket of this.topics.get(topic) ?? []) {
      this.#flushedTo.add(socket);
      socket.pend(bytes.slice());
    }
  }

  get isBusy(): boolean {
    return this.scheduler.random.chance(this.#busyShare);
  }

  requestFlush(): void {
    if (this.#flushAsked) return;
    this.#flushAsked = true;
    this.scheduler.soon(this.#flushMs, () => {
      this.#flushDue = true;
      this.requestTick();
    });
  }

  wakeAt(atMs: number): void {
    this.scheduler.after(Math.max(0, atMs - this.scheduler.nowMs), () => this.requestTick());
  }

  wallMs(): number {
    return this.scheduler.nowMs;
  }

  requestTick(): void {
    if (this.#tickAsked) return;
    this.#tickAsked = true;
    this.scheduler.soon(this.#turnMs, () => {
      const takeIn = this.#flushDue;
      this.#tickAsked = false;
      if (takeIn) this.#flushAsked = false;
      this.#flushDue = false;
      const dropped = [...this.sockets].filter((socket) => socket.droppedSinceTick);
      for (const socket of dropped) socket.droppedSinceTick = false;
      this.#flushedTo.clear();
      this.engine.tick(this.scheduler.nowMs, takeIn);
      this.#checkBound();
      for (const socket of dropped) this.#checkLeft(socket);
      for (const socket of this.sockets) socket.flushPending();
    });
  }

  /** When the worker was handed a message. */
  handedMs(room: RoomName, offset: number): number | undefined {
    return this.#link.handedMs.get(`${room} ${offset}`);
  }

  /** How long lanes may have to wait for their turns; undefined where resets make that any time, as each takes every lane one. */
  get turnsMs(): number | undefined {
    return this.#link.restarts > 2 ? undefined : (this.counters.lanes + 4) * this.#turnMs + 1;
  }

  /** How long what was handed may wait until it is taken in. */
  get takeInMs(): number {
    return this.#flushMs;
  }

  /** However many are in a room, the loop is served after so many writes. */
  #checkBound(): void {
    const { laneSockets } = this.#limits;
    if (this.#flushedTo.size <= laneSockets) return;
    this.faults.push(`a tick flushed to ${this.#flushedTo.size} sockets, the limit is ${laneSockets}`);
  }

  /** A socket that lost frames costs nothing from the next tick on: it is on no topic at all. */
  #checkLeft(socket: SimulatedSocket): void {
    for (const [topic, members] of this.topics) {
      if (members.has(socket)) this.faults.push(`a socket that lost frames is still on ${topic}`);
    }
  }

  connect(peer: SocketPeer): SimulatedSocket {
    const socket = new SimulatedSocket(this, peer, this.#limits.bufferBytes);
    this.sockets.add(socket);
    const id = `${this.engine.limits.pingMs}-${this.#sessions++}-${this.scheduler.random.below(1e9)}`;
    socket.session = this.engine.connect(id, msgpackWire, socket);
    return socket;
  }
}

/** A uWS socket as ARCHITECTURE knows it: queues a subscriber, a limit that drops, one callback for a lost batch. */
export class SimulatedSocket implements Outbox {
  session: Session | undefined;
  /** How many frames this socket's worker dropped so far. */
  drops = 0;
  droppedSinceTick = false;
  readonly worker: SimulatedWorker;
  readonly #peer: SocketPeer;
  readonly #limit: number;
  #pending: Uint8Array[] = [];
  #buffer: { readonly bytes: Uint8Array; readonly sentMs: number }[] = [];
  #inbound = Promise.resolve();
  #closed = false;

  constructor(worker: SimulatedWorker, peer: SocketPeer, limit: number) {
    this.worker = worker;
    this.#peer = peer;
    this.#limit = limit;
  }

  pend(bytes: Uint8Array): void {
    if (this.#pending.push(bytes) > this.worker.pendingMax) this.flushPending();
  }

  flushPending(): void {
    const pending = this.#pending;
    this.#pending = [];
    // The kernel drains on its own: between two batches of one tick a full socket may have room again.
    if (pending.length > 0 && this.worker.scheduler.random.chance(0.5)) this.#read(4);
    for (const bytes of pending) {
      if (this.bufferedBytes() > this.#limit) {
        this.#drop();
        return;
      }
      this.#push(bytes);
    }
  }

  send(bytes: Uint8Array): "sent" | "buffered" | "dropped" {
    if (this.#closed) return "sent";
    this.flushPending();
    if (this.bufferedBytes() > this.#limit) {
      this.#drop();
      return "dropped";
    }
    this.#push(bytes.slice());
    return "buffered";
  }

  bufferedBytes(): number {
    return this.#buffer.reduce((sum, { bytes }) => sum + bytes.length, 0);
  }

  join(topic: string): void {
    if (this.#closed) return;
    const members = this.worker.topics.get(topic) ?? new Set();
    members.add(this);
    this.worker.topics.set(topic, members);
  }

  leave(topic: string): void {
    const { topics } = this.worker;
    topics.get(topic)?.delete(this);
    // Whoever leaves the last topic loses what was published to it in the same tick.
    if (![...topics.values()].some((members) => members.has(this))) this.#pending = [];
  }

  close(code: CloseCode): void {
    this.cut(code);
  }

  /** The far end reads up to this many frames. */
  read(frames: number): void {
    if (this.#closed) return;
    this.#read(frames);
    this.session?.drained();
  }

  /** The far end sends; it arrives later, in order. */
  write(bytes: Uint8Array): void {
    const { scheduler } = this.worker;
    this.#inbound = this.#inbound
      .then(() => scheduler.delay(20))
      .then(() => {
        if (!this.#closed) this.session?.receive(bytes, scheduler.nowMs);
      });
  }

  /** The connection breaks: what waits on either side is lost. */
  cut(code: number): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#buffer = [];
    this.#pending = [];
    for (const members of this.worker.topics.values()) members.delete(this);
    this.worker.sockets.delete(this);
    this.session?.closed(this.worker.scheduler.nowMs);
    this.worker.scheduler.soon(20, () => this.#peer.closed(code));
  }

  #read(frames: number): void {
    for (const { bytes, sentMs } of this.#buffer.splice(0, frames)) this.#peer.received(bytes, sentMs);
  }

  #push(bytes: Uint8Array): void {
    this.#buffer.push({ bytes, sentMs: this.worker.scheduler.nowMs });
    this.#peer.readable();
  }

  #drop(): void {
    this.drops += 1;
    this.droppedSinceTick = true;
    this.session?.dropped();
  }
}
