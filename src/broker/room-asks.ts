import type { HistoryPage } from "../core/ports.js";
import { indexAfter } from "../core/recent-pages.js";
import type { Position, ResetReason } from "../protocol/frames.js";
import type { Message } from "../protocol/message.js";

/** Somebody who waits for what follows a position. */
export interface Ask {
  readonly after: number;
  readonly limit: number;
  /** What had been acknowledged when it was asked: no answer may be of a time before. Grows. */
  readonly version: number;
  readonly dueMs: number;
  resolve(page: HistoryPage): void;
  reject(cause: unknown): void;
}

/** What a read found of one room: all of it after a position, as far as it came. */
export interface FoundPage {
  readonly from: number;
  readonly messages: readonly Message[];
  /** More follow after the last of them. */
  readonly more: boolean;
  /** Nothing is missing up to here, which may be behind the last message. */
  readonly upTo: number;
  readonly head: Position;
}

/**
 * All who ask for one room's history at the same time. One read serves them: it begins at the lowest position that is
 * asked for, and everybody gets the part after his own. Where that position is lost, so are all below it, and the next
 * read begins in the middle of the others: some few reads then, however many ask.
 */
export class RoomAsks {
  /** By position, the lowest first. */
  #asks: Ask[] = [];
  #isSorted = true;
  /** A read has found a position lost: begin in the middle. */
  #someLost = false;

  get size(): number {
    return this.#asks.length;
  }

  add(ask: Ask): void {
    this.#asks.push(ask);
    this.#isSorted = false;
  }

  /** Where the next read begins; only while somebody asks. */
  get start(): number {
    this.#sort();
    const index = this.#someLost ? this.#asks.length >> 1 : 0;
    return this.#asks[index]?.after ?? 0;
  }

  /** The lowest position asked for; only while somebody asks. */
  get lowest(): number {
    this.#sort();
    return this.#asks[0]?.after ?? 0;
  }

  /** The most that one of them wants. */
  get limit(): number {
    return this.#asks.reduce((most, { limit }) => Math.max(most, limit), 0);
  }

  /** The positions asked for, the lowest first. */
  get positions(): readonly number[] {
    this.#sort();
    return this.#asks.map(({ after }) => after);
  }

  /** Answers those whom the page holds something for; returns how many. @param version Of when the read began. */
  serve(found: FoundPage, version: number): number {
    return this.#take(
      ({ after, version: own }) => own <= version && isIn(found, after),
      (ask) => ask.resolve(pageAfter(found, ask.after, ask.limit)),
    );
  }

  /** A position cannot be served, nor any below it. */
  lose(upTo: number, reason: ResetReason, head: Position): number {
    this.#someLost = reason !== "epoch";
    const isLost = ({ after }: Ask): boolean => (reason === "epoch" ? after >= upTo : after <= upTo);
    return this.#take(isLost, (ask) => ask.resolve({ kind: "lost", reason, head }));
  }

  /** Answers whom `answer` knows an answer for. */
  try(answer: (ask: Ask) => HistoryPage | undefined): number {
    const pages = new Map<Ask, HistoryPage>();
    for (const ask of this.#asks) {
      const page = answer(ask);
      if (page !== undefined) pages.set(ask, page);
    }
    return this.#take(
      (ask) => pages.has(ask),
      (ask) => {
        const page = pages.get(ask);
        if (page !== undefined) ask.resolve(page);
      },
    );
  }

  /** Gives up those whose time is over. */
  expire(nowMs: number, cause: unknown): number {
    return this.#take(
      ({ dueMs }) => dueMs <= nowMs,
      (ask) => ask.reject(cause),
    );
  }

  /** Gives up all. */
  fail(cause: unknown): void {
    this.#take(
      () => true,
      (ask) => ask.reject(cause),
    );
  }

  #take(isTaken: (ask: Ask) => boolean, settle: (ask: Ask) => void): number {
    const taken: Ask[] = [];
    const left: Ask[] = [];
    for (const ask of this.#asks) (isTaken(ask) ? taken : left).push(ask);
    this.#asks = left;
    if (left.length === 0) this.#someLost = false;
    for (const ask of taken) settle(ask);
    return taken.length;
  }

  #sort(): void {
    if (this.#isSorted) return;
    this.#asks.sort((a, b) => a.after - b.after);
    this.#isSorted = true;
  }
}

/** The part of a page after a position that lies in it. */
function pageAfter({ messages, more, head }: FoundPage, after: number, limit: number): HistoryPage {
  const index = indexAfter(messages, after);
  const part = index === 0 && messages.length <= limit ? messages : messages.slice(index, index + limit);
  return { kind: "page", messages: part, more: more || index + part.length < messages.length, head };
}

/** A page that goes on beyond its end has nothing for who stands there. */
function isIn({ from, more, upTo }: FoundPage, after: number): boolean {
  return after >= from && (more ? after < upTo : after <= upTo);
}
