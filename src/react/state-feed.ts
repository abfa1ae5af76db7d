import type { FanwireError } from "../client/errors.js";
import type { Message } from "../client/message.js";
import type { SubscriptionState } from "../client/state.js";
import type { StateMap } from "../client/state-map.js";
import { Feed } from "./feed.js";

/** What {@link useKeyedState} returns. */
export interface StateView<T> {
  /** The latest message of every key; another Map after every change. */
  readonly values: ReadonlyMap<string, Message<T>>;
  readonly state: SubscriptionState;
  /** Why the room was refused; undefined where it was not. */
  readonly error: FanwireError | undefined;
}

/** The state of a room. A reader of one key is called for that key alone. */
export class StateFeed<T> extends Feed<T> {
  readonly #map: StateMap<T>;
  /** As of the last frame: what components see. */
  readonly #shown = new Map<string, Message<T>>();
  readonly #readersOfKeys = new Map<string, Set<() => void>>();
  #changed = new Set<string>();
  #shownState: SubscriptionState;
  #view: StateView<T> | undefined;

  constructor(map: StateMap<T>) {
    super(map.subscription);
    this.#map = map;
    this.#shownState = map.subscription.state;
    map.on("changes", (keys) => {
      for (const key of keys) this.#changed.add(key);
      this.changed();
    });
  }

  /** Copied when it is read: a board whose cells read a key each never pays for it. */
  get view(): StateView<T> {
    this.#view ??= {
      values: new Map(this.#shown),
      state: this.#shownState,
      error: this.#shownState.kind === "failed" ? this.#shownState.error : undefined,
    };
    return this.#view;
  }

  get(key: string): Message<T> | undefined {
    return this.#shown.get(key);
  }

  /** Calls `reader` after every change of this key. Returns what takes it off again. */
  listenTo(key: string, reader: () => void): () => void {
    const readers = this.#readersOfKeys.get(key) ?? new Set();
    this.#readersOfKeys.set(key, readers);
    readers.add(reader);
    return () => {
      readers.delete(reader);
      if (readers.size === 0 && this.#readersOfKeys.get(key) === readers) this.#readersOfKeys.delete(key);
    };
  }

  protected override show(): void {
    const changed = this.#changed;
    this.#changed = new Set();
    this.#view = undefined;
    this.#shownState = this.subscription.state;
    for (const key of changed) {
      const message = this.#map.get(key);
      if (message === undefined) this.#shown.delete(key);
      else this.#shown.set(key, message);
    }
    for (const key of changed) for (const reader of [...(this.#readersOfKeys.get(key) ?? [])]) reader();
  }
}
