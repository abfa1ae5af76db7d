import { randomUUID } from "node:crypto";
import { decode, encode } from "@msgpack/msgpack";
import { pause } from "./pace.js";

/** What a source hands over. */
export interface FeedMessage {
  readonly room: string;
  readonly key: string;
  readonly data: unknown;
}

export interface PublisherOptions {
  /** The server's address, for instance `http://127.0.0.1:9001`. */
  readonly url: string;
  readonly apiKey?: string | undefined;
  /** Told in a line when the server goes, comes back, or refuses something. */
  readonly say: (line: string) => void;
  /** 0 to below 1; jitter of the backoff. Default `Math.random`. */
  readonly random?: () => number;
}

type State =
  | { readonly kind: "up" }
  /** Every try since has failed; sources stand still meanwhile. */
  | { readonly kind: "away"; readonly sinceMs: number }
  /** The server refuses for good. */
  | { readonly kind: "refused"; readonly reason: string }
  | { readonly kind: "stopped" };

interface Item extends FeedMessage {
  /** The same at every try, so that a try whose answer was lost is not stored twice. */
  readonly id: string;
}

type Outcome =
  | { readonly kind: "done" }
  /** `left`: what is not stored. */
  | { readonly kind: "retry"; readonly left: readonly Item[]; readonly error: ApiError }
  | { readonly kind: "refused"; readonly reason: string };

const QUEUE_MAX = 4_000;
const BATCH_MAX = 500;
const REQUEST_MS = 5_000;
const BACKOFF_FIRST_MS = 100;
const BACKOFF_MAX_MS = 5_000;
const RETRYABLE = new Set(["unavailable", "rate_limited", "timeout", "internal"]);

/**
 * Publishes batches over the HTTP API, one request at a time, so that each room's messages arrive in the order in
 * which they were offered. While the server is away it tries again with full-jitter backoff, for as long as it takes;
 * what was offered before waits (bounded), and nothing more is accepted.
 */
export class Publisher {
  readonly #options: PublisherOptions;
  readonly #run = randomUUID().slice(0, 8);
  readonly #queue: Item[] = [];
  readonly #stopping = new AbortController();
  readonly #finished: Promise<void>;
  #wake: () => void = () => {};
  #state: State = { kind: "up" };
  #numbered = 0;
  #published = 0;

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#finished = this.#pump();
  }

  /** Messages that the server has stored. */
  get published(): number {
    return this.#published;
  }

  /** Resolves when the publisher has ended, with the reason where the server refused for good. */
  async ended(): Promise<string | undefined> {
    await this.#finished;
    return this.#state.kind === "refused" ? this.#state.reason : undefined;
  }

  /** Takes messages; false, and none taken, while the server is away or too far behind. */
  offer(messages: readonly FeedMessage[]): boolean {
    if (this.#state.kind !== "up" || this.#queue.length + messages.length > QUEUE_MAX) return false;
    for (const message of messages) {
      this.#numbered += 1;
      this.#queue.push({ ...message, id: `${this.#run}-${this.#numbered}` });
    }
    this.#wake();
    return true;
  }

  /** Ends; the request under way is given up. What is queued is not published any more. */
  async stop(): Promise<void> {
    if (this.#state.kind !== "refused") this.#state = { kind: "stopped" };
    this.#stopping.abort();
    this.#wake();
    await this.#finished;
  }

  async #pump(): Promise<void> {
    while (!this.#over()) {
      if (this.#queue.length === 0) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        continue;
      }
      await this.#deliver(this.#queue.splice(0, BATCH_MAX));
    }
  }

  #over(): boolean {
    return this.#state.kind === "stopped" || this.#state.kind === "refused";
  }

  async #deliver(batch: readonly Item[]): Promise<void> {
    let left = batch;
    for (let attempt = 0; left.length > 0 && !this.#over(); attempt += 1) {
      const outcome = await this.#post(left);
      if (this.#over()) return;
      switch (outcome.kind) {
        case "done":
          this.#cameBack();
          this.#published += left.length;
          return;
        case "refused":
          this.#state = { kind: "refused", reason: outcome.reason };
          return;
        case "retry":
          this.#wentAway(outcome.error);
          this.#published += left.length - outcome.left.length;
          left = outcome.left;
          await pause(this.#backoffMs(attempt, outcome.error.retryMs), this.#stopping.signal);
      }
    }
  }

  #backoffMs(attempt: number, retryMs: number | undefined): number {
    const cap = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** Math.min(attempt, 16));
    return Math.max(retryMs ?? 0, (this.#options.random ?? Math.random)() * cap);
  }

  #wentAway(error: ApiError): void {
    if (this.#state.kind !== "up") return;
    this.#state = { kind: "away", sinceMs: performance.now() };
    const reason = `${error.code} ${error.message}`;
    this.#options.say(`cannot publish to ${this.#options.url}: ${reason}; trying again until it works`);
  }

  #cameBack(): void {
    if (this.#state.kind !== "away") return;
    const seconds = ((performance.now() - this.#state.sinceMs) / 1_000).toFixed(1);
    this.#state = { kind: "up" };
    this.#options.say(`publishing again after ${seconds} s`);
  }

  async #post(items: readonly Item[]): Promise<Outcome> {
    const { url, apiKey } = this.#options;
    const headers: Record<string, string> = {
      "content-type": "application/msgpack",
      accept: "application/msgpack",
    };
    if (apiKey !== undefined) headers.authorization = `Bearer ${apiKey}`;
    try {
      const response = await fetch(new URL("/v1/messages", url), {
        method: "POST",
        headers,
        body: encode(items),
        signal: AbortSignal.any([this.#stopping.signal, AbortSignal.timeout(REQUEST_MS)]),
      });
      const answer = decode(new Uint8Array(await response.arrayBuffer()));
      if (response.ok) return resultsOf(items, answer);
      const error = errorOf(answer) ?? { code: `HTTP ${response.status}`, message: "", retryMs: undefined };
      if (response.status >= 500 || response.status === 429) return { kind: "retry", left: items, error };
      return { kind: "refused", reason: `${error.code} ${error.message}` };
    } catch (cause) {
      const error = { code: "unavailable", message: reasonOf(cause), retryMs: undefined };
      return { kind: "retry", left: items, error };
    }
  }
}

/** One result a message, in order. */
function resultsOf(items: readonly Item[], answer: unknown): Outcome {
  if (!Array.isArray(answer) || answer.length !== items.length) {
    return { kind: "refused", reason: `the answer is not a list of ${items.length} results` };
  }
  const left: Item[] = [];
  let last: ApiError | undefined;
  for (const [index, item] of items.entries()) {
    const error = errorOf(answer[index]);
    if (error === undefined) continue;
    if (!RETRYABLE.has(error.code)) {
      return { kind: "refused", reason: `room ${item.room}: ${error.code} ${error.message}` };
    }
    left.push(item);
    last = error;
  }
  return last === undefined ? { kind: "done" } : { kind: "retry", left, error: last };
}

interface ApiError {
  readonly code: string;
  readonly message: string;
  readonly retryMs: number | undefined;
}

/** The error in an answer of the form `{error: {code, message, retryMs?}}`. */
function errorOf(answer: unknown): ApiError | undefined {
  const error = fieldOf(answer, "error");
  const code = fieldOf(error, "code");
  if (typeof code !== "string") return undefined;
  const retryMs = fieldOf(error, "retryMs");
  return {
    code,
    message: String(fieldOf(error, "message") ?? ""),
    retryMs: typeof retryMs === "number" ? retryMs : undefined,
  };
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
}

function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  // fetch hides the reason ("ECONNREFUSED …") one level down.
  return cause.cause instanceof Error && cause.cause.message !== "" ? cause.cause.message : cause.message;
}
