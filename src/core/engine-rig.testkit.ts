import { MemoryBroker } from "../broker/memory.js";
import { decodeServer, encodeClient } from "../protocol/client-wire.testkit.js";
import type { ClientFrame, ServerFrame } from "../protocol/frames.js";
import { parseRoom, type RoomName } from "../protocol/room-name.js";
import { msgpackWire, type ServerWire } from "../protocol/wire.js";
import { type Access, type Guard, OPEN_ACCESS } from "./access.js";
import { createCounters } from "./counters.js";
import { Engine, type Session } from "./engine.js";
import { DEFAULT_LIMITS, type Limits } from "./limits.js";
import type { Outages } from "./outages.js";
import type { Broker, Outbox } from "./ports.js";
import { DEFAULT_ROOM_SETTINGS, type RoomSettings } from "./settings.js";

export const SETTINGS: Record<string, RoomSettings> = {
  chat: { ...DEFAULT_ROOM_SETTINGS, publish: "client" },
  keyed: { ...DEFAULT_ROOM_SETTINGS, state: true },
  short: { ...DEFAULT_ROOM_SETTINGS, history: { messages: 3, seconds: 3_600 } },
  kept: { ...DEFAULT_ROOM_SETTINGS, state: true, slow: "keep" },
  paced: { ...DEFAULT_ROOM_SETTINGS, rates: [10, 2], rate: 2 },
  cursors: {
    ...DEFAULT_ROOM_SETTINGS,
    ephemeral: true,
    publish: "client",
    key: "sender",
    rates: ["all", 20],
  },
  counted: { ...DEFAULT_ROOM_SETTINGS, presence: "count" },
  lobby: { ...DEFAULT_ROOM_SETTINGS, presence: "members" },
  desks: { ...DEFAULT_ROOM_SETTINGS, state: true, publish: "client", key: "sender" },
};

export const settingsOf = (room: RoomName): RoomSettings =>
  SETTINGS[room.split(".")[0] ?? ""] ?? DEFAULT_ROOM_SETTINGS;

const SETTLE_TICKS_MAX = 1_000;

/** A socket in memory: what was sent to it, decoded where it is binary, and a buffer that a test fills and drains. */
export class TestSocket implements Outbox {
  readonly binary: boolean;
  readonly frames: ServerFrame[] = [];
  readonly chunks: Uint8Array[] = [];
  readonly topics = new Set<string>();
  buffered = 0;
  dropping = false;
  closedWith: number | undefined;

  constructor({ binary }: ServerWire) {
    this.binary = binary;
  }

  send(bytes: Uint8Array): "sent" | "buffered" | "dropped" {
    if (this.dropping) return "dropped";
    this.chunks.push(bytes.slice());
    if (this.binary) this.frames.push(...decodeServer(bytes.slice()));
    return this.buffered > 0 ? "buffered" : "sent";
  }

  bufferedBytes(): number {
    return this.buffered;
  }

  join(topic: string): void {
    this.topics.add(topic);
  }

  leave(topic: string): void {
    this.topics.delete(topic);
  }

  close(code: number): void {
    this.closedWith = code;
  }

  /** Takes what came since the last call. */
  take(): ServerFrame[] {
    return this.frames.splice(0);
  }
}

/** An engine on a memory broker, its clock in the test's hand. */
export class EngineRig {
  nowMs = 1_000_000;
  /** What the clock on the wall is ahead of `nowMs`: it may be set. */
  wallAheadMs = 1_700_000_000_000;
  readonly counters = createCounters();
  readonly broker: MemoryBroker;
  readonly engine: Engine;
  readonly sockets: { readonly socket: TestSocket; readonly session: Session }[] = [];
  readonly published: { readonly topic: string; readonly bytes: Uint8Array }[] = [];
  tickAsked = false;
  isBusy = false;
  /** When a tick was asked for. */
  readonly wakesAtMs: number[] = [];
  /** Whether a publish to this topic throws. */
  failing: (topic: string) => boolean = () => false;

  constructor(
    limits: Partial<Limits> = {},
    wrap: (broker: Broker) => Broker = (broker) => broker,
    guard: Guard = {},
    outages?: Outages,
  ) {
    this.broker = new MemoryBroker({ settingsOf, id: "test", nowMs: () => this.wallMs() });
    const isBusy = () => this.isBusy;
    const fanout = {
      get isBusy() {
        return isBusy();
      },
      publish: (topic: string, bytes: Uint8Array) => this.#publish(topic, bytes.slice()),
      requestTick: () => {
        this.tickAsked = true;
      },
      requestFlush: () => {
        this.tickAsked = true;
      },
      wakeAt: (atMs: number) => {
        this.wakesAtMs.push(atMs);
      },
      wallMs: () => this.wallMs(),
    };
    const broker = wrap(this.broker);
    const all = { ...DEFAULT_LIMITS, ...limits };
    this.engine = new Engine({
      node: "test",
      broker,
      fanout,
      settingsOf,
      limits: all,
      counters: this.counters,
      guard,
      ...(outages === undefined ? {} : { outages }),
    });
  }

  wallMs(): number {
    return this.nowMs + this.wallAheadMs;
  }

  connect(wire: ServerWire = msgpackWire, access: Access = OPEN_ACCESS): TestConnection {
    const socket = new TestSocket(wire);
    const session = this.engine.connect(`s${this.sockets.length}`, wire, socket, access);
    this.sockets.push({ socket, session });
    return new TestConnection(this, socket, session);
  }

  publish(room: string, data: number, key?: string): Promise<unknown> {
    return this.broker.publish({ room: parseRoom(room), data: Uint8Array.of(data), key });
  }

  /** Lets time pass, with a tick at every time that one was asked for. */
  async advance(ms: number): Promise<void> {
    const endMs = this.nowMs + ms;
    for (;;) {
      const dueMs = Math.min(...this.wakesAtMs.splice(0));
      if (dueMs > endMs) {
        if (dueMs < Number.POSITIVE_INFINITY) this.wakesAtMs.push(dueMs);
        break;
      }
      this.nowMs = Math.max(this.nowMs, dueMs);
      await this.settle();
    }
    this.nowMs = endMs;
    await this.settle();
  }

  /** Lets promises settle and ticks until nothing is asked for any more. Rejects where that does not end. */
  async settle(): Promise<void> {
    let ticks = 0;
    do {
      ticks += 1;
      if (ticks > SETTLE_TICKS_MAX) throw new Error(`a tick is asked for after ${SETTLE_TICKS_MAX} of them`);
      this.tickAsked = false;
      await new Promise(setImmediate);
      this.engine.tick(this.nowMs);
      await new Promise(setImmediate);
    } while (this.tickAsked);
  }

  #publish(topic: string, bytes: Uint8Array): void {
    if (this.failing(topic)) throw new Error("on purpose");
    this.published.push({ topic, bytes });
    for (const { socket } of this.sockets) if (socket.topics.has(topic)) socket.send(bytes);
  }
}

/** One connection with its socket, as a test drives it. */
export class TestConnection {
  readonly rig: EngineRig;
  readonly socket: TestSocket;
  readonly session: Session;

  constructor(rig: EngineRig, socket: TestSocket, session: Session) {
    this.rig = rig;
    this.socket = socket;
    this.session = session;
  }

  /** Sends, settles, and takes what came back. */
  async ask(...frames: ClientFrame[]): Promise<ServerFrame[]> {
    for (const frame of frames) this.session.receive(encodeClient(frame), this.rig.nowMs);
    await this.rig.settle();
    return this.socket.take();
  }

  subscribe(
    room: string,
    options: (ClientFrame & { type: "subscribe" })["options"] = {},
    ref = 1,
  ): Promise<ServerFrame[]> {
    return this.ask({ type: "subscribe", ref, room: parseRoom(room), options });
  }
}
