import type { KeySource } from "./token-check.js";
import { type Algorithm, KEYS_MAX, keysOfSet, type VerifyKey } from "./verify-key.js";

export interface JwksOptions {
  readonly url: string;
  /** A fetch that takes longer has failed. */
  readonly timeoutMs: number;
  /** Keys that are older are fetched anew, while they go on to be used. */
  readonly refreshMs: number;
  /** Least time between two fetches. */
  readonly cooldownMs: number;
  /** How long a key that is gone from the set is still taken: the life of a token. */
  readonly keepMs: number;
  /** Any monotonic clock, in milliseconds. */
  readonly now: () => number;
  /** Why a fetch failed. */
  readonly onFailure: (reason: string) => void;
}

const BODY_BYTES_MAX = 262_144;

/**
 * The keys at a URL. Fetched once for all who wait, never more often than allowed whatever tokens ask for, and what is
 * there goes on to be used while they cannot be fetched. A key that leaves the set is taken until every token
 * that it signed has expired; a restart of the worker forgets it at once.
 */
export class Jwks implements KeySource {
  readonly #options: JwksOptions;
  #keys: readonly VerifyKey[] = [];
  /** Gone from the set, with the time at which they were last seen in it. */
  readonly #gone = new Map<string, { readonly key: VerifyKey; readonly seenMs: number }>();
  #fetchedMs: number | undefined;
  #triedMs: number | undefined;
  #failed = false;
  #fetching: Promise<void> | undefined;

  constructor(options: JwksOptions) {
    this.#options = options;
  }

  get pending(): Promise<void> | undefined {
    return this.#fetching;
  }

  get failed(): boolean {
    return this.#failed;
  }

  find(algorithm: Algorithm, kid: string | undefined): readonly VerifyKey[] {
    const nowMs = this.#options.now();
    const known = this.#matching(algorithm, kid, nowMs);
    const isStale = this.#fetchedMs === undefined || nowMs - this.#fetchedMs >= this.#options.refreshMs;
    if (isStale || known.length === 0) void this.#fetchUnlessJustDone(nowMs);
    return known;
  }

  /** Fetches now, unless that was tried a moment ago. Never rejects. */
  refresh(): Promise<void> {
    return this.#fetchUnlessJustDone(this.#options.now()) ?? Promise.resolve();
  }

  #matching(algorithm: Algorithm, kid: string | undefined, nowMs: number): readonly VerifyKey[] {
    const matches = (key: VerifyKey): boolean =>
      key.algorithm === algorithm && (kid === undefined || key.kid === undefined || key.kid === kid);
    const gone = [...this.#gone.values()].filter(({ seenMs }) => nowMs - seenMs < this.#options.keepMs);
    return [...this.#keys, ...gone.map(({ key }) => key)].filter(matches);
  }

  #fetchUnlessJustDone(nowMs: number): Promise<void> | undefined {
    if (this.#fetching !== undefined) return this.#fetching;
    if (this.#triedMs !== undefined && nowMs - this.#triedMs < this.#options.cooldownMs) return undefined;
    this.#triedMs = nowMs;
    this.#fetching = this.#fetch().finally(() => {
      this.#fetching = undefined;
    });
    return this.#fetching;
  }

  async #fetch(): Promise<void> {
    try {
      const keys = keysOfSet(await fetchJson(this.#options.url, this.#options.timeoutMs));
      this.#take(keys, this.#options.now());
      this.#failed = false;
    } catch (cause) {
      this.#failed = true;
      this.#options.onFailure(reasonOf(cause));
    }
  }

  #take(keys: readonly VerifyKey[], nowMs: number): void {
    const present = new Set(keys.map(({ id }) => id));
    for (const key of this.#keys) if (!present.has(key.id)) this.#gone.set(key.id, { key, seenMs: nowMs });
    for (const [id, { seenMs }] of this.#gone)
      if (present.has(id) || nowMs - seenMs >= this.#options.keepMs) this.#gone.delete(id);
    // The longest gone first: a set that changes all the time must not grow for ever.
    for (const id of this.#gone.keys()) if (this.#gone.size > KEYS_MAX) this.#gone.delete(id);
    this.#keys = keys;
    this.#fetchedMs = nowMs;
  }
}

async function fetchJson(url: string, timeoutMs: number): Promise<unknown> {
  const response = await fetch(url, {
    headers: { accept: "application/jwk-set+json, application/json" },
    // Whoever may redirect could name keys of their own.
    redirect: "error",
    signal: AbortSignal.timeout(timeoutMs),
  });
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new Error(`it answers ${response.status}`);
  }
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) throw new Error(`it is longer than ${BODY_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  return JSON.parse(Buffer.concat(chunks).toString("utf8"));
}

function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  const { cause: inner } = cause;
  return inner instanceof Error ? `${cause.message}: ${inner.message}` : cause.message;
}
