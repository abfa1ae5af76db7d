import net from "node:net";
import { parseAnswer } from "../fleet/answer.js";
import { hostMicros } from "../support/clock.js";
import { Histogram, type HistogramData } from "../support/histogram.js";
import { FrameReader, upgradeRequest } from "../support/websocket.js";
import { DIALECTS, type Dialect, type DialectName } from "./dialects.js";
import { PayloadScanner } from "./payload.js";

export interface AudiencePlan {
  readonly port: number;
  /** Source addresses, in turn. */
  readonly localAddresses: readonly string[];
  readonly dialect: DialectName;
  /** A path for each connection, where not all have the dialect's. */
  readonly paths?: readonly string[];
}

/** What a stretch of time came to. */
export interface AudienceSeen {
  readonly deliveries: number;
  readonly reads: number;
  readonly bytes: number;
  /** From the time a message was due to the read that brought it. */
  readonly latencyMicros: HistogramData;
  /** Share of the time that this process was busy: near 1 it was late itself. */
  readonly busy: number;
  /** Holes, duplicates, disorder, and lost connections, in words. */
  readonly failures: readonly string[];
  readonly failed: number;
}

const READ_BYTES = 262_144;
/** Handshakes under way at once. */
const CONNECTING_MAX = 100;
const FAILURES_TOLD = 5;
/** One for all sockets: what was read is handed on before the next read. */
const sharedBuffer = Buffer.allocUnsafe(READ_BYTES);

/** Subscribers of one server, whatever it speaks: raw sockets, every message's number checked on every connection. */
export class Audience {
  readonly #plan: AudiencePlan;
  readonly #dialect: Dialect;
  readonly #listeners: Listener[] = [];
  readonly #latency = new Histogram();
  readonly #failures: string[] = [];
  #failed = 0;
  #deliveries = 0;
  #reads = 0;
  #bytes = 0;
  #connections = 0;
  #live = 0;
  #connecting = 0;
  #head = 0;
  #reached = 0;
  #onReached: (() => void) | undefined;
  #onLive: (() => void) | undefined;
  #busySince = performance.eventLoopUtilization();

  constructor(plan: AudiencePlan) {
    this.#plan = plan;
    this.#dialect = DIALECTS[plan.dialect];
  }

  /** Resolves when this many in all are subscribed, one failed, or the time is over; how many are. */
  async connect(upTo: number, deadlineMs: number): Promise<number> {
    this.#connections = upTo;
    if (this.#live < upTo)
      await within(deadlineMs, (done) => {
        this.#onLive = done;
        for (let start = 0; start < CONNECTING_MAX; start++) this.#connectNext();
      });
    return this.#live;
  }

  /** Resolves when everybody has message `head`, or the time is over; how many have not. */
  async reach(head: number, deadlineMs: number): Promise<number> {
    this.#head = head;
    this.#reached = this.#listeners.filter(({ last }) => last === head).length;
    if (this.#reached < this.#connections)
      await within(deadlineMs, (done) => {
        this.#onReached = done;
      });
    this.#onReached = undefined;
    return this.#connections - this.#reached;
  }

  /** What there was since the last time. */
  seen(): AudienceSeen {
    const busy = performance.eventLoopUtilization();
    const seen: AudienceSeen = {
      deliveries: this.#deliveries,
      reads: this.#reads,
      bytes: this.#bytes,
      latencyMicros: this.#latency.toJSON(),
      busy: performance.eventLoopUtilization(busy, this.#busySince).utilization,
      failures: [...this.#failures],
      failed: this.#failed,
    };
    this.#busySince = busy;
    this.#deliveries = this.#reads = this.#bytes = this.#failed = 0;
    this.#failures.length = 0;
    this.#latency.reset();
    return seen;
  }

  disconnect(): void {
    for (const listener of this.#listeners) listener.leave();
  }

  live(): void {
    this.#live += 1;
    this.#connecting -= 1;
    if (this.#live === this.#connections) this.#onLive?.();
    else this.#connectNext();
  }

  read(bytes: number): number {
    this.#reads += 1;
    this.#bytes += bytes;
    return hostMicros();
  }

  delivered(number: number, latencyMicros: number): void {
    this.#deliveries += 1;
    this.#latency.record(latencyMicros);
    if (number !== this.#head) return;
    this.#reached += 1;
    if (this.#reached === this.#connections) this.#onReached?.();
  }

  fail(what: string): void {
    this.#failed += 1;
    if (this.#failures.length < FAILURES_TOLD) this.#failures.push(what);
    if (this.#live < this.#connections) this.#onLive?.();
  }

  #connectNext(): void {
    const index = this.#listeners.length;
    const { port, localAddresses, paths } = this.#plan;
    if (index >= this.#connections || this.#connecting >= CONNECTING_MAX) return;
    this.#connecting += 1;
    const localAddress = localAddresses[index % localAddresses.length];
    const path = paths?.[index] ?? this.#dialect.path;
    const request = upgradeRequest(`127.0.0.1:${port}`, path, this.#dialect.subprotocol);
    this.#listeners.push(new Listener(this, index, this.#dialect, { port, localAddress, request }));
  }
}

type ListenerState = "asking" | "subscribing" | "live" | "ended";

interface Where {
  readonly port: number;
  readonly localAddress: string | undefined;
  readonly request: string;
}

/** One subscriber. */
class Listener {
  readonly #audience: Audience;
  readonly #index: number;
  readonly #dialect: Dialect;
  readonly #socket: net.Socket;
  readonly #frames = new FrameReader();
  readonly #scanner = new PayloadScanner();
  #state: ListenerState = "asking";
  #head = "";
  #now = 0;
  /** Number of the last message. */
  last = 0;

  constructor(audience: Audience, index: number, dialect: Dialect, { port, localAddress, request }: Where) {
    this.#audience = audience;
    this.#index = index;
    this.#dialect = dialect;
    const socket = net.connect({
      host: "127.0.0.1",
      port,
      ...(localAddress === undefined ? {} : { localAddress }),
      onread: {
        buffer: sharedBuffer,
        // Node hands the shared buffer back as it was given.
        callback: (length, bytes) => this.#read(bytes as Buffer, length),
      },
    });
    this.#socket = socket;
    socket.once("connect", () => socket.write(request));
    socket.once("error", (cause: NodeJS.ErrnoException) => this.#end(cause.code ?? cause.message));
    socket.once("close", () => this.#end("closed"));
  }

  /** Ends the connection without a word. */
  leave(): void {
    this.#state = "ended";
    this.#socket.resetAndDestroy();
  }

  #read(bytes: Buffer, length: number): boolean {
    if (this.#state === "ended") return false;
    this.#now = this.#audience.read(length);
    try {
      if (this.#state === "live" && this.#frames.pendingBytes === 0)
        this.#scanner.feed(bytes, 0, length, this.#onPayload);
      else this.#begin(bytes, length);
    } catch (cause) {
      this.#end(cause instanceof Error ? cause.message : String(cause));
    }
    return true;
  }

  #begin(bytes: Buffer, length: number): void {
    let from = 0;
    if (this.#state === "asking") {
      const before = this.#head.length;
      this.#head += bytes.toString("latin1", 0, length);
      const answer = parseAnswer(this.#head);
      if (answer.kind === "partial") return;
      if (answer.kind !== "switched")
        throw new Error(`the handshake was answered with ${this.#head.slice(0, 200)}`);
      from = answer.end - before;
      this.#head = "";
      this.#state = "subscribing";
      if (this.#dialect.opening !== undefined) this.#socket.write(this.#dialect.opening);
      if (this.#dialect.answer === undefined) this.#live();
    }
    if (from < length) this.#frames.feed(bytes, from, length, this.#onFrame);
  }

  readonly #onFrame = (opcode: number, bytes: Buffer, start: number, end: number): void => {
    if (this.#state === "live") {
      this.#scanner.feed(bytes, start, end, this.#onPayload);
      return;
    }
    const reply = this.#dialect.answer?.(bytes.subarray(start, end), opcode);
    if (reply?.send !== undefined) this.#socket.write(reply.send);
    if (reply?.live === true) this.#live();
  };

  readonly #onPayload = (number: number, dueMicros: number): void => {
    if (number !== this.last + 1)
      this.#audience.fail(`connection ${this.#index} got message ${number} after ${this.last}`);
    this.last = number;
    this.#audience.delivered(number, this.#now - dueMicros);
  };

  #live(): void {
    this.#state = "live";
    this.#audience.live();
  }

  #end(why: string): void {
    if (this.#state === "ended") return;
    this.#audience.fail(`connection ${this.#index} ended while ${this.#state}: ${why}`);
    this.#state = "ended";
    this.#socket.destroy();
  }
}

/** Resolves when `begin`'s callback is called, or the time is over. */
function within(deadlineMs: number, begin: (done: () => void) => void): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, deadlineMs);
    begin(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
