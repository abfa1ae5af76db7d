import type { BudgetEntry, ByteBudget } from "../core/byte-budget.js";
import type { Message } from "../protocol/message.js";
import { type Linked, LinkedList } from "./linked-list.js";
import { STATE_OVERHEAD_BYTES } from "./memory-limits.js";

/** The latest message of every key of one room, bounded by keys and by a budget of bytes that all rooms share. */
export class KeyedState {
  readonly #keysMax: number;
  readonly #budget: ByteBudget;
  readonly #byKey = new Map<string, StateEntry>();
  // In the order of the last update, which is that of offsets.
  readonly #byAge = new LinkedList<StateEntry>();
  #droppedKeys = 0;

  constructor(keysMax: number, budget: ByteBudget) {
    this.#keysMax = keysMax;
    this.#budget = budget;
  }

  /** Keys dropped so far. One that came back since still counts, so 0 alone says that the state is complete. */
  get droppedKeys(): number {
    return this.#droppedKeys;
  }

  /** Returns how many keys, of any room, were dropped for it. */
  put(key: string, message: Message): number {
    let dropped = 0;
    let entry = this.#byKey.get(key);
    if (entry === undefined) {
      const oldest = this.#byAge.first;
      if (this.#byKey.size >= this.#keysMax && oldest !== undefined) {
        this.#budget.remove(oldest);
        this.drop(oldest);
        dropped += 1;
      }
      entry = new StateEntry(key, message, this);
      this.#byKey.set(key, entry);
    } else {
      this.#budget.remove(entry);
      this.#byAge.remove(entry);
      entry.replace(message);
    }
    this.#byAge.push(entry);
    return dropped + this.#budget.add(entry);
  }

  /** Takes out one key, as asked for: that drops nothing. */
  remove(key: string): void {
    const entry = this.#byKey.get(key);
    if (entry !== undefined) this.#forget(entry);
  }

  /** Takes out up to `max` keys that were not published since then; returns how many. */
  expire(sinceMs: number, max: number): number {
    let expired = 0;
    for (let oldest = this.#byAge.first; oldest !== undefined && expired < max; oldest = this.#byAge.first) {
      if (oldest.message.time >= sinceMs) break;
      this.#forget(oldest);
      expired += 1;
    }
    return expired;
  }

  /** In offset order. */
  messages(): Message[] {
    const messages: Message[] = [];
    for (let entry = this.#byAge.first; entry !== undefined; entry = entry.after)
      messages.push(entry.message);
    return messages;
  }

  clear(): void {
    for (let entry = this.#byAge.first; entry !== undefined; entry = this.#byAge.first) {
      this.#budget.remove(entry);
      this.drop(entry);
    }
  }

  #forget(entry: StateEntry): void {
    this.#budget.remove(entry);
    this.#byKey.delete(entry.key);
    this.#byAge.remove(entry);
  }

  /** For {@link StateEntry}: takes out an entry that the budget no longer holds. */
  drop(entry: StateEntry): void {
    this.#byKey.delete(entry.key);
    this.#byAge.remove(entry);
    this.#droppedKeys += 1;
  }
}

class StateEntry implements BudgetEntry, Linked<StateEntry> {
  readonly key: string;
  message: Message;
  bytes: number;
  older: BudgetEntry | undefined;
  newer: BudgetEntry | undefined;
  before: StateEntry | undefined;
  after: StateEntry | undefined;
  readonly #state: KeyedState;

  constructor(key: string, message: Message, state: KeyedState) {
    this.key = key;
    this.message = message;
    this.bytes = message.frame.byteLength + STATE_OVERHEAD_BYTES;
    this.older = undefined;
    this.newer = undefined;
    this.before = undefined;
    this.after = undefined;
    this.#state = state;
  }

  /** Only while no budget holds it. */
  replace(message: Message): void {
    this.message = message;
    this.bytes = message.frame.byteLength + STATE_OVERHEAD_BYTES;
  }

  evict(): void {
    this.#state.drop(this);
  }
}
