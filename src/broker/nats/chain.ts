import type { ResetReason } from "../../protocol/frames.js";
import { Deque } from "../deque.js";

/** A live message's place: its number, and that of the one before it in the same chain. 0: none is kept. */
export interface Linked {
  readonly sequence: number;
  readonly previous: number;
}

/** What a chain asks of its owner. None of these calls the chain back before it returns. */
export interface ChainPort<L extends Linked, R extends { readonly sequence: number }> {
  /** The next message, whether live or read back. `prev` is the one delivered before. */
  deliver(item: L | R, prev: number): void;
  /** Something is missing: read what follows {@link Chain.last} and hand it to {@link Chain.repaired}. */
  repair(): void;
  /**
   * The last delivered message is not kept any more, and what follows it is `next`.
   * @returns True where that is as it should be (it was old); false where it cannot be known whether there was another.
   */
  isExpiry(next: L): boolean;
  /** Continuity is lost; numbering goes on after `head`. */
  reset(head: number, reason: ResetReason): void;
}

export interface ChainCounters {
  knownMessages: number;
  holes: number;
  queueOverflows: number;
}

/**
 * Puts the live messages of one room (or, dense, of one stream) into an unbroken order. RePublish is at most once: what
 * the chain of sequences shows missing is read back before anything later is delivered. With s a message's sequence, p
 * that of the one before it, and L the last delivered:
 *
 * - s ≤ L: known, dropped.
 * - p = L: delivered.
 * - p > L: waits until everything in (L, s) has been read back.
 * - p < L: L is not kept any more. Where it was not old enough to expire, the room was purged, and nobody can know
 *   whether there was something in between: a reset, then delivered.
 *
 * What waits is bounded: above it all of it is forgotten and read back as well. Nothing here reads a clock or does I/O.
 */
export class Chain<L extends Linked, R extends { readonly sequence: number } = L> {
  readonly #port: ChainPort<L, R>;
  readonly #counters: ChainCounters;
  readonly #queueMax: number;
  readonly #dense: boolean;
  readonly #queue = new Deque<L>();
  #state: "opening" | "live" | "repairing" = "opening";
  #last = 0;
  /** Whether a message of this chain has the number of `last`, or it is only a place after which all is known. */
  #lastIsMessage = false;
  /** Up to here there are messages that the queue does not hold. Above `last`: they must be read. */
  #goal = 0;

  /** @param dense Every number is of this chain: L then is how far it is known, not a message that must exist. */
  constructor(port: ChainPort<L, R>, counters: ChainCounters, queueMax: number, dense: boolean) {
    this.#port = port;
    this.#counters = counters;
    this.#queueMax = queueMax;
    this.#dense = dense;
  }

  /** The last delivered message's number, or that after which all was delivered. */
  get last(): number {
    return this.#last;
  }

  get state(): "opening" | "live" | "repairing" {
    return this.#state;
  }

  /** While repairing: the number up to which it must be read at least. */
  get goal(): number {
    return this.#goal;
  }

  /** The baseline is known: everything after it is to be delivered. */
  open(last: number, isMessage: boolean): void {
    if (this.#state !== "opening") return;
    this.#last = last;
    this.#lastIsMessage = isMessage && !this.#dense;
    this.#goOn();
  }

  /** A live message. */
  receive(item: L): void {
    if (this.#state !== "opening" && item.sequence <= this.#last) {
      this.#counters.knownMessages += 1;
      return;
    }
    if (this.#state === "live") this.#step(item);
    else this.#wait(item);
  }

  /** It is known from elsewhere (a sweep, an acknowledgement) that there is a message of this number. */
  exists(sequence: number): void {
    if (sequence <= this.#last) return;
    this.#goal = Math.max(this.#goal, sequence);
    if (this.#state === "live") this.#goOn();
  }

  /** What was read back: every message in (last, upTo], in order. */
  repaired(items: readonly R[], upTo: number): void {
    if (this.#state !== "repairing") return;
    for (const item of items) {
      if (item.sequence > this.#last) this.#deliver(item);
    }
    if (this.#dense) this.#last = Math.max(this.#last, upTo);
    if (upTo < this.#goal) return;
    this.#goal = 0;
    this.#goOn();
  }

  /** Some of what follows `last` is gone: everything up to `head` is skipped, and that is told. */
  lost(head: number, reason: ResetReason): void {
    if (this.#state === "opening") return;
    this.#reset(Math.max(this.#last, head), reason);
    if (this.#state === "repairing") this.#goOn();
  }

  /** The last delivered message is not kept any more, though it is not old: whoever read it back would not find it. */
  purged(): void {
    if (this.#state === "live" && this.#lastIsMessage) this.#reset(this.#last, "purged");
  }

  /** A new numbering begins after `last`; what waits is of the old one. */
  restart(last: number): void {
    this.#goal = 0;
    while (this.#queue.length > 0) this.#queue.shift();
    if (this.#state === "opening") return;
    this.#state = "live";
    this.#reset(last, "epoch");
  }

  /** Delivers what waits, as far as nothing is missing; reads where something is. */
  #goOn(): void {
    for (;;) {
      if (this.#goal > this.#last) {
        this.#state = "repairing";
        this.#port.repair();
        return;
      }
      this.#state = "live";
      const next = this.#queue.at(0);
      if (next === undefined) return;
      if (next.sequence > this.#last && next.previous > this.#last) this.#goal = next.previous;
      else {
        this.#queue.shift();
        if (next.sequence > this.#last) this.#take(next);
      }
    }
  }

  #step(item: L): void {
    if (item.previous <= this.#last) {
      this.#take(item);
      return;
    }
    this.#counters.holes += 1;
    this.#wait(item);
    this.#goal = Math.max(this.#goal, item.previous);
    this.#goOn();
  }

  /** The next message, with nothing missing before it that is still kept. */
  #take(item: L): void {
    if (item.previous < this.#last && this.#lastIsMessage && !this.#port.isExpiry(item))
      this.#reset(item.sequence - 1, "purged");
    this.#deliver(item);
  }

  #deliver(item: L | R): void {
    this.#port.deliver(item, this.#last);
    this.#last = item.sequence;
    this.#lastIsMessage = !this.#dense;
  }

  #reset(head: number, reason: ResetReason): void {
    this.#last = head;
    this.#lastIsMessage = false;
    this.#port.reset(head, reason);
  }

  #wait(item: L): void {
    if (this.#queue.length < this.#queueMax) {
      this.#queue.push(item);
      return;
    }
    this.#counters.queueOverflows += this.#queue.length + 1;
    this.#goal = Math.max(this.#goal, item.sequence);
    // Not the last of the queue: around an election, what two servers republish may come in either order.
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift())
      this.#goal = Math.max(this.#goal, next.sequence);
  }
}
