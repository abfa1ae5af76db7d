/**
 * The subscribers, in a process of their own: raw TCP sockets with a hand-made handshake and a parser that scans
 * messages in place. Every connection checks every message it gets: the chain of offsets must have no hole, no
 * duplicate and no disorder, and must end at the room's head. Latency is counted from the time a message was due.
 *
 * Cheap on purpose, as it shares the host with the server: one read buffer for all sockets, no object a message.
 * Runs as a child of a bench and ends with it. At most 19,000 connections a process (the host allows 20,000 files).
 */
import net from "node:net";
import { decode, encode } from "@msgpack/msgpack";
import { answerParent } from "./support/child.js";
import { delay, hostMicros } from "./support/clock.js";
import { Histogram, type HistogramData } from "./support/histogram.js";
import {
  benchRoom,
  CODE_ERROR,
  CODE_MESSAGE,
  CODE_OK,
  codeAt,
  type ScannedMessage,
  scanMessage,
  skipValue,
} from "./support/message-scan.js";
import { clientFrame, FrameReader, OPCODE, upgradeRequest } from "./support/websocket.js";

/** Where a group of subscribers connects and what it subscribes to. */
export interface Target {
  readonly name: string;
  readonly port: number;
  readonly connections: number;
  /** All rooms there are; connection i takes rooms i, i+1, … of them. */
  readonly rooms: number;
  readonly roomsEach: number;
}

export type ClientRequest =
  | { readonly kind: "connect"; readonly target: Target }
  | { readonly kind: "begin"; readonly target: string }
  /** Waits until every connection has each of its rooms up to its head. */
  | {
      readonly kind: "end";
      readonly target: string;
      readonly heads: readonly number[];
      readonly deadlineMs: number;
    }
  | { readonly kind: "disconnect"; readonly target: string };

export type ClientReply =
  | { readonly kind: "done" }
  | {
      readonly kind: "window";
      readonly messages: number;
      readonly frames: number;
      readonly reads: number;
      readonly bytes: number;
      /** Subscriptions that did not reach their room's head in time. */
      readonly incomplete: number;
      /** Holes, duplicates, refused requests and closed sockets since the last window, with the first few told. */
      readonly failures: number;
      readonly firstFailures: readonly string[];
      readonly latency: HistogramData;
    };

const CONNECTING_MAX = 200;
const CONNECTIONS_MAX = 19_000;
/** A source address has ~28,000 ports; each address takes fewer, as closed ones rest a while. */
const CONNECTIONS_PER_ADDRESS = 25_000;
const FAILURES_TOLD = 5;
/** Any bytes are a sign of life; servers want one within 25 s or more. */
const PING_EVERY_MS = 20_000;
const PING_SLICES = 100;

const sharedBuffer = Buffer.allocUnsafe(262_144);
const scanned: ScannedMessage = { roomIndex: 0, offset: 0, prev: 0, dueMicros: 0 };
const ping = clientFrame(encode([7, 0]));

/** All connections to one target and what they have received. */
class Group {
  readonly target: Target;
  readonly sockets: net.Socket[] = [];
  readonly latency = new Histogram();
  /** Last offset by connection and slot; a connection's slots are its rooms in order. */
  readonly #last: Float64Array;
  #messages = 0;
  #frames = 0;
  #reads = 0;
  #bytes = 0;
  #failures = 0;
  #firstFailures: string[] = [];
  #leaving = false;
  #pinging: NodeJS.Timeout | undefined;

  constructor(target: Target) {
    this.target = target;
    this.#last = new Float64Array(target.connections * target.roomsEach);
  }

  async connectAll(): Promise<void> {
    let next = 0;
    const lane = async (): Promise<void> => {
      while (next < this.target.connections) await this.#connect(next++);
    };
    await Promise.all(Array.from({ length: CONNECTING_MAX }, lane));
    this.#pingForever();
  }

  begin(): void {
    this.#messages = this.#frames = this.#reads = this.#bytes = 0;
    this.latency.reset();
  }

  async end(heads: readonly number[], deadlineMs: number): Promise<ClientReply> {
    const deadline = hostMicros() + deadlineMs * 1_000;
    while (this.#incomplete(heads) > 0 && hostMicros() < deadline) await delay(20);
    const failures = this.#failures;
    const firstFailures = this.#firstFailures;
    this.#failures = 0;
    this.#firstFailures = [];
    return {
      kind: "window",
      messages: this.#messages,
      frames: this.#frames,
      reads: this.#reads,
      bytes: this.#bytes,
      incomplete: this.#incomplete(heads),
      failures,
      firstFailures,
      latency: this.latency.toJSON(),
    };
  }

  disconnect(): void {
    this.#leaving = true;
    clearInterval(this.#pinging);
    for (const socket of this.sockets) socket.destroy();
  }

  /** Resolves when every room of the connection is answered with `ok`. */
  #connect(index: number): Promise<void> {
    const { port, roomsEach } = this.target;
    return new Promise((resolve, reject) => {
      const reader = new FrameReader();
      let open = false;
      let unanswered = roomsEach;
      const onFrame = (opcode: number, bytes: Buffer, start: number, end: number): void => {
        if (opcode === OPCODE.close) this.#fail(`closed with ${closeText(bytes, start, end)}`);
        if (opcode !== OPCODE.binary) return;
        this.#frames += 1;
        unanswered -= this.#values(index, bytes, start, end);
        if (unanswered === 0) resolve();
      };
      const onread = (length: number, bytes: Uint8Array): boolean => {
        this.#reads += 1;
        this.#bytes += length;
        // Node hands the shared buffer back as it was given.
        const buffer = bytes as Buffer;
        try {
          let from = 0;
          if (!open) {
            from = this.#handshakeEnd(buffer, length);
            open = true;
            socket.write(clientFrame(this.#subscribes(index)));
          }
          if (from < length) reader.feed(buffer, from, length, onFrame);
        } catch (cause) {
          socket.destroy(cause instanceof Error ? cause : new Error(String(cause)));
        }
        return true;
      };
      const address = `127.0.0.${2 + Math.floor(index / CONNECTIONS_PER_ADDRESS)}`;
      const socket = net.connect({
        port,
        host: "127.0.0.1",
        localAddress: address,
        onread: { buffer: sharedBuffer, callback: onread },
      });
      this.sockets.push(socket);
      socket.once("connect", () => {
        socket.write(upgradeRequest(`127.0.0.1:${port}`, "/ws", "fanwire.v1"));
      });
      socket.once("error", (cause) => {
        this.#fail(cause.message);
        reject(cause);
      });
      socket.once("close", () => {
        if (!this.#leaving) this.#fail("the server closed a socket");
        reject(new Error("closed before it was subscribed"));
      });
    });
  }

  #subscribes(index: number): Uint8Array {
    const { rooms, roomsEach } = this.target;
    const values: Uint8Array[] = [];
    for (let slot = 0; slot < roomsEach; slot++) {
      values.push(encode([1, slot + 1, benchRoom((index + slot) % rooms)]));
    }
    return Buffer.concat(values);
  }

  #handshakeEnd(bytes: Buffer, length: number): number {
    const head = bytes.toString("latin1", 0, length);
    const end = head.indexOf("\r\n\r\n");
    // The answer is one small write on loopback, so it arrives whole.
    if (!head.startsWith("HTTP/1.1 101 ") || end < 0) throw new Error(`no upgrade: ${head.slice(0, 80)}`);
    return end + 4;
  }

  /** Goes through the values of one WebSocket message; returns how many subscribes were answered. */
  #values(index: number, bytes: Buffer, start: number, end: number): number {
    const now = hostMicros();
    let answered = 0;
    let at = start;
    while (at < end) {
      const code = codeAt(bytes, at);
      if (code === CODE_MESSAGE) {
        at = scanMessage(bytes, at, scanned);
        this.#message(index, now);
      } else {
        const next = skipValue(bytes, at);
        answered += this.#control(index, code, bytes.subarray(at, next));
        at = next;
      }
    }
    if (at !== end) throw new Error("a value goes beyond its frame");
    return answered;
  }

  #message(index: number, now: number): void {
    const place = this.#place(index, scanned.roomIndex);
    const last = this.#last[place];
    if (last !== scanned.prev || scanned.offset <= scanned.prev) {
      this.#fail(
        `connection ${index} room ${scanned.roomIndex}: ${scanned.prev}→${scanned.offset} after ${last}`,
      );
    }
    this.#last[place] = scanned.offset;
    this.#messages += 1;
    this.latency.record(now - scanned.dueMicros);
  }

  #control(index: number, code: number, value: Uint8Array): number {
    if (code === CODE_OK) {
      const [, ref, result] = decode(value) as [number, number, { offset: number }];
      this.#last[index * this.target.roomsEach + ref - 1] = result.offset;
      return 1;
    }
    // 16 welcome, 20 live; all else is trouble in a bench.
    if (code === CODE_ERROR || code > 20) this.#fail(`the server said ${JSON.stringify(decode(value))}`);
    return 0;
  }

  #place(index: number, room: number): number {
    const { rooms, roomsEach } = this.target;
    const slot = (room + rooms - (index % rooms)) % rooms;
    if (slot >= roomsEach) throw new Error(`connection ${index} got room ${room}, which it did not ask for`);
    return index * roomsEach + slot;
  }

  #incomplete(heads: readonly number[]): number {
    const { rooms, roomsEach, connections } = this.target;
    let incomplete = 0;
    for (let index = 0; index < connections; index++) {
      for (let slot = 0; slot < roomsEach; slot++) {
        const head = heads[(index + slot) % rooms] ?? 0;
        if (this.#last[index * roomsEach + slot] !== head && head > 0) incomplete += 1;
      }
    }
    return incomplete;
  }

  #fail(what: string): void {
    this.#failures += 1;
    if (this.#firstFailures.length < FAILURES_TOLD) this.#firstFailures.push(what);
  }

  #pingForever(): void {
    let slice = 0;
    this.#pinging = setInterval(() => {
      for (let index = slice; index < this.sockets.length; index += PING_SLICES)
        this.sockets[index]?.write(ping);
      slice = (slice + 1) % PING_SLICES;
    }, PING_EVERY_MS / PING_SLICES);
  }
}

function closeText(bytes: Buffer, start: number, end: number): string {
  return end - start < 2
    ? "no code"
    : `${bytes.readUInt16BE(start)} ${bytes.toString("utf8", start + 2, end)}`;
}

const groups = new Map<string, Group>();

answerParent<ClientRequest, ClientReply>(
  async (request) => {
    if (request.kind === "connect") {
      const open = [...groups.values()].reduce((sum, group) => sum + group.target.connections, 0);
      if (open + request.target.connections > CONNECTIONS_MAX)
        throw new Error(`more than ${CONNECTIONS_MAX} connections`);
      const group = new Group(request.target);
      groups.set(request.target.name, group);
      await group.connectAll();
      return { kind: "done" };
    }
    const group = groups.get(request.target);
    if (group === undefined) throw new Error(`no connections to ${request.target}`);
    switch (request.kind) {
      case "begin":
        group.begin();
        return { kind: "done" };
      case "end":
        return await group.end(request.heads, request.deadlineMs);
      case "disconnect":
        group.disconnect();
        groups.delete(request.target);
        return { kind: "done" };
    }
  },
  () => process.exit(0),
);
