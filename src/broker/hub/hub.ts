import { createServer, type Server, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import type { Broker } from "../../core/ports.js";
import { CodedError, toCodedError } from "../../protocol/errors.js";
import { type Message, nil } from "../../protocol/message.js";
import type { RoomName } from "../../protocol/room-name.js";
import type { PresenceHub } from "../presence/presence-hub.js";
import { type HeldKey, HeldKeys } from "./held-keys.js";
import { createHubCounters, type HubCounters } from "./hub-counters.js";
import type { HubLimits } from "./hub-limits.js";
import { HubPeer, type PeerOwner } from "./hub-peer.js";
import { HubRoom, type RoomMember, type RoomOwner } from "./hub-room.js";
import { listenAt } from "./hub-socket.js";
import { HubWatch } from "./hub-watch.js";
import { writeMessage } from "./message-record.js";
import { RECORD } from "./record.js";
import { ScratchRecord } from "./scratch-record.js";

export interface HubOptions {
  /** Hosted here for all workers. Nobody else opens rooms at it. The hub does not stop it. */
  readonly broker: Broker;
  /** Of the Unix socket: at most 107 bytes. Only this user may connect. */
  readonly socketPath: string;
  readonly limits: HubLimits;
  readonly counters?: HubCounters;
  /** Who is in rooms; the hub does not stop it. Default: nobody wants to know. */
  readonly presence?: PresenceHub | undefined;
  /** Told what failed that should not: malformed records, other versions, errors of the broker without a code. */
  readonly onError?: (cause: unknown) => void;
}

/** A hub that listens. */
export interface Hub {
  readonly counters: HubCounters;
  /** Workers linked now. */
  readonly links: number;
  /** Bytes that wait for workers now, all together. */
  readonly waitingBytes: number;
  /** Tells workers, now and later, whether the broker can be reached. Until it is called it is taken to be. */
  setAvailable(isAvailable: boolean): void;
  /** Tells workers, now and later, which parts of the broker cannot be reached, by names without spaces. Until then: none. */
  setAway(parts: readonly string[]): void;
  /**
   * Takes nothing new, answers the publishes under way, closes all links and then all rooms; cuts what is left at the
   * deadline. The broker goes on. A second call waits for the first.
   */
  stop(deadlineMs: number): Promise<void>;
}

/**
 * Hosts a broker for the workers of a box: each has it through `connectHub`. A message is encoded once and goes once to each
 * worker that has its room open.
 * @throws Error where it cannot listen, or another process listens there.
 */
export async function startHub(options: HubOptions): Promise<Hub> {
  const hub = new RunningHub(options);
  await hub.listen(options.socketPath);
  return hub;
}

/** Keys of a worker that is gone which are taken out in one turn of the loop, at some 5 µs each. */
const REMOVALS_MAX = 500;
/** Connections beyond this are closed at once: there are as many workers as cores. */
const LINKS_MAX = 1_024;

class RunningHub implements Hub, PeerOwner, RoomOwner {
  readonly broker: Broker;
  readonly limits: HubLimits;
  readonly counters: HubCounters;
  readonly presence: PresenceHub | undefined;
  readonly keys: HeldKeys<HubPeer>;
  readonly patterns: HubWatch;
  readonly #onError: (cause: unknown) => void;
  readonly #server: Server;
  readonly #peers = new Set<HubPeer>();
  readonly #rooms = new Map<RoomName, HubRoom>();
  readonly #scratch = new ScratchRecord();
  /** Numbers of rooms that are closed, to be used again; all others are below `#numbers`. */
  readonly #freeNumbers: number[] = [];
  #numbers = 0;
  isAvailable = true;
  away: readonly string[] = [];
  #stopping: Promise<void> | undefined;

  constructor({ broker, limits, counters, presence, onError }: HubOptions) {
    this.presence = presence;
    this.broker = broker;
    this.limits = limits;
    this.counters = counters ?? createHubCounters();
    this.keys = new HeldKeys(limits.heldKeys);
    this.#onError = onError ?? (() => {});
    this.patterns = new HubWatch({ broker, counters: this.counters, fault: (cause) => this.fault(cause) });
    this.#server = createServer((socket) => this.#connected(socket));
    this.#server.maxConnections = LINKS_MAX;
  }

  get links(): number {
    return this.#peers.size;
  }

  get waitingBytes(): number {
    let bytes = 0;
    for (const peer of this.#peers) bytes += peer.waitingBytes;
    return bytes;
  }

  setAvailable(isAvailable: boolean): void {
    if (isAvailable === this.isAvailable) return;
    this.isAvailable = isAvailable;
    for (const peer of this.#peers) peer.tellStatus();
  }

  setAway(parts: readonly string[]): void {
    this.away = parts;
    for (const peer of this.#peers) peer.tellStatus();
  }

  async listen(path: string): Promise<void> {
    await listenAt(this.#server, path);
    // Too many open files, for one: the worker tries again.
    this.#server.on("error", (cause) => this.fault(cause));
  }

  async stop(deadlineMs: number): Promise<void> {
    this.#stopping ??= this.#stop(deadlineMs);
    await this.#stopping;
  }

  room(name: RoomName): HubRoom {
    const known = this.#rooms.get(name);
    if (known !== undefined) return known;
    const room = new HubRoom(name, this.#freeNumbers.pop() ?? this.#numbers++, this);
    this.#rooms.set(name, room);
    this.counters.rooms = this.#rooms.size;
    this.broker.open(name, room).then(
      (head) => {
        room.opened(head);
        if (room.isEmpty) this.#closeRoom(room);
      },
      (cause: unknown) => {
        this.#forget(room);
        if (!(cause instanceof CodedError)) this.fault(cause);
        room.failed(toCodedError(cause));
      },
    );
    return room;
  }

  leave(member: RoomMember): void {
    const { room } = member;
    room.leave(member);
    // A room that the broker is still opening is closed when it has.
    if (room.isEmpty && room.isOpen) this.#closeRoom(room);
  }

  encode(number: number, message: Message): Uint8Array {
    this.counters.messages += 1;
    writeMessage(this.#scratch, RECORD.message, number, message);
    return this.#scratch.record;
  }

  watched(message: Message): void {
    this.patterns.message(message);
  }

  lostIn(room: RoomName): void {
    this.patterns.lostIn(room);
  }

  fault(cause: unknown): void {
    this.#onError(cause);
  }

  gone(peer: HubPeer): void {
    this.#peers.delete(peer);
    this.counters.links = this.#peers.size;
    this.patterns.leave(peer);
    this.#removeKeys(this.keys.leave(peer));
  }

  /** Takes out what nobody holds any more. */
  #removeKeys(keys: readonly HeldKey[]): void {
    this.counters.heldKeys = this.keys.size;
    for (const { room, key } of keys.slice(0, REMOVALS_MAX)) {
      // Its user has come back by another worker meanwhile.
      if (this.keys.isHeld({ room, key })) continue;
      this.counters.keysRemoved += 1;
      this.broker.publish({ room, data: nil(), key, hold: "release" }).catch((cause: unknown) => {
        this.counters.publishErrors += 1;
        if (!(cause instanceof CodedError)) this.fault(cause);
      });
    }
    if (keys.length > REMOVALS_MAX) setImmediate(() => this.#removeKeys(keys.slice(REMOVALS_MAX)));
  }

  #connected(socket: Socket): void {
    this.#peers.add(new HubPeer(this, socket));
    this.counters.linksTotal += 1;
    this.counters.links = this.#peers.size;
  }

  #closeRoom(room: HubRoom): void {
    this.#forget(room);
    this.broker.close(room.name);
  }

  #forget(room: HubRoom): void {
    this.#rooms.delete(room.name);
    this.#freeNumbers.push(room.number);
    this.counters.rooms = this.#rooms.size;
  }

  async #stop(deadlineMs: number): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    const late = new AbortController();
    const deadline = delay(deadlineMs, undefined, { signal: late.signal }).catch(() => {});
    await Promise.race([deadline, Promise.all([...this.#peers].map((peer) => peer.finish()))]);
    late.abort();
    for (const peer of [...this.#peers]) peer.destroy();
    await closed;
  }
}
