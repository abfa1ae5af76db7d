import { decode } from "@msgpack/msgpack";
import type { Sink } from "../../core/ports.js";
import type { Position, ResetReason } from "../../protocol/frames.js";
import { dataOf, type Message } from "../../protocol/message.js";
import type { RoomName } from "../../protocol/room-name.js";
import { type Kept, type Ledger, unpadded } from "./ledger.testkit.js";

type Told =
  | { readonly kind: "message"; readonly offset: number; readonly prev: number; readonly value: string }
  | { readonly kind: "reset"; readonly head: Position; readonly reason: ResetReason };

/** One client's view of one room, from when it opened it until it closed it: all that it was told, checked against the ledger. */
export class Reader implements Sink {
  readonly name: string;
  readonly ledger: Ledger;
  readonly told: Told[] = [];
  /** What is delivered is everything after this. */
  start: Position | undefined;
  /** The longest time between two messages while there was something to come. */
  longestPauseMs = 0;
  #lastMs = Date.now();
  #closed = false;
  #toldLate = 0;

  constructor(name: string, ledger: Ledger) {
    this.name = name;
    this.ledger = ledger;
  }

  message(message: Message): void {
    const nowMs = Date.now();
    if (!this.ledger.quiet) this.longestPauseMs = Math.max(this.longestPauseMs, nowMs - this.#lastMs);
    this.#lastMs = nowMs;
    const { offset, prev } = message;
    this.#tell({ kind: "message", offset, prev, value: unpadded(String(decode(dataOf(message)))) });
  }

  reset(_room: RoomName, head: Position, reason: ResetReason): void {
    this.#tell({ kind: "reset", head, reason });
  }

  /** From here on nothing may come, and nothing more is missing. */
  close(): void {
    this.#closed = true;
  }

  get resets(): readonly ResetReason[] {
    return this.told.flatMap((told) => (told.kind === "reset" ? [told.reason] : []));
  }

  get messages(): number {
    return this.told.filter(({ kind }) => kind === "message").length;
  }

  get last(): Told | undefined {
    return this.told.at(-1);
  }

  /** What is wrong with what this reader was told, or is still missing; empty: nothing. */
  faults(): string[] {
    if (this.start === undefined) return [`${this.name} ${this.ledger.room}: never opened`];
    const check = new Check(this.ledger, this.start);
    for (const told of this.told) {
      if (told.kind === "reset") check.reset(told.head);
      else check.message(told.offset, told.prev, told.value);
    }
    if (!this.#closed) check.end();
    if (this.#toldLate > 0) check.found.push(`was told ${this.#toldLate} times after it had closed the room`);
    return check.found.map((fault) => `${this.name} ${this.ledger.room}: ${fault}`);
  }

  /** {@link Reader.faults} of what came after the last reset, as if it had been opened there. */
  faultsSinceReset(): string[] {
    const index = this.told.findLastIndex(({ kind }) => kind === "reset");
    const reset = this.told[index];
    if (reset?.kind !== "reset") return [`${this.name} ${this.ledger.room}: was told no reset`];
    const since = new Reader(this.name, this.ledger);
    since.start = reset.head;
    since.told.push(...this.told.slice(index + 1));
    return since.faults();
  }

  #tell(told: Told): void {
    if (this.#closed) this.#toldLate += 1;
    else this.told.push(told);
  }
}

/** Goes through what one reader was told, beside what was stored. */
class Check {
  readonly found: string[] = [];
  readonly #ledger: Ledger;
  readonly #seen = new Set<string>();
  #epoch: string;
  #last: number;
  #stored: readonly Kept[];
  /** In `#stored`: the first that is after `#last`. */
  #next = 0;
  /** Nothing was delivered since a reset: what is gone for good may be missing. */
  #isTold = false;

  constructor(ledger: Ledger, { epoch, offset }: Position) {
    this.#ledger = ledger;
    this.#epoch = epoch;
    this.#last = offset;
    this.#stored = ledger.stored(epoch);
    this.#skip(offset);
  }

  reset({ epoch, offset }: Position): void {
    if (epoch !== this.#epoch) {
      this.#epoch = epoch;
      this.#stored = this.#ledger.stored(epoch);
      this.#next = 0;
      // A publisher that was not answered in the old numbering stored it in the new one too.
      this.#seen.clear();
    } else if (offset < this.#last) this.found.push(`reset back to ${offset} from ${this.#last}`);
    this.#last = offset;
    this.#isTold = true;
    this.#skip(offset);
  }

  message(offset: number, prev: number, value: string): void {
    if (offset <= this.#last) this.found.push(`${value} at ${offset} came after ${this.#last}`);
    if (prev !== this.#last) this.found.push(`${value} at ${offset} has prev ${prev}, not ${this.#last}`);
    if (this.#seen.has(value)) this.found.push(`${value} came twice`);
    if (!this.#ledger.entries.has(value)) this.found.push(`${value} was never published`);
    this.#missing(offset, ` before ${offset}`);
    const known = this.#stored[this.#next];
    if (known?.offset === offset && known.value !== value)
      this.found.push(`${value} at ${offset}, where ${known.value} was stored`);
    this.#seen.add(value);
    this.#last = offset;
    this.#isTold = false;
    this.#skip(offset);
  }

  end(): void {
    this.#missing(Number.POSITIVE_INFINITY, "");
  }

  #missing(to: number, where: string): void {
    for (let known = this.#stored[this.#next]; known !== undefined && known.offset < to; ) {
      if (!(this.#isTold && this.#ledger.isGone(this.#epoch, known.offset)))
        this.found.push(`${known.value} at ${known.offset} is missing${where}, after ${this.#last}`);
      this.#next += 1;
      known = this.#stored[this.#next];
    }
  }

  #skip(upTo: number): void {
    while ((this.#stored[this.#next]?.offset ?? Number.POSITIVE_INFINITY) <= upTo) this.#next += 1;
  }
}
