import type { Gossip } from "../../core/ports.js";
import type { NatsLink } from "./connection.js";

/** Handed to the connection and not yet taken by the server: above, more is dropped, as gossip may be. */
const UNDERWAY_BYTES_MAX = 16_777_216;

/** What hubs tell each other, on one subject of core NATS: nothing is stored. */
export class NatsGossip implements Gossip {
  readonly #link: NatsLink;
  readonly #subject: string;
  readonly #onDropped: () => void;
  #underway = 0;
  #isFlushing = false;

  constructor(link: NatsLink, subject: string, onDropped: () => void) {
    this.#link = link;
    this.#subject = subject;
    this.#onDropped = onDropped;
  }

  get isConnected(): boolean {
    return this.#link.connected;
  }

  say(bytes: Uint8Array): void {
    if (!this.#link.connected || this.#underway > UNDERWAY_BYTES_MAX) {
      this.#onDropped();
      return;
    }
    try {
      this.#link.connection.publish(this.#subject, bytes);
    } catch {
      // Closed just now, or more than the server takes.
      this.#onDropped();
      return;
    }
    this.#underway += bytes.length;
    if (!this.#isFlushing) void this.#flush();
  }

  listen(hear: (bytes: Uint8Array) => void): () => void {
    const subscription = this.#link.connection.subscribe(this.#subject, {
      callback: (cause, message) => {
        if (cause === null) hear(message.data);
      },
    });
    return () => {
      if (!subscription.isClosed()) subscription.unsubscribe();
    };
  }

  async #flush(): Promise<void> {
    this.#isFlushing = true;
    while (this.#underway > 0) {
      const bytes = this.#underway;
      await this.#link.connection.flush().catch(() => undefined);
      this.#underway -= bytes;
    }
    this.#isFlushing = false;
  }
}
