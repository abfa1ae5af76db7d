import net from "node:net";
import { parseAnswer } from "../fleet/answer.js";
import { hostMicros } from "../support/clock.js";
import { Histogram, type HistogramData } from "../support/histogram.js";
import { FrameReader, upgradeRequest } from "../support/websocket.js";
import { type BoardApi, boardDialect } from "./board-client.js";
import { DIALECTS, type Dialect, type DialectName } from "./dialects.js";
import { type MarketPlan, symbolOf, updateNumber, watchList } from "./market.js";
import { PayloadScanner } from "./payload.js";

export interface AudiencePlan {
  readonly port: number;
  /** Source addresses, in turn. */
  readonly localAddresses: readonly string[];
  readonly dialect: DialectName | BoardSeat;
  /** A path for each connection, where not all have the dialect's. */
  readonly paths?: readonly string[];
}

/** Clients of a market board: each watches symbols of its own. */
export interface BoardSeat {
  readonly api: BoardApi;
  readonly market: MarketPlan;
  /** Share of the clients that hardly read; what they get is not looked at. */
  readonly slowShare: number;
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
/** Who is slow reads for so long, so often. */
const AWAKE_MS = 20;
const DOZE_MS = 1_000;
/** One for all sockets: what was read is handed on before the next read. */
const sharedBuffer = Buffer.allocUnsafe(READ_BYTES);

/** Subscribers of one server, whatever it speaks: raw sockets, every message's number checked on every connection. */
export class Audience {
  readonly #plan: AudiencePlan;
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

  /** Of all symbols that are watched by who reads: how many do not stand at their last update. */
  behind(updates: readonly number[]): number {
    return this.#listeners.reduce((sum, listener) => sum + listener.behind(updates), 0);
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
    const { dialect, ledger } = this.#seat(index);
    const path = paths?.[index] ?? dialect.path;
    const request = upgradeRequest(`127.0.0.1:${port}`, path, dialect.subprotocol);
    this.#listeners.push(new Listener(this, index, dialect, ledger, { port, localAddress, request }));
  }

  #seat(index: number): { dialect: Dialect; ledger: Ledger } {
    const { dialect } = this.#plan;
    if (typeof dialect === "string") return { dialect: DIALECTS[dialect], ledger: new Sequence() };
    const { api, market, slowShare } = dialect;
    const watch = watchList(market, index);
    // Evenly among the others, however few there are.
    const isSlow = Math.floor((index + 1) * slowShare) > Math.floor(index * slowShare);
    const ledger = isSlow ? undefined : new Board(watch);
    return { dialect: boardDialect(api, watch), ledger: ledger ?? new Unseen() };
  }
}

/** What one client has, and what is wrong about a message that comes. */
interface Ledger {
  readonly last: number;
  /** Whether its reads, and what they bring, count. */
  readonly isSeen: boolean;
  /** Takes a message; what is wrong with it, in words. */
  take(number: number): string | undefined;
  /** Of the symbols that it watches, those whose last update is not there. */
  behind(updates: readonly number[]): number;
}

/** All messages, one after the other. */
class Sequence implements Ledger {
  last = 0;
  readonly isSeen = true;

  take(number: number): string | undefined {
    const before = this.last;
    this.last = number;
    return number === before + 1 ? undefined : `message ${number} after ${before}`;
  }

  behind(): number {
    return 0;
  }
}

/** Updates of some symbols; some may be left out for newer ones, but none comes twice or goes back. */
class Board implements Ledger {
  readonly #lasts: Map<number, number>;
  last = 0;
  readonly isSeen = true;

  constructor(watch: readonly number[]) {
    this.#lasts = new Map(watch.map((symbol) => [symbol, 0]));
  }

  take(number: number): string | undefined {
    const symbol = symbolOf(number);
    const before = this.#lasts.get(symbol);
    if (before === undefined) return `an update of symbol ${symbol}, which it does not watch`;
    this.#lasts.set(symbol, number);
    return number > before ? undefined : `update ${number} after ${before}`;
  }

  behind(updates: readonly number[]): number {
    let behind = 0;
    for (const [symbol, last] of this.#lasts) {
      const update = updates[symbol] ?? 0;
      if (update > 0 && last !== updateNumber(symbol, update)) behind += 1;
    }
    return behind;
  }
}

/** Who hardly reads. */
class Unseen implements Ledger {
  readonly last = 0;
  readonly isSeen = false;

  take(): undefined {
    return undefined;
  }

  behind(): number {
    return 0;
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
  readonly #ledger: Ledger;
  readonly #socket: net.Socket;
  #dozing: NodeJS.Timeout | undefined;
  readonly #frames = new FrameReader();
  readonly #scanner = new PayloadScanner();
  #state: ListenerState = "asking";
  #head = "";
  #now = 0;

  constructor(
    audience: Audience,
    index: number,
    dialect: Dialect,
    ledger: Ledger,
    { port, localAddress, request }: Where,
  ) {
    this.#audience = audience;
    this.#index = index;
    this.#dialect = dialect;
    this.#ledger = ledger;
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

  /** Number of the last message. */
  get last(): number {
    return this.#ledger.last;
  }

  behind(updates: readonly number[]): number {
    return this.#ledger.behind(updates);
  }

  /** Ends the connection without a word. */
  leave(): void {
    clearInterval(this.#dozing);
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
    if (!this.#ledger.isSeen) return;
    const wrong = this.#ledger.take(number);
    if (wrong !== undefined) this.#audience.fail(`connection ${this.#index} got ${wrong}`);
    this.#audience.delivered(number, this.#now - dueMicros);
  };

  #live(): void {
    this.#state = "live";
    this.#audience.live();
    if (!this.#ledger.isSeen) this.#doze();
  }

  /** Reads for a moment of every second only. */
  #doze(): void {
    this.#socket.pause();
    this.#dozing = setInterval(() => {
      this.#socket.resume();
      setTimeout(() => this.#socket.pause(), AWAKE_MS);
    }, DOZE_MS);
  }

  #end(why: string): void {
    if (this.#state === "ended") return;
    clearInterval(this.#dozing);
    // A server may send away who does not read.
    if (!this.#ledger.isSeen && this.#state === "live") {
      this.#state = "ended";
      return;
    }
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
