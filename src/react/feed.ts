import type { Presence } from "../client/presence.js";
import type { Subscription } from "../client/subscription.js";
import { onNextFrame } from "./frames.js";

/**
 * What components see of one room: a snapshot that changes at most once a frame, however many messages come. Ended with
 * its last reader.
 */
export abstract class Feed<T> {
  readonly #subscription: Subscription<T>;
  readonly #readers = new Set<() => void>();
  readonly #draw = (): void => this.#flush();
  #presence: Presence | undefined;
  #presenceIsNew = false;

  constructor(subscription: Subscription<T>) {
    this.#subscription = subscription;
    for (const event of ["state", "reset"] as const) subscription.on(event, () => this.changed());
    subscription.on("members", () => {
      this.#presenceIsNew = true;
      this.changed();
    });
  }

  protected get subscription(): Subscription<T> {
    return this.#subscription;
  }

  /** Who is in the room, as of the last frame; another object after every change. */
  get presence(): Presence | undefined {
    return this.#presence;
  }

  /** Calls `reader` after every change of what it reads. Returns what takes it off again. */
  listen(reader: () => void): () => void {
    this.#readers.add(reader);
    return () => {
      this.#readers.delete(reader);
    };
  }

  end(): void {
    this.#subscription.unsubscribe();
  }

  /** Something is new: it is shown with the next frame. */
  protected changed(): void {
    onNextFrame(this.#draw);
  }

  /** Makes the snapshots new. */
  protected abstract show(): void;

  #flush(): void {
    if (this.#presenceIsNew) this.#presence = copyOf(this.#subscription.presence);
    this.#presenceIsNew = false;
    this.show();
    for (const reader of [...this.#readers]) reader();
  }
}

/** The subscription goes on with its own. */
function copyOf(presence: Presence | undefined): Presence | undefined {
  return presence && { count: presence.count, members: presence.members && new Map(presence.members) };
}
