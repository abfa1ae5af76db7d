import type { Gossip } from "../core/ports.js";

/** Gossip within one process: heard later in the same turn of the loop, in order. */
export class MemoryGossip implements Gossip {
  readonly isConnected = true;
  readonly #listeners = new Set<(bytes: Uint8Array) => void>();

  say(bytes: Uint8Array): void {
    for (const hear of this.#listeners)
      queueMicrotask(() => {
        if (this.#listeners.has(hear)) hear(bytes);
      });
  }

  listen(hear: (bytes: Uint8Array) => void): () => void {
    // A listener of its own, should the same function listen twice.
    const listener = (bytes: Uint8Array): void => hear(bytes);
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
