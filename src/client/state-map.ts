import { Emitter } from "./emitter.js";
import type { Message } from "./message.js";
import type { Subscription } from "./subscription.js";

/** One key that has changed. */
export interface StateChange<T> {
  readonly key: string;
  /** Its latest message; undefined where the key is gone. */
  readonly message: Message<T> | undefined;
}

/** What `stateMap.on` takes. */
export interface StateMapEvents<T> {
  /** One key, as its message comes. */
  change: StateChange<T>;
  /** All keys that changed in one turn, after it: what a view draws. */
  changes: ReadonlySet<string>;
}

/**
 * The latest message of every key of a room, kept up to date: a Map to read, and events when it changes. It is whole from
 * the first `live` of its subscription on. While the connection is away it keeps what it has; afterwards, also after
 * a lost continuity, keys that are gone meanwhile leave it. A key is removed by a message of it whose data is null.
 */
export class StateMap<T = unknown> implements ReadonlyMap<string, Message<T>> {
  /** For its state, rate, position and staleness, and to end it. */
  readonly subscription: Subscription<T>;
  readonly #messages = new Map<string, Message<T>>();
  readonly #events = new Emitter<StateMapEvents<T>>();
  /** Keys of the snapshot that is coming in; undefined outside of one. */
  #snapshot: Set<string> | undefined;
  #changed = new Set<string>();

  /** Takes the subscription of a room with `state: true`, in the turn in which it was made. */
  constructor(subscription: Subscription<T>) {
    this.subscription = subscription;
    subscription.on("subscribed", ({ recovered }) => {
      this.#snapshot = recovered ? undefined : new Set();
    });
    subscription.on("message", (message) => this.#take(message));
    subscription.on("live", () => this.#whole());
  }

  get size(): number {
    return this.#messages.size;
  }

  get(key: string): Message<T> | undefined {
    return this.#messages.get(key);
  }

  has(key: string): boolean {
    return this.#messages.has(key);
  }

  keys(): MapIterator<string> {
    return this.#messages.keys();
  }

  values(): MapIterator<Message<T>> {
    return this.#messages.values();
  }

  entries(): MapIterator<[string, Message<T>]> {
    return this.#messages.entries();
  }

  [Symbol.iterator](): MapIterator<[string, Message<T>]> {
    return this.#messages.entries();
  }

  forEach(run: (message: Message<T>, key: string, map: ReadonlyMap<string, Message<T>>) => void): void {
    for (const [key, message] of this.#messages) run(message, key, this);
  }

  /** Returns what takes the handler off again. */
  on<E extends keyof StateMapEvents<T>>(
    event: E,
    handler: (value: StateMapEvents<T>[E]) => void,
  ): () => void {
    return this.#events.on(event, handler);
  }

  /** Ends the subscription; the map stays as it is. Idempotent. */
  unsubscribe(): void {
    this.subscription.unsubscribe();
  }

  #take(message: Message<T>): void {
    const { key, data } = message;
    // Of a room that keeps state, but no part of it.
    if (key === undefined) return;
    if (data === null) {
      this.#remove(key);
      return;
    }
    this.#snapshot?.add(key);
    this.#messages.set(key, message);
    this.#tell(key, message);
  }

  /** A snapshot is in: what it does not have is gone. */
  #whole(): void {
    const snapshot = this.#snapshot;
    this.#snapshot = undefined;
    if (snapshot === undefined) return;
    for (const key of [...this.#messages.keys()]) if (!snapshot.has(key)) this.#remove(key);
  }

  #remove(key: string): void {
    this.#snapshot?.delete(key);
    if (this.#messages.delete(key)) this.#tell(key, undefined);
  }

  #tell(key: string, message: Message<T> | undefined): void {
    if (this.#changed.size === 0) queueMicrotask(() => this.#flush());
    this.#changed.add(key);
    this.#events.emit("change", { key, message });
  }

  #flush(): void {
    const changed = this.#changed;
    this.#changed = new Set();
    this.#events.emit("changes", changed);
  }
}
