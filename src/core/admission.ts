import type { ClientInput } from "../protocol/frames.js";
import type { Counters } from "./counters.js";

/** Whose requests wait to be let in. */
export interface Admitted {
  /** Its turn has come for this request. Never called inside {@link Admission.takes} or {@link Admission.wait}. */
  admitted(input: ClientInput, nowMs: number): void;
}

/**
 * Rooms subscribed to in a turn of the loop, of all connections together. One costs 20 to 40 µs with all that follows from it, so
 * that a storm of resumes holds up what others are sent by some 4 ms, where everything at once stopped the loop for seconds.
 */
export const ADMITTED_PER_TURN = 128;
/** Of one connection, before the next one has its turn. */
const ADMITTED_AT_ONCE = 16;
/** Requests that wait, of all connections together, at some 300 bytes each; further ones are refused. */
export const WAITING_MAX = 200_000;
/** Of them, of one connection: more than a watchlist twice over has, and no tenth of all. */
export const WAITING_OF_ONE_MAX = 20_000;

/**
 * Lets subscribes in by a budget a turn of the loop, and the connections by turns. Where one has to wait, what its
 * connection asks after it waits too, so that everything is done in the order in which it was asked; nobody else waits.
 */
export class Admission {
  readonly #counters: Pick<Counters, "admissionWaits">;
  readonly #requestTick: () => void;
  /** What each asked, in its order. The first of them has the next turn. */
  readonly #queues = new Map<Admitted, ClientInput[]>();
  #waiting = 0;
  #left = ADMITTED_PER_TURN;

  /** `requestTick`: asks for a call of {@link Admission.turn} in the next turn of the loop. */
  constructor(counters: Pick<Counters, "admissionWaits">, requestTick: () => void) {
    this.#counters = counters;
    this.#requestTick = requestTick;
  }

  /** Requests that wait now. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Whether this request may be carried out now. If not, {@link Admission.wait} is to be called. */
  takes(guest: Admitted, input: ClientInput): boolean {
    if (this.#queues.size > 0 && this.#queues.has(guest)) return false;
    const cost = costOf(input);
    if (cost === 0) return true;
    if (this.#left <= 0 || this.#queues.size > 0) return false;
    this.#spend(cost);
    return true;
  }

  /** Keeps the request until its turn; the bytes of a publish are copied. False where too many wait, in all or of this one: it is not kept. */
  wait(guest: Admitted, input: ClientInput): boolean {
    let queue = this.#queues.get(guest);
    if (this.#waiting >= WAITING_MAX || (queue?.length ?? 0) >= WAITING_OF_ONE_MAX) return false;
    if (queue === undefined) {
      queue = [];
      this.#queues.set(guest, queue);
    }
    queue.push(input.type === "publish" ? { ...input, data: input.data.slice() } : input);
    this.#waiting += 1;
    this.#counters.admissionWaits += 1;
    this.#requestTick();
    return true;
  }

  /** Its connection is gone. */
  forget(guest: Admitted): void {
    if (this.#queues.size === 0) return;
    this.#waiting -= this.#queues.get(guest)?.length ?? 0;
    this.#queues.delete(guest);
  }

  /** A turn of the loop begins: lets in those who wait, as far as its budget goes. One request alone may cost more, which later turns pay. */
  turn(nowMs: number): void {
    this.#left = Math.min(ADMITTED_PER_TURN, this.#left + ADMITTED_PER_TURN);
    // Whoever is put back comes again at the end of this same walk.
    for (const [guest, queue] of this.#queues) {
      if (this.#left <= 0) break;
      this.#queues.delete(guest);
      const taken = this.#taken(queue);
      if (queue.length > 0) this.#queues.set(guest, queue);
      for (const input of taken) guest.admitted(input, nowMs);
    }
    if (this.#queues.size > 0 || this.#left <= 0) this.#requestTick();
  }

  /** Takes off what one connection may do now. */
  #taken(queue: ClientInput[]): ClientInput[] {
    let rooms = 0;
    let count = 0;
    while (count < queue.length && rooms < ADMITTED_AT_ONCE && rooms < this.#left) {
      const input = queue[count];
      if (input !== undefined) rooms += costOf(input);
      count += 1;
    }
    this.#waiting -= count;
    this.#spend(rooms);
    return queue.splice(0, count);
  }

  #spend(cost: number): void {
    this.#left -= cost;
    if (cost > 0) this.#requestTick();
  }
}

/** Rooms that it subscribes to; everything else is cheap, or waits its turn elsewhere. */
function costOf(input: ClientInput): number {
  if (input.type === "subscribe") return 1;
  return input.type === "subscribeMany" ? input.rooms.length : 0;
}
