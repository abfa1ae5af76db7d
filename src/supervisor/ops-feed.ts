import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { encode } from "@msgpack/msgpack";
import { WebSocketServer } from "ws";
import { MemoryBroker } from "../broker/memory.js";
import { type Access, OPEN_ACCESS } from "../core/access.js";
import { createCounters } from "../core/counters.js";
import { Engine } from "../core/engine.js";
import { DEFAULT_LIMITS, type Limits } from "../core/limits.js";
import { DEFAULT_ROOM_SETTINGS, type RoomSettings } from "../core/settings.js";
import { SUBPROTOCOLS } from "../protocol/frames.js";
import { parseRoom, type RoomName } from "../protocol/room-name.js";
import { wireFor } from "../protocol/wire.js";
import type { Logger } from "../server/log.js";
import { decideUpgrade } from "../server/upgrade.js";
import { OpsConnection } from "./ops-connection.js";
import { OpsTickets } from "./ops-tickets.js";
import { OpsTopics } from "./ops-topics.js";

/** What the page follows. */
export const OPS_ROOMS = {
  /** A sample a second: what the charts draw. */
  stats: parseRoom("node.stats"),
  /** State: the node, each of its processes, the largest rooms, slow clients; each under a key. */
  now: parseRoom("node.now"),
  /** What happened. */
  events: parseRoom("node.events"),
} as const;

/** Ten minutes of samples; what happened since the start, as far as it fits. */
const STATS_KEPT = 600;
const EVENTS_KEPT = 200;
const FOR_GOOD_SECONDS = 31_536_000;

const SETTINGS: ReadonlyMap<RoomName, RoomSettings> = new Map([
  [OPS_ROOMS.stats, { ...DEFAULT_ROOM_SETTINGS, history: { messages: STATS_KEPT, seconds: 3_600 } }],
  [OPS_ROOMS.now, { ...DEFAULT_ROOM_SETTINGS, history: { messages: 500, seconds: 60 }, state: true }],
  [
    OPS_ROOMS.events,
    { ...DEFAULT_ROOM_SETTINGS, history: { messages: EVENTS_KEPT, seconds: FOR_GOOD_SECONDS } },
  ],
]);

/** Pages, tabs included. */
const CONNECTIONS_MAX = 32;
const BUFFER_BYTES = 1_048_576;
const IDLE_MS = 60_000;
const SWEEP_MS = 1_000;
/** Keys may be taken away while a page is open. */
const STAY_MS = 5_000;
const RETRY_MS = 5_000;
const PAYLOAD_BYTES = 4_096;

const LIMITS: Limits = Object.freeze({
  ...DEFAULT_LIMITS,
  payloadBytes: PAYLOAD_BYTES,
  roomsPerConnection: SETTINGS.size,
  openRooms: SETTINGS.size,
  requestsPerSecond: 50,
  bufferBytes: BUFFER_BYTES,
  pingMs: 15_000,
});

/** A page reads those rooms and does nothing else. */
const ACCESS: Access = Object.freeze({
  ...OPEN_ACCESS,
  rights: {
    allows: (right: string, room: RoomName) =>
      SETTINGS.has(room) && (right === "subscribe" || right === "history"),
    allowsPattern: () => false,
  },
});

export interface OpsFeedOptions {
  /** The node's name. */
  readonly node: string;
  readonly log: Logger;
}

/**
 * What the operators' page is fed by: an engine of its own with a broker of its own, which has three rooms about the node and
 * nothing of its users, on the admin port's `/ws`. It needs no hub and no worker, so the page shows what became of them. The
 * protocol is fanwire's: a page that opens gets the last minutes, one that comes back what it missed.
 */
export class OpsFeed {
  readonly tickets = new OpsTickets();
  readonly #log: Logger;
  readonly #broker = new MemoryBroker({
    settingsOf,
    limits: { bytes: 16_777_216, rooms: SETTINGS.size, keysPerRoom: 1_000, ids: 1 },
  });
  readonly #topics = new OpsTopics();
  readonly #engine: Engine;
  readonly #connections = new Set<OpsConnection>();
  readonly #server = new WebSocketServer({
    noServer: true,
    maxPayload: PAYLOAD_BYTES,
    perMessageDeflate: false,
    clientTracking: false,
    handleProtocols: (offered) => SUBPROTOCOLS.find((item) => offered.has(item)) ?? false,
  });
  readonly #sweeper: NodeJS.Timeout;
  readonly #wakers = new Set<NodeJS.Timeout>();
  #sessions = 0;
  #isTickAsked = false;
  #checkedMs = 0;

  constructor({ node, log }: OpsFeedOptions) {
    this.#log = log;
    const tick = (): void => this.#requestTick();
    this.#engine = new Engine({
      node,
      broker: this.#broker,
      fanout: {
        publish: (topic, bytes) => this.#topics.publish(topic, bytes),
        requestTick: tick,
        requestFlush: tick,
        isBusy: false,
        wakeAt: (atMs) => this.#wakeAt(atMs),
        wallMs: Date.now,
      },
      settingsOf,
      limits: LIMITS,
      counters: createCounters(),
    });
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS);
  }

  /** Pages that look now. */
  get viewers(): number {
    return this.#connections.size;
  }

  /** Never throws: what cannot be told is logged. Undefined data takes the key out. */
  publish(room: RoomName, data: unknown, key?: string): void {
    // Maps' undefined values are left out, as JSON does.
    const bytes = encode(data === undefined ? null : data, { ignoreUndefined: true });
    this.#broker.publish({ room, data: bytes, key }).catch((cause: unknown) => {
      this.#log.warn({ err: cause, room }, "the ops page was not told");
    });
  }

  /** Takes a handshake, whose host has been checked. Refuses pages of other origins and whoever has no ticket. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const { method = "", headers } = request;
    const { host = "", origin = "", upgrade = "" } = headers;
    const protocol = headers["sec-websocket-protocol"] ?? "";
    const version = String(headers["sec-websocket-version"] ?? "");
    const key = headers["sec-websocket-key"] ?? "";
    const decision = decideUpgrade(
      { method, host, origin, upgrade, version, key, protocol },
      { origins: [], connectionsMax: CONNECTIONS_MAX, retryMs: RETRY_MS },
      this.#connections.size,
      false,
    );
    if (decision.kind === "refuse") {
      refuse(socket, 403, decision.error.message);
      return;
    }
    const ticket = /(?:^|,)\s*token\.([\w-]+)/.exec(protocol)?.[1] ?? "";
    const mayStay = this.tickets.redeem(ticket, performance.now());
    if (mayStay === undefined) {
      refuse(socket, 401, "this needs a ticket of POST /v1/ops/tickets as the token");
      return;
    }
    const wire = wireFor(decision.subprotocol);
    this.#server.handleUpgrade(request, socket, head, (opened) => {
      const nowMs = performance.now();
      const connection = new OpsConnection(opened, wire, {
        topics: this.#topics,
        bufferBytes: BUFFER_BYTES,
        mayStay,
        nowMs,
      });
      this.#connections.add(connection);
      this.#sessions += 1;
      connection.session = this.#engine.connect(`ops-${this.#sessions}`, wire, connection, ACCESS);
      opened.on("message", (data) => this.#receive(connection, data as Buffer));
      // The close follows, and tells.
      opened.on("error", () => {});
      opened.on("close", () => {
        this.#connections.delete(connection);
        connection.closed(performance.now());
      });
    });
  }

  /** Closes every page's connection; they come back when the port does. */
  async stop(): Promise<void> {
    clearInterval(this.#sweeper);
    for (const waker of this.#wakers) clearTimeout(waker);
    for (const connection of this.#connections) connection.cut();
    await this.#broker.stop(0);
  }

  #receive(connection: OpsConnection, data: Buffer): void {
    const nowMs = performance.now();
    connection.heardMs = nowMs;
    this.#guard(() => connection.session?.receive(data, nowMs));
  }

  #requestTick(): void {
    if (this.#isTickAsked) return;
    this.#isTickAsked = true;
    setImmediate(() => {
      this.#isTickAsked = false;
      this.#guard(() => this.#engine.tick(performance.now()));
    });
  }

  #wakeAt(atMs: number): void {
    const waker = setTimeout(
      () => {
        this.#wakers.delete(waker);
        this.#requestTick();
      },
      Math.max(0, atMs - performance.now()),
    );
    this.#wakers.add(waker);
  }

  #sweep(): void {
    const nowMs = performance.now();
    this.#guard(() => this.#engine.sweep(nowMs));
    this.#guard(() => this.#broker.sweep());
    const isCheck = nowMs - this.#checkedMs >= STAY_MS;
    if (isCheck) this.#checkedMs = nowMs;
    for (const connection of this.#connections) {
      if (nowMs - connection.heardMs > IDLE_MS) connection.cut();
      else if (isCheck && !connection.mayStay()) connection.close(4401, "the API key is not valid any more");
    }
  }

  /** What breaks here costs the page, not the node. */
  #guard(run: () => void): void {
    try {
      run();
    } catch (cause) {
      this.#log.error({ err: cause }, "the ops page's feed had an error");
    }
  }
}

function settingsOf(room: RoomName): RoomSettings {
  return SETTINGS.get(room) ?? DEFAULT_ROOM_SETTINGS;
}

const REASONS: Readonly<Record<number, string>> = { 401: "Unauthorized", 403: "Forbidden" };

/** Answers a handshake that is refused, in the form of all errors of this port. */
export function refuse(socket: Duplex, status: 401 | 403, message: string): void {
  const code = status === 401 ? "unauthenticated" : "forbidden";
  const body = `${JSON.stringify({ error: { code, message } })}\n`;
  socket.on("error", () => {});
  socket.end(
    [
      `HTTP/1.1 ${status} ${REASONS[status]}`,
      "content-type: application/json; charset=utf-8",
      `content-length: ${Buffer.byteLength(body)}`,
      "cache-control: no-store",
      "connection: close",
      "",
      body,
    ].join("\r\n"),
  );
}
