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

  constructor(subscription: Subscription<T>) {
    this.#subscription = subscription;
    for (const event of ["state", "reset"] as const) subscription.on(event, () => this.changed());
  }

  protected get subscription(): Subscription<T> {
    return this.#subscription;
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
    this.show();
    for (const reader of [...this.#readers]) reader();
  }
}
