import { type Codec, Refusal } from "./codec.js";
import { type Http, refusalIn, refusalOf } from "./http.js";

/** Below what a server takes in one body. */
const BATCH_BYTES = 250_000;
const BATCH_ITEMS = 200;
const ATTEMPTS_MAX = 8;
const RETRY_BASE_MS = 200;
const RETRY_CAP_MS = 3_000;

interface Item {
  readonly ref: number;
  readonly bytes: Uint8Array;
}

/** What becomes of a publish: its position, or why there is none. */
export type Settle = (ref: number, result: unknown) => void;

/**
 * Publishes over HTTP, in order: one batch is under way at a time, what comes meanwhile makes the next. Each message has an id, so that a batch
 * whose answer was lost is sent again, and stored once. Bounded by how many requests a connection has under way.
 */
export class Outbox {
  readonly #http: Http;
  readonly #settle: Settle;
  readonly #signal: AbortSignal;
  /** Begins the ids of this outbox. */
  readonly #name = `${randomText()}${randomText()}`;
  #queue: Item[] = [];
  #busy = false;
  #itemsMax = BATCH_ITEMS;
  #last = 0;

  constructor(http: Http, signal: AbortSignal, settle: Settle) {
    this.#http = http;
    this.#signal = signal;
    this.#settle = settle;
  }

  add(ref: number, room: unknown, data: unknown, key: unknown): void {
    const id = `${this.#name}-${++this.#last}`;
    const isKeyed = key !== undefined && key !== null;
    this.#queue.push({ ref, bytes: this.#http.codec.encode({ room, data, id, ...(isKeyed && { key }) }) });
    // What is published in one turn goes together.
    if (!this.#busy) queueMicrotask(() => void this.#run());
  }

  async #run(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    while (this.#queue.length > 0 && !this.#signal.aborted) {
      const items = this.#next();
      const results = await this.#send(items);
      if (results === "smaller") {
        this.#queue.unshift(...items);
        continue;
      }
      for (const [at, { ref }] of items.entries()) {
        this.#settle(ref, Array.isArray(results) ? results[at] : results);
      }
    }
    this.#busy = false;
  }

  #next(): Item[] {
    let bytes = 0;
    let count = 0;
    for (const item of this.#queue) {
      bytes += item.bytes.length;
      if (count > 0 && (bytes > BATCH_BYTES || count >= this.#itemsMax)) break;
      count++;
    }
    return this.#queue.splice(0, count);
  }

  /** One result for each, one error for all, or that it was too much at once. Never rejects. */
  async #send(items: readonly Item[]): Promise<readonly unknown[] | Refusal | "smaller"> {
    const body = batchOf(items);
    let error = new Refusal("unavailable", "nothing answers");
    for (let attempt = 0; attempt < ATTEMPTS_MAX && !this.#signal.aborted; attempt++) {
      if (attempt > 0) await pause(Math.min(RETRY_CAP_MS, RETRY_BASE_MS * 2 ** attempt) * Math.random());
      try {
        const response = await this.#http.post("/v1/messages", body, this.#signal);
        if (response.ok)
          return resultsOf(this.#http.codec, new Uint8Array(await response.arrayBuffer()), items.length);
        error = await refusalOf(response, this.#http.codec);
        if (response.status === 413 && items.length > 1) {
          this.#itemsMax = 1;
          return "smaller";
        }
        if (response.status < 500) return error;
      } catch {
        // The network: the same again, under the same ids.
      }
    }
    return error;
  }
}

function batchOf(items: readonly Item[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(items.reduce((sum, item) => sum + item.bytes.length, 3));
  // array 16
  bytes.set([0xdc, items.length >> 8, items.length & 0xff]);
  let at = 3;
  for (const item of items) {
    bytes.set(item.bytes, at);
    at += item.bytes.length;
  }
  return bytes;
}

function resultsOf(codec: Codec, bytes: Uint8Array, count: number): readonly unknown[] | Refusal {
  const [results] = codec.decode(bytes);
  if (!Array.isArray(results) || results.length !== count)
    return new Refusal("internal", "publish: not an answer");
  return results.map((result: unknown) => refusalIn(result) ?? result);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function randomText(): string {
  return Math.random().toString(36).slice(2);
}
