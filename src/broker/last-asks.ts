import type { HistoryPage } from "../core/ports.js";
import type { FoundPage } from "./room-asks.js";

/** Somebody who waits for a room's last messages. */
export interface LastAsk {
  readonly last: number;
  readonly limit: number;
  /** See `Ask.version`. */
  readonly version: number;
  readonly dueMs: number;
  resolve(page: HistoryPage): void;
  reject(cause: unknown): void;
}

/** All who ask for one room's last messages at the same time: one read, of the most that is asked for, serves them. */
export class LastAsks {
  #asks: LastAsk[] = [];

  get size(): number {
    return this.#asks.length;
  }

  add(ask: LastAsk): void {
    this.#asks.push(ask);
  }

  /** What the next read is to bring; only while somebody asks. */
  get wanted(): { readonly last: number; readonly limit: number } {
    const last = Math.max(...this.#asks.map((ask) => ask.last));
    const limits = this.#asks.filter((ask) => ask.last === last).map(({ limit }) => limit);
    return { last, limit: Math.max(...limits) };
  }

  /** Answers those whom the page of the last `last` messages holds something for; returns how many. */
  serve(found: FoundPage, last: number, version: number): number {
    const { messages, more, head } = found;
    const taken: LastAsk[] = [];
    const left: LastAsk[] = [];
    for (const ask of this.#asks) {
      // Where the page is not all, only its beginning is known.
      const isIn = ask.version <= version && (ask.last === last || (ask.last < last && !more));
      (isIn ? taken : left).push(ask);
    }
    this.#asks = left;
    for (const ask of taken) {
      const index = ask.last === last ? 0 : Math.max(0, messages.length - ask.last);
      const part = messages.slice(index, index + ask.limit);
      ask.resolve({
        kind: "page",
        messages: part,
        more: more || index + part.length < messages.length,
        head,
      });
    }
    return taken.length;
  }

  /** The hub or broker has none of them: all are told. */
  lose(page: HistoryPage & { readonly kind: "lost" }): void {
    const asks = this.#asks;
    this.#asks = [];
    for (const ask of asks) ask.resolve(page);
  }

  expire(nowMs: number, cause: unknown): void {
    const over = this.#asks.filter(({ dueMs }) => dueMs <= nowMs);
    this.#asks = this.#asks.filter(({ dueMs }) => dueMs > nowMs);
    for (const ask of over) ask.reject(cause);
  }

  fail(cause: unknown): void {
    const asks = this.#asks;
    this.#asks = [];
    for (const ask of asks) ask.reject(cause);
  }
}
